"""The life of the server's process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import SERVER, EmbeddedDeployment
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.fixtures import Bundle
from tests.patience import HANG_SECONDS, until, until_ended, until_gone


def test_it_lives_as_long_as_the_block(node: Path) -> None:
    with EmbeddedDeployment(node) as deployment:
        pid, scratch = deployment.pid, deployment.scratch
        assert deployment.alive()
        assert scratch.is_dir()
        assert deployment.log() == ""
    assert not psutil.pid_exists(pid)
    assert not scratch.exists()
    assert not deployment.alive()
    with pytest.raises(InfrastructureError):
        _ = deployment.url


def test_both_loopback_addresses_are_served_on_one_port(deployment: EmbeddedDeployment) -> None:
    for url in (deployment.url, deployment.site_url):
        port = urlsplit(url).port
        assert port
        addresses = ["127.0.0.1"]
        if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
            addresses.append("::1")
        for address in addresses:
            with socket.create_connection((address, port), timeout=HANG_SECONDS) as connection:
                assert connection.getpeername()[:2] == (address, port)


def test_only_loopback_is_served(deployment: EmbeddedDeployment) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(deployment.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert "127.0.0.1" in listening
    assert listening <= {"127.0.0.1", "::1"}


def test_it_sees_nothing_of_our_environment(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    with EmbeddedDeployment(node) as deployment:
        assert "ANTHROPIC_API_KEY" not in psutil.Process(deployment.pid).environ()


def test_a_server_that_died_is_started_anew_by_a_reset(node: Path) -> None:
    with EmbeddedDeployment(node) as deployment:
        first = deployment.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: not deployment.alive())
        with pytest.raises(InfrastructureError):
            deployment.last_push()
        deployment.reset()
        assert deployment.alive()
        assert deployment.pid != first


def test_a_server_that_hangs_is_not_alive(node: Path) -> None:
    with EmbeddedDeployment(node) as deployment:
        os.kill(deployment.pid, signal.SIGSTOP)
        try:
            slow = Client(deployment.url, deployment.admin_key, timeout_seconds=0.3)
            with pytest.raises(InfrastructureError):
                slow.text("/version")
        finally:
            os.kill(deployment.pid, signal.SIGCONT)
        assert deployment.alive()


def test_a_node_that_is_none_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError):
        EmbeddedDeployment(tmp_path / "nowhere").start()
    with pytest.raises(InfrastructureError):
        EmbeddedDeployment(Path(sys.executable), start_seconds=5).start()


def test_it_dies_with_a_parent_that_is_killed(node: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from pytest_convex_eval.deployment.embedded import EmbeddedDeployment\n"
        "deployment = EmbeddedDeployment(Path(sys.argv[1]))\ndeployment.start()\n"
        "print(deployment.pid, flush=True)\ntime.sleep(600)\n"
    )
    root = Path(processes.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, script, node],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGKILL)
    until_gone(pid)


def test_it_takes_the_flags_of_the_official_binary(node: Path, tmp_path: Path) -> None:
    secret = "4361726e697461732c206c69746572616c6c79206d65616e696e6720226c6974"
    identity = ["--instance-name", "carnitas", "--instance-secret", secret]
    env = processes.environment(home=tmp_path)
    limits = processes.Limits(wall_seconds=HANG_SECONDS)
    keygen = processes.run(
        [node, SERVER, "keygen", "admin-key", *identity], cwd=tmp_path, env=env, limits=limits
    )
    assert keygen.ok, keygen.stderr
    key = keygen.stdout.strip()
    assert key.startswith("carnitas|")

    flags = [
        *("--interface", "127.0.0.1", "--port", "0", "--site-proxy-port", "0", *identity),
        *("--convex-origin", "http://a.example", "--convex-site", "http://b.example"),
        *("--local-storage", "storage", "--disable-beacon", "db.sqlite3"),
    ]
    with processes.running(
        [str(node), str(SERVER), *flags], cwd=tmp_path, env=env, limits=limits
    ) as child:
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        assert ready["admin_key"] == key
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(
            ready["url"] + "/api/v1/get_canonical_urls", headers={"Authorization": f"Convex {key}"}
        )
        with opener.open(request, timeout=HANG_SECONDS) as response:
            urls = json.load(response)
        assert urls == {"convexCloudUrl": "http://a.example", "convexSiteUrl": "http://b.example"}
        with opener.open(ready["url"] + "/instance_name", timeout=HANG_SECONDS) as response:
            assert response.read() == b"carnitas"


def test_nothing_of_a_push_is_left_running(
    node: Path,
    bundle: Bundle,
) -> None:
    with EmbeddedDeployment(node) as deployment:
        client = Client(deployment.url, deployment.admin_key)
        client.post("/api/get_config_hashes", {})
        request = bundle({"convex/a.ts": "export const x = 1;\n"})
        client.post("/api/deploy2/start_push", request)
        client.post("/api/get_config_hashes", {})
        server = psutil.Process(deployment.pid)
        until(lambda: len(server.children(recursive=True)) == 1, "the spare isolate")
        children = server.children(recursive=True)
    until_ended(children)
