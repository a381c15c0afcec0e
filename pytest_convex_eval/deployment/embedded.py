"""The embedded deployment: our own server, a child process of this one."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, Unpack

from pydantic import JsonValue, TypeAdapter, ValidationError

from pytest_convex_eval import processes
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.contract import (
    CALL_SECONDS,
    LONG_CALL_SECONDS,
    Deployment,
    seconds_for,
)
from pytest_convex_eval.deployment.embedded_api import EmbeddedApi
from pytest_convex_eval.deployment.model import Arguments, By, Deployed, FunctionResult, PushOutcome
from pytest_convex_eval.functions import FunctionKind
from pytest_convex_eval.leftovers import new_scratch
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.text import well_formed_json

SERVER = Path(__file__).parents[1] / "server" / "server.ts"

START_SECONDS = 60.0
"""For the server to be ready: it takes 0.1 s on an idle machine."""

_MAX_READY_BYTES = 65536


@dataclass(frozen=True, slots=True)
class _Ready:
    """The line that the server prints once it serves."""

    url: str
    site_url: str
    instance_name: str
    admin_key: str


T = TypeVar("T")

_READY = TypeAdapter(_Ready)
_DEPLOYED = TypeAdapter(Deployed)
_OUTCOME = TypeAdapter(PushOutcome)
_NAMES = TypeAdapter(list[str])


class EmbeddedDeployment(Deployment):
    """A deployment of this process's own, empty when it is started.

    It can neither outlive this process (the server ends with its stdin) nor see anything of it
    (an environment of its own).
    """

    def __init__(
        self, node: Path, *, start_seconds: float = START_SECONDS, cache: Path | None = None
    ) -> None:
        """`node`: the Node 24 program that runs the server; `cache`: where what Node makes of its
        code is kept, the user's cache folder unless another is given."""
        self._node = node
        self._cache = cache or default_cache()
        self._start_seconds = start_seconds
        self._stack = contextlib.ExitStack()
        self._scratch: Path | None = None
        self._stdout: IO[bytes] | None = None
        self._pid = 0
        self._ready: _Ready | None = None

    def start(self) -> None:
        self.close()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()
        self._ready = self._stdout = self._scratch = None
        self._pid = 0

    def release(self) -> None:
        """Nobody else ever uses it."""

    @property
    def push_url(self) -> str:
        """The server knows itself how a push ended."""
        return self.url

    @property
    def pid(self) -> int:
        self._running()
        return self._pid

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            raise InfrastructureError("the embedded deployment is not running")
        return self._scratch

    def alive(self) -> bool:
        if self._ready is None or self._stdout is None or _at_end(self._stdout):
            return False
        try:
            return self._client().text("/instance_name") == self._ready.instance_name
        except InfrastructureError:
            return False

    def cpu_seconds(self) -> float:
        """CPU seconds of the server and of the isolates that it ended."""
        return processes.cpu_seconds_of(self._pid) if self._pid else 0.0

    def reset(self) -> None:
        # A server that died is started anew.
        if not self.alive():
            self.start()
            return
        self._client().post("/api/convex_eval/reset")

    def set_environment(self, changes: Mapping[str, str | None]) -> None:
        self._client().post(
            "/api/update_environment_variables",
            {"changes": [{"name": name, "value": value} for name, value in changes.items()]},
        )

    def deployed(self) -> Deployed:
        return _validate(_DEPLOYED, self._client().text("/api/convex_eval/deployed"))

    def unknown_operations(self) -> Sequence[str]:
        """Operations that functions asked for since the last reset and that it does not know."""
        return _validate(_NAMES, self._client().text("/api/convex_eval/unknown"))

    def unknown_of(self, body: JsonValue) -> JsonValue:
        """Which of the named `validators`, `operations` and `routes` it does not know."""
        return self._client().post("/api/convex_eval/unknown_of", body)

    def last_push(self) -> PushOutcome:
        return _validate(_OUTCOME, self._client().text("/api/convex_eval/last_push"))

    def reset_data(self, now: float | None = None) -> None:
        self._client().post("/api/convex_eval/reset_data", {"now": now})

    def allow_origins(self, origins: Sequence[str]) -> None:
        self._client().post("/api/convex_eval/reachable", {"origins": list(origins)})

    def call(
        self, kind: FunctionKind, path: str, args: Arguments | None = None, **by: Unpack[By]
    ) -> FunctionResult:
        return self._api(seconds_for(kind)).call(kind, path, args, **by)

    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        return self._api().insert(table, documents)

    def delete(self, ids: Sequence[str]) -> None:
        self._api().delete(ids)

    def documents(self, table: str) -> list[dict[str, JsonValue]]:
        return self._api().documents(table)

    def advance(self, seconds: float) -> list[str]:
        return self._api(LONG_CALL_SECONDS).advance(seconds)

    def log(self) -> str:
        """What the server wrote to stderr: nothing, unless it failed."""
        try:
            return (self.scratch / "server.log").read_text("utf-8", "replace")
        except OSError:
            return ""

    def _client(self) -> Client:
        ready = self._running()
        return Client(ready.url, ready.admin_key)

    def _api(self, timeout_seconds: float = CALL_SECONDS) -> EmbeddedApi:
        ready = self._running()
        return EmbeddedApi(
            Client(ready.url, ready.admin_key, timeout_seconds),
            Client(ready.site_url, ready.admin_key, timeout_seconds),
        )

    def _running(self) -> _Ready:
        if self._ready is None:
            raise InfrastructureError("the embedded deployment is not running")
        return self._ready

    def _start(self) -> None:
        scratch = new_scratch("deployment")
        self._stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        self._scratch = scratch
        log = self._stack.enter_context((scratch / "server.log").open("wb"))
        args = server_command(self._node, self._cache)
        args += ["--port", "0", "--site-proxy-port", "0"]
        try:
            child = self._stack.enter_context(
                processes.running(
                    args,
                    cwd=scratch,
                    env=processes.environment(
                        home=scratch, path=(), **server_variables(self._cache)
                    ),
                    limits=processes.Limits(wall_seconds=self._start_seconds),
                    stderr=log,
                )
            )
        except OSError as error:
            raise InfrastructureError(f"Node can't be started: {error}") from error
        assert child.stdout is not None
        line = _first_line(child.stdout, time.monotonic() + self._start_seconds)
        if not line.endswith(b"\n"):
            raise InfrastructureError(
                f"the embedded deployment was not ready after {self._start_seconds:g} s",
                detail=self.log(),
            )
        self._ready = _validate(_READY, line.decode("utf-8", "replace"))
        self._stdout = child.stdout
        self._pid = child.pid


