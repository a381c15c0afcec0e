"""The installed toolchain, shared with the machine's other runs, and a registry of our own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain

Manifest: TypeAlias = Mapping[str, object]


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return install_toolchain(default_cache())


@pytest.fixture(scope="session")
def store(toolchain: Toolchain) -> DependencyStore:
    return DependencyStore(default_cache(), toolchain)


@pytest.fixture(scope="session")
def default_set(store: DependencyStore) -> DependencySet:
    return store.default_set()


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes starting any process an error."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a process was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)


class Registry:
    """An npm registry on this machine that serves what a test publishes."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        # What it answers instead of what it has; with no status, nothing until it is closed.
        self.instead: tuple[int | None, bytes] | None = None
        self._closing = threading.Event()
        self._packages: dict[str, dict[str, dict[str, object]]] = {}
        self._tarballs: dict[str, bytes] = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = unquote(self.path).lstrip("/")
                registry.requests.append(path)
                if registry.instead is not None:
                    status, text = registry.instead
                    if status is None:
                        registry._closing.wait()
                        return
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(text)
                    return
                body = registry._answer(path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body if body is not None else b'{"error": "Not found"}')

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def publish(
        self, name: str, version: str, files: Mapping[str, str] | None = None, **manifest: object
    ) -> None:
        package = {"name": name, "version": version, **manifest}
        everything = {"package.json": json.dumps(package), **(files or {})}
        tarball = io.BytesIO()
        with tarfile.open(fileobj=tarball, mode="w:gz") as archive:
            for path, text in everything.items():
                entry = tarfile.TarInfo(f"package/{path}")
                entry.size = len(text.encode())
                entry.mode = 0o755
                archive.addfile(entry, io.BytesIO(text.encode()))
        data = tarball.getvalue()
        path = f"{name}/-/{version}.tgz"
        self._tarballs[path] = data
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        dist = {"tarball": f"{self.url}{path}", "integrity": f"sha512-{digest}"}
        self._packages.setdefault(name, {})[version] = {**package, "dist": dist}

    def lose_tarballs(self) -> None:
        self._tarballs.clear()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, path: str) -> bytes | None:
        if path in self._tarballs:
            return self._tarballs[path]
        versions = self._packages.get(path)
        if versions is None:
            return None
        latest = list(versions)[-1]
        document = {"name": path, "dist-tags": {"latest": latest}, "versions": versions}
        return json.dumps(document).encode()


@pytest.fixture
def npm_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Points npm at a registry, with an empty cache and no patience."""

    def use(registry: str) -> None:
        monkeypatch.setenv("npm_config_registry", registry)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")

    return use


@pytest.fixture
def registry(npm_settings: Callable[[str], None]) -> Iterator[Registry]:
    """npm's registry for the test: it holds nothing but what the test publishes."""
    served = Registry()
    npm_settings(served.url)
    yield served
    served.close()


@pytest.fixture
def unreachable_registry(npm_settings: Callable[[str], None]) -> None:
    """A registry behind a port that nobody listens on."""
    npm_settings("http://127.0.0.1:9/")
