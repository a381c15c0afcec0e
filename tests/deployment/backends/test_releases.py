"""Downloading the official backend, from a release server of our own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment import releases
from pytest_convex_eval.deployment.backends import (
    DEFAULT_RELEASE,
    Backend,
    make_ready,
    parse_backend,
)
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError
from tests.deployment.program import server_words
from tests.patience import HANG_SECONDS

TAG = "precompiled-2026-01-02-abc1234"


def archive(program: str, name: str = releases.PROGRAM) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr(name, program)
        zipped.writestr("../outside", "never unpacked")
    return content.getvalue()


@dataclass
class ReleaseServer:
    """Describes one release as GitHub's API does, and serves its file; `break_off` ends that many
    transfers early, and `hold` one until it is set."""

    content: bytes
    digest: str | None = None
    asset: str = field(default_factory=releases.asset_name)
    break_off: int = 0
    fail: int = 0
    hold: threading.Event | None = None
    held: threading.Event = field(default_factory=threading.Event)
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def describe(self) -> bytes:
        digest = self.digest or f"sha256:{hashlib.sha256(self.content).hexdigest()}"
        asset = {
            "name": self.asset,
            "size": len(self.content),
            "digest": None if digest == "none" else digest,
            "browser_download_url": f"{self.url}/files/{self.asset}",
        }
        return json.dumps({"tag_name": TAG, "assets": [asset]}).encode()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download may go through the machine's proxy; the one from here may not."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def serve() -> Iterator[Callable[[ReleaseServer], ReleaseServer]]:
    started: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(release: ReleaseServer) -> ReleaseServer:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                release.asked[self.path] += 1
                if self.path == f"/releases/tags/{TAG}":
                    self.answer(release.describe())
                elif self.path.startswith("/files/"):
                    self.file()
                else:
                    self.send_error(404)

            def file(self) -> None:
                if release.fail:
                    release.fail -= 1
                    self.send_error(503)
                elif release.break_off:
                    release.break_off -= 1
                    self.answer(release.content[: len(release.content) // 2], len(release.content))
                elif release.hold is not None and not release.hold.is_set():
                    half = len(release.content) // 2
                    self.answer(release.content[:half], len(release.content))
                    self.wfile.flush()
                    release.held.set()
                    release.hold.wait(HANG_SECONDS)
                    self.wfile.write(release.content[half:])
                else:
                    self.answer(release.content)

            def answer(self, content: bytes, length: int | None = None) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(length or len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """Those who are killed in the middle of a download are part of the tests."""

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        release.url = f"http://127.0.0.1:{server.server_address[1]}"
        return release

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def good(node: Path, serve: Callable[[ReleaseServer], ReleaseServer]) -> ReleaseServer:
    return serve(ReleaseServer(archive(f'#!/bin/sh\nexec {server_words(node)} "$@"\n')))


def ready(release: ReleaseServer, cache: Path, said: list[str] | None = None) -> None:
    make_ready(
        Backend("local", TAG),
        node=Path("node"),
        cache=cache,
        progress=(said if said is not None else []).append,
        environment={releases.RELEASES_VARIABLE: f"{release.url}/releases"},
    )


def programs(cache: Path) -> list[Path]:
    return [path for path in cache.rglob(releases.PROGRAM) if path.is_file()]


def test_a_release_is_downloaded_once_and_runs(good: ReleaseServer, tmp_path: Path) -> None:
    said: list[str] = []
    new = make_ready(
        Backend("local", TAG),
        node=Path("node"),
        cache=tmp_path,
        progress=said.append,
        environment={releases.RELEASES_VARIABLE: f"{good.url}/releases/"},
    )
    assert any("MB" in line for line in said)
    deployment = new()
    deployment.start()
    try:
        assert deployment.alive()
    finally:
        deployment.close()
    before = good.asked.copy()
    ready(good, tmp_path)
    assert good.asked == before
    assert not (tmp_path / "outside").exists()
    assert list(tmp_path.rglob("*.zip")) == []


def test_a_file_with_another_digest_is_not_used(
    serve: Callable[[ReleaseServer], ReleaseServer], tmp_path: Path
) -> None:
    wrong = serve(ReleaseServer(archive("#!/bin/sh\n"), digest="sha256:" + "0" * 64))
    with pytest.raises(InfrastructureError, match="is not the published file"):
        ready(wrong, tmp_path)
    assert programs(tmp_path) == []
    assert wrong.asked[f"/files/{wrong.asset}"] == 1


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (ReleaseServer(b"no zip at all"), "holds no convex-local-backend"),
        (ReleaseServer(archive("x", name="other")), "holds no convex-local-backend"),
        (ReleaseServer(archive("x"), digest="none"), "local=PATH"),
        (ReleaseServer(archive("x"), asset="convex-local-backend-z80-cpm.zip"), "has no "),
    ],
)
def test_what_is_no_release_for_here_is_said(
    release: ReleaseServer,
    message: str,
    serve: Callable[[ReleaseServer], ReleaseServer],
    tmp_path: Path,
) -> None:
    with pytest.raises(InfrastructureError, match=message):
        ready(serve(release), tmp_path)
    assert programs(tmp_path) == []


def test_a_release_that_is_not_there_is_said_without_another_try(
    good: ReleaseServer, tmp_path: Path
) -> None:
    with pytest.raises(InfrastructureError, match="answers HTTP 404"):
        make_ready(
            Backend("local", "precompiled-2020-01-01-gone"),
            node=Path("node"),
            cache=tmp_path,
            progress=lambda line: None,
            environment={releases.RELEASES_VARIABLE: f"{good.url}/releases"},
        )
    assert sum(good.asked.values()) == 1


def test_a_download_that_breaks_off_is_tried_again(good: ReleaseServer, tmp_path: Path) -> None:
    good.break_off, good.fail = 1, 1
    ready(good, tmp_path)
    assert len(programs(tmp_path)) == 1
    assert good.asked[f"/files/{good.asset}"] == 3


def test_a_download_that_always_breaks_off_leaves_nothing(
    good: ReleaseServer, tmp_path: Path
) -> None:
    good.break_off = 99
    with pytest.raises(InfrastructureError, match="can't be downloaded"):
        ready(good, tmp_path)
    assert programs(tmp_path) == []
    assert good.asked[f"/files/{good.asset}"] == releases.ATTEMPTS


_INSTALL = """
import sys
from pathlib import Path
from pytest_convex_eval.deployment.backends import Backend, make_ready
make_ready(Backend("local", sys.argv[1]), node=Path("node"), cache=Path(sys.argv[2]),
           progress=lambda line: None)