def server_command(node: Path, cache: Path) -> list[str | Path]:
    """Starts the server, without its own flags. What is made of its code is kept in `cache`."""
    # Node says of each way to strip types that it may change.
    quiet = "--disable-warning=ExperimentalWarning"
    return [node, quiet, SERVER, "--cache", cache / "server"]


def server_variables(cache: Path) -> dict[str, str]:
    """The variables under which `server_command` runs: Node keeps there what it compiled, and with
    it the code without types. Without, each start takes four times the CPU (0.43 s for 0.11)."""
    return {"NODE_COMPILE_CACHE": str(cache / "server" / "compiled")}


def _validate(adapter: TypeAdapter[T], text: str) -> T:
    try:
        return adapter.validate_json(well_formed_json(text))
    except ValidationError as error:
        raise InfrastructureError(
            "the embedded deployment says something unexpected", detail=f"{error}\n{text}"
        ) from error


def _first_line(stream: IO[bytes], deadline: float) -> bytes:
    """What comes up to the first line end, the end of the stream, or the deadline."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < _MAX_READY_BYTES:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not select.select([stream], [], [], remaining)[0]:
            break
        chunk = os.read(stream.fileno(), 4096)
        if not chunk:
            break
        line += chunk
    return bytes(line)


def _at_end(stream: IO[bytes]) -> bool:
    """Whether the process that held the other end is gone. The server prints nothing after its
    ready line, so there is never anything to read but the end."""
    return bool(select.select([stream], [], [], 0)[0])
