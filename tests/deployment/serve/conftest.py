"""The command `convex-eval serve` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
from pydantic import JsonValue

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded_api import EmbeddedApi
from pytest_convex_eval.functions import FunctionKind
from tests.patience import HANG_SECONDS, until_ended


@dataclass
class Served:
    """A command that serves, and what it printed."""

    popen: subprocess.Popen[str]
    url: str
    site_url: str
    admin_key: str
    notice: str

    @property
    def calls(self) -> EmbeddedApi:
        return EmbeddedApi(
            Client(self.url, self.admin_key, HANG_SECONDS), Client(self.site_url, "", HANG_SECONDS)
        )

    @property
    def server(self) -> psutil.Process:
        (child,) = psutil.Process(self.popen.pid).children()
        return child

    def value(
        self, kind: FunctionKind, path: str, args: Mapping[str, JsonValue] | None = None
    ) -> Any:
        """What a function returns, which must not fail."""
        result = self.calls.call(kind, path, args)
        assert result.error is None, result.error
        return result.value

    def push(self, request: JsonValue) -> None:
        """Makes a start_push request live."""
        client = self.calls.client
        finish: JsonValue = {
            "startPush": client.post("/api/deploy2/start_push", request),
            "dryRun": False,
        }
        client.post("/api/deploy2/finish_push", finish)

    def processes(self) -> list[psutil.Process]:
        return [self.server, *self.server.children(recursive=True)]

    def kill(self) -> None:
        """Ends the server as nothing can prevent."""
        some = self.processes()
        some[0].kill()
        until_ended(some)
        self.popen.communicate()


class Start(Protocol):
    def __call__(self, *args: str) -> subprocess.Popen[str]: ...


class Serve(Protocol):
    def __call__(self, *args: str) -> Served: ...


class Convex(Protocol):
    def __call__(self, project: Path, served: Served, *args: str) -> processes.Completed: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command, which may fail; its output can be read."""
    started: list[subprocess.Popen[str]] = []

    def run(*args: str) -> subprocess.Popen[str]:
        popen = subprocess.Popen(
            [sys.executable, "-m", "pytest_convex_eval.cli", "serve", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[1])},
        )
        started.append(popen)
        return popen

    yield run
    for popen in started:
        popen.kill()
        popen.communicate()


@pytest.fixture
def serve(start: Start) -> Serve:
    """Starts the command on free ports, unless told others, and waits until it serves."""

    def run(*args: str) -> Served:
        popen = start("--port=0", "--site-proxy-port=0", *args)
        assert popen.stdout is not None
        lines: list[str] = []
        for line in popen.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        else:
            raise AssertionError(popen.communicate()[1])
        told = dict(line.split("  ", 1) for line in lines[:4])
        site_url = told["site URL"].split()[0]
        key = told["admin key"].strip()
        return Served(popen, told["URL"].strip(), site_url, key, "".join(lines))

    return run


@pytest.fixture
def convex(node: Path, tmp_path: Path, compile_cache: Path) -> Convex:
    """Runs the official CLI in a project that is set up as the command says."""

    def run(project: Path, served: Served, *args: str) -> processes.Completed:
        lines = [line for line in served.notice.splitlines() if line.startswith("CONVEX_")]
        (project / ".env.local").write_text("\n".join(lines) + "\n")
        return processes.run(
            [node, project / "node_modules/convex/bin/main.js", *args],
            cwd=project,
            env=processes.environment(
                home=tmp_path, path=[node.parent], CI="1", NODE_COMPILE_CACHE=str(compile_cache)
            ),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )

    return run
