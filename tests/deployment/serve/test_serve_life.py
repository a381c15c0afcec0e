"""`convex-eval serve`, as people start and end it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest

from pytest_convex_eval.deployment.client import Client
from tests.patience import HANG_SECONDS, until_ended

if TYPE_CHECKING:
    from tests.deployment.serve.conftest import Serve, Start

ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDINGS, ids=lambda number: number.name)
def test_a_signal_ends_everything(serve: Serve, number: signal.Signals, tmp_path: Path) -> None:
    served = serve("--data", str(tmp_path / "data"))
    served.calls.insert("rows", [{"n": 1}])
    some = served.processes()
    served.popen.send_signal(number)
    out, err = served.popen.communicate(timeout=HANG_SECONDS)
    assert (served.popen.returncode, out, err) == (0, "", "")
    until_ended(some)
    # Closed, the database needs no log beside it.
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "deployment.sqlite3",
        "lock",
    ]


def test_the_server_does_not_outlive_the_command(serve: Serve) -> None:
    served = serve()
    some = served.processes()
    served.popen.kill()
    until_ended(some)


def test_a_server_that_dies_ends_the_command(serve: Serve) -> None:
    served = serve()
    os.kill(served.server.pid, signal.SIGKILL)
    _, err = served.popen.communicate(timeout=HANG_SECONDS)
    assert served.popen.returncode == 2
    assert "the server ended by itself" in err


@pytest.mark.parametrize("flag", ["--port", "--site-proxy-port"])
def test_a_busy_port_is_told_in_one_line(start: Start, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = {"--port": "--site-proxy-port", "--site-proxy-port": "--port"}[flag]
        popen = start(f"{flag}={port}", f"{other}=0")
        out, err = popen.communicate(timeout=HANG_SECONDS)
    assert (popen.returncode, out) == (2, "")
    assert err == (
        f"convex-eval: port {port} is in use: end what serves there, or choose another with {flag} "
        f"({flag} 0: any that is free)\n"
    )


@pytest.mark.parametrize(
    "args",
    [
        ["--port=3300", "--site-proxy-port=3300"],
        ["--port=70000"],
        ["--admin-key="],
        ["--admin-key=two words"],
        ["--admin-key=a:b"],
        ["--instance-name=a|b"],
    ],
)
def test_what_can_not_be_served_is_refused(start: Start, args: list[str]) -> None:
    popen = start(*args)
    _, err = popen.communicate(timeout=HANG_SECONDS)
    assert popen.returncode == 2
    assert err.startswith("convex-eval: ")
    assert err.count("\n") == 1


def test_name_and_key_can_be_chosen(serve: Serve) -> None:
    served = serve("--instance-name", "carnitas", "--admin-key", "mine")
    assert served.admin_key == "mine"
    assert Client(served.url, "mine").text("/instance_name") == "carnitas"


def test_only_loopback_is_served_at_the_port_that_was_asked_for(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = serve(f"--port={port}")
    assert urlsplit(served.url).port == port
    listening = {
        connection.laddr.ip
        for connection in served.server.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1"}


def test_two_servers_do_not_share_a_folder(start: Start, serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    served = serve("--data", str(data))
    popen = start("--port=0", "--site-proxy-port=0", "--data", str(data))
    _, err = popen.communicate(timeout=HANG_SECONDS)
    assert popen.returncode == 2
    assert err == (
        f"convex-eval: the data in {data} is in use by another server: stop that one, or name "
        "another folder\n"
    )
    served.kill()
    assert serve("--data", str(data)).admin_key == served.admin_key


def test_what_is_no_data_of_ours_is_left_alone(start: Start, tmp_path: Path) -> None:
    def refused(data: Path) -> str:
        popen = start("--port=0", "--site-proxy-port=0", "--data", str(data))
        _, err = popen.communicate(timeout=HANG_SECONDS)
        assert popen.returncode == 2
        assert err.count("\n") == 1
        return err

    (tmp_path / "file").write_text("mine")
    assert "no data can be kept" in refused(tmp_path / "file")
    for name, content in (("text", b"not a database" * 100), ("zeros", bytes(5000))):
        (tmp_path / name).mkdir()
        database = tmp_path / name / "deployment.sqlite3"
        database.write_bytes(content)
        assert "can't be read" in refused(tmp_path / name)
        assert database.read_bytes() == content
    other = tmp_path / "other"
    other.mkdir()
    with sqlite3.connect(other / "deployment.sqlite3") as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    assert "a database of another program" in refused(other)