print("ready")
"""


def installer(release: ReleaseServer, cache: Path) -> subprocess.Popen[str]:
    root = Path(processes.__file__).parents[1]
    variables = {
        releases.RELEASES_VARIABLE: f"{release.url}/releases",
        "PYTHONPATH": str(root),
    }
    return subprocess.Popen(
        [sys.executable, "-c", _INSTALL, TAG, cache],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def test_a_download_that_is_killed_leaves_nothing_that_is_used(
    good: ReleaseServer, tmp_path: Path
) -> None:
    good.hold = threading.Event()
    with installer(good, tmp_path) as killed:
        assert good.held.wait(HANG_SECONDS)
        killed.send_signal(signal.SIGKILL)
    good.hold.set()
    assert programs(tmp_path) == []
    ready(good, tmp_path)
    assert len(programs(tmp_path)) == 1
    # What the killed one left is gone as well.
    assert list(tmp_path.rglob("*.zip")) == []


def test_two_processes_at_once_download_once(good: ReleaseServer, tmp_path: Path) -> None:
    good.hold = threading.Event()
    with installer(good, tmp_path) as one, installer(good, tmp_path) as other:
        assert good.held.wait(HANG_SECONDS)
        good.hold.set()
        assert one.communicate(timeout=HANG_SECONDS)[0] == "ready\n"
        assert other.communicate(timeout=HANG_SECONDS)[0] == "ready\n"
    assert good.asked[f"/files/{good.asset}"] == 1
    assert len(programs(tmp_path)) == 1


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("embedded", Backend("embedded")),
        ("local", Backend("local", DEFAULT_RELEASE)),
        ("local=bin/backend", Backend("local", "/base/bin/backend")),
        ("local=/opt/backend", Backend("local", "/opt/backend")),
        (f"local={TAG}", Backend("local", TAG)),
        ("http://127.0.0.1:3210/", Backend("url", "http://127.0.0.1:3210")),
        (
            "https://happy-otter-1.convex.cloud",
            Backend("url", "https://happy-otter-1.convex.cloud"),
        ),
    ],
)
def test_what_the_option_may_say(text: str, backend: Backend) -> None:
    assert parse_backend(text, Path("/base")) == backend


@pytest.mark.parametrize(
    "text",
    [
        "",
        "remote",
        "local=",
        "ftp://a",
        "http://",
        "https://key@a.b",
        "https://a.b/c",
        "http://a:b",
    ],
)
def test_what_the_option_may_not_say(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|must come alone|Port"):
        parse_backend(text, Path("/base"))


def test_a_program_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no program is there"):
        make_ready(
            Backend("local", str(tmp_path / "nowhere")),
            node=Path("node"),
            cache=tmp_path,
            progress=lambda line: None,
        )
