"""What `convex-eval serve` may be asked, and what it says once it serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.deployment.serve import ServeOptions, _notice, _ready
from pytest_convex_eval.outcomes import InfrastructureError

READY = b'{"url": "http://a", "site_url": "http://b", "instance_name": "n", "admin_key": "n|k"}\n'


@pytest.mark.parametrize("ports", [(0, 0), (0, 1), (65535, 0), (3210, 3211)])
def test_ports_from_0_to_65535_that_differ_are_taken(ports: tuple[int, int]) -> None:
    flags = ServeOptions(*ports).arguments()
    assert flags == [f"--port={ports[0]}", f"--site-proxy-port={ports[1]}"]


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ((-1, 0), "--port -1: a port is"),
        ((65536, 0), "--port 65536: a port is"),
        ((0, 65536), "--site-proxy-port 65536: a port is"),
        ((1, 1), "--port and --site-proxy-port are both 1"),
    ],
)
def test_other_ports_are_refused(ports: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServeOptions(*ports)


@pytest.mark.parametrize("key", ["", "a b", "a:b", "a'b", "a\n"])
def test_a_key_that_a_header_or_a_file_would_cut_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="an admin key has no"):
        ServeOptions(0, 0, admin_key=key)


@pytest.mark.parametrize("name", ["", "a|b", "-a", "a b", "ä"])
def test_a_name_is_made_of_letters_and_digits(name: str) -> None:
    with pytest.raises(ValueError, match="an instance's name"):
        ServeOptions(0, 0, instance_name=name)


def test_what_was_chosen_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ServeOptions(0, 0, "a|b", "Own-name_1", Path("data"))
    assert options.arguments()[2:] == [
        "--admin-key=a|b",
        "--instance-name=Own-name_1",
        f"--data={tmp_path / 'data'}",
    ]


@pytest.mark.parametrize(("port", "flag"), [(1, "--port"), (2, "--site-proxy-port")])
def test_a_port_in_use_is_told_with_its_flag(port: int, flag: str) -> None:
    said = f'{{"error": {{"code": "port-in-use", "message": "used", "port": {port}}}}}'
    with pytest.raises(InfrastructureError, match=rf"port {port} is in use: .* with {flag} \("):
        _ready(said.encode(), ServeOptions(1, 2))


def test_other_problems_are_told_in_the_servers_words() -> None:
    with pytest.raises(InfrastructureError, match=r"^no such data$"):
        _ready(b'{"error": {"code": "data", "message": "no such data"}}', ServeOptions(0, 0))
    with pytest.raises(InfrastructureError, match="something unexpected"):
        _ready(b"{}", ServeOptions(0, 0))


def test_the_notice_is_what_goes_into_a_projects_variables(tmp_path: Path) -> None:
    options = ServeOptions(0, 0, data=tmp_path)
    notice = _notice(_ready(READY, options), options)
    assert "\nCONVEX_SELF_HOSTED_URL=http://a\nCONVEX_SELF_HOSTED_ADMIN_KEY='n|k'\n" in notice
    assert f"\ndata       kept in {tmp_path}\n" in notice
    assert "URL        http://a\nsite URL   http://b   (HTTP actions)\nadmin key  n|k\n" in notice
    memory = ServeOptions(0, 0)
    assert "in memory, and gone when this ends" in _notice(_ready(READY, memory), memory)
