"""`convex-eval serve`: the embedded deployment for any Convex project, in the foreground."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

from pydantic import TypeAdapter, ValidationError

from pytest_convex_eval import processes
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.embedded import (
    START_SECONDS,
    server_command,
    server_variables,
)
from pytest_convex_eval.outcomes import InfrastructureError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NPM = re.compile(r"npm_config_.+|NODE_EXTRA_CA_CERTS|.*_proxy", re.IGNORECASE)
_KEY = re.compile(r"[^\s:']+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve where. Raises ValueError for what can't be served.

    Ports are those of the loopback addresses, 0 for any that is free; `data` is a folder that
    keeps everything, None for memory alone.
    """

    port: int
    site_proxy_port: int
    admin_key: str | None = None
    instance_name: str | None = None
    data: Path | None = None

    def __post_init__(self) -> None:
        for flag, port in (("--port", self.port), ("--site-proxy-port", self.site_proxy_port)):
            if not 0 <= port <= 65535:
                raise ValueError(f"{flag} {port}: a port is a number from 0 to 65535")
        if self.port == self.site_proxy_port != 0:
            raise ValueError(f"--port and --site-proxy-port are both {self.port}: they must differ")
        if self.admin_key is not None and not _KEY.fullmatch(self.admin_key):
            raise ValueError("an admin key has no spaces, colons and quotes, and is not empty")
        if self.instance_name is not None and not _NAME.fullmatch(self.instance_name):
            raise ValueError("an instance's name is made of letters, digits, - and _")

    def arguments(self) -> list[str]:
        """The server's own flags."""
        flags = {
            "--port": self.port,
            "--site-proxy-port": self.site_proxy_port,
            "--admin-key": self.admin_key,
            "--instance-name": self.instance_name,
            "--data": None if self.data is None else self.data.absolute(),
        }
        return [f"{flag}={value}" for flag, value in flags.items() if value is not None]


@dataclass(frozen=True, slots=True)
class _Ready:
    url: str
    site_url: str
    instance_name: str
    admin_key: str


@dataclass(frozen=True, slots=True)
class _Problem:
    code: str
    message: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    error: _Problem


_FIRST_LINE: TypeAdapter[_Ready | _Failed] = TypeAdapter(_Ready | _Failed)


def serve(options: ServeOptions, *, node: Path, out: TextIO) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP, and then ends everything that it started.

    `node` is the Node 24 program; what a person needs to know is printed to `out`. Must be called
    in the main thread. Raises InfrastructureError when the server can't start (a port that is in
    use, data that can't be read) or ended by itself.
    """
    cache = default_cache()
    args = [*server_command(node, cache), "--online", *options.arguments()]
    # Neither is written to: a temporary folder of its own would outlive a kill.
    anywhere = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        stopped = stack.enter_context(_stop_signals())
        stderr = stack.enter_context(os.fdopen(os.dup(2), "wb"))
        try:
            child = stack.enter_context(
                processes.running(
                    args,
                    cwd=anywhere,
                    env=processes.environment(
                        home=anywhere, path=(), **server_variables(cache), **_npm_settings()
                    ),
                    limits=processes.Limits(wall_seconds=START_SECONDS),
                    stderr=stderr,
                )
            )
        except OSError as error:
            raise InfrastructureError(f"Node can't be started: {error}") from error
        assert child.stdout is not None
        line = _first_line(child.stdout, stopped)
        if line is None:
            return
        print(_notice(_ready(line, options), options), file=out, flush=True)
        if not _wait(child.stdout, stopped, None):
            raise InfrastructureError("the server ended by itself; what it said stands above")


def _npm_settings() -> dict[str, str]:
    """How npm reaches a registry here: it installs what convex.json leaves out of bundles."""
    own = Path.home() / ".npmrc"
    settings = {"npm_config_userconfig": str(own)} if own.exists() else {}
    return settings | {name: value for name, value in os.environ.items() if _NPM.fullmatch(name)}


@contextlib.contextmanager
def _stop_signals() -> Iterator[int]:
    """A file that can be read once one of the signals has come; they end nothing by themselves."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    previous = signal.set_wakeup_fd(writer)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _wait(stdout: IO[bytes], stopped: int, deadline: float | None) -> bool:
    """Until the server says something or ends (False), or a signal has come (True)."""
    with selectors.DefaultSelector() as selector:
        selector.register(stopped, selectors.EVENT_READ)
        selector.register(stdout, selectors.EVENT_READ)
        remaining = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        ready = selector.select(remaining)
    if not ready:
        raise InfrastructureError(f"the server was not ready after {START_SECONDS:g} s")
    return any(key.fileobj == stopped for key, _ in ready)


def _first_line(stdout: IO[bytes], stopped: int) -> bytes | None:
    """What the server says first; None when a signal came before."""
    deadline = time.monotonic() + START_SECONDS
    line = bytearray()
    while not line.endswith(b"\n"):
        if _wait(stdout, stopped, deadline):
            return None
        chunk = os.read(stdout.fileno(), 65536)
        if not chunk:
            raise InfrastructureError("the server ended at once; what it said stands above")
        line += chunk
    return bytes(line)


def _ready(line: bytes, options: ServeOptions) -> _Ready:
    try:
        said = _FIRST_LINE.validate_json(line)
    except ValidationError as error:
        raise InfrastructureError(
            "the server says something unexpected", detail=str(error)
        ) from error
    if isinstance(said, _Ready):
        return said
    problem = said.error
    if problem.code == "port-in-use":
        flag = "--port" if problem.port == options.port else "--site-proxy-port"
        raise InfrastructureError(
            f"port {problem.port} is in use: end what serves there, or choose another with {flag} "
            f"({flag} 0: any that is free)"
        )
    raise InfrastructureError(problem.message)


def _notice(ready: _Ready, options: ServeOptions) -> str:
    data = "in memory, and gone when this ends (--data DIR keeps it)"
    if options.data is not None:
        data = f"kept in {options.data}"
    return f"""\
URL        {ready.url}
site URL   {ready.site_url}   (HTTP actions)
admin key  {ready.admin_key}
data       {data}

Put this into the project's .env.local, in place of any CONVEX_DEPLOYMENT:

CONVEX_SELF_HOSTED_URL={ready.url}
CONVEX_SELF_HOSTED_ADMIN_KEY='{ready.admin_key}'

Then run `npx convex dev`. Ctrl-C ends this server."""
