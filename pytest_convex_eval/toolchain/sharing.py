"""Few warm tools for many processes: xdist's controller holds them, and its workers ask it.

Eight compilers and eight linters for eight workers would take a gigabyte, on two cores that keep
one of each busy for a fifth of the time. So there is one of each for every four cores, and whoever
asks waits for one that is free. What is asked and answered goes over a Unix socket that nobody
else can reach, a line of JSON each.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from pytest_convex_eval.toolchain.lint.oxlint import Linter
from pytest_convex_eval.toolchain.lint.oxlint_server import Linted, OxlintServer
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
from pytest_convex_eval.toolchain.servers.tsapi import Checked, TypeServer
from pytest_convex_eval.toolchain.servers.warm import WarmServer
from pytest_convex_eval.toolchain.typecheck import Types

CORES_A_SERVER = 4
"""Of the CPU that an item takes, a twentieth is the compiler's and a sixth the linter's."""

_SLACK_SECONDS = 5.0

_S = TypeVar("_S", bound=WarmServer)
_A = TypeVar("_A")


@dataclass(frozen=True, slots=True)
class WarmTools:
    """What checks code without starting anew. Nothing runs before it is first asked."""

    types: Types
    linter: Linter
    close: Callable[[], None]


def own_tools(toolchain: Toolchain) -> WarmTools:
    """Tools of this process alone."""
    types, linter = TypeServer(toolchain.tsc), OxlintServer(toolchain)

    def close() -> None:
        types.close()
        linter.close()

    return WarmTools(types, linter, close)


def shared_tools(address: str) -> WarmTools | None:
    """Those of the `Host` at `address`; None when nobody is there, as for a worker elsewhere."""
    try:
        guest = Guest(address)
    except OSError:
        return None
    return WarmTools(guest, guest, guest.close)


@dataclass(frozen=True, slots=True)
class _CheckTypes:
    root: Path
    wall_seconds: float
    what: Literal["types"] = "types"


@dataclass(frozen=True, slots=True)
class _Lint:
    root: Path
    arguments: tuple[str, ...]
    wall_seconds: float
    what: Literal["lint"] = "lint"


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    message: str
    broken: bool


# Building them takes as long as importing everything else here; a process that shares nothing needs
# neither.
@cache
def _requests() -> TypeAdapter[_CheckTypes | _Lint]:
    return TypeAdapter(Annotated[_CheckTypes | _Lint, Field(discriminator="what")])


@cache
def _answers() -> TypeAdapter[Checked | Linted | _NoAnswer]:
    return TypeAdapter(Checked | Linted | _NoAnswer)


class Pool(Generic[_S]):
    """A few servers of one kind, for many threads. The one that was used last is used first, so
    that there are no more of them than are needed at a time."""

    def __init__(self, make: Callable[[], _S], most: int) -> None:
        self._make = make
        self._free = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._idle: list[_S] = []
        self._busy: list[_S] = []
        self._closed = False

    @contextlib.contextmanager
    def lease(self, wall_seconds: float) -> Iterator[_S]:
        """A server for the block alone. Raises NoAnswerError when none is free in time."""
        if not self._free.acquire(timeout=wall_seconds):
            raise NoAnswerError("all servers are busy", broken=False)
        try:
            with self._lock:
                if self._closed:
                    raise NoAnswerError("the servers have been ended", broken=False)
                server = self._idle.pop() if self._idle else self._make()
                self._busy.append(server)
            try:
                yield server
            finally:
                with self._lock:
                    self._busy.remove(server)
                    if self._closed:
                        server.close()
                    else:
                        self._idle.append(server)
        finally:
            self._free.release()

    def close(self) -> None:
        """Ends all servers; whoever waits for one gets no answer."""
        with self._lock:
            self._closed = True
            for server in self._busy:
                server.abort()
            for server in self._idle:
                server.close()
            self._idle.clear()


class Host:
    """The tools that other processes ask for, until `close`."""

    def __init__(self, address: Path, toolchain: Toolchain) -> None:
        """`address`: of the socket, in a folder that is not there yet and will be nobody else's.

        Raises OSError when it can't be made.
        """
        most = max(1, (os.cpu_count() or 1) // CORES_A_SERVER)
        self._types = Pool(lambda: TypeServer(toolchain.tsc), most)
        self._linters = Pool(lambda: OxlintServer(toolchain), most)
        self._folder = address.parent
        self._folder.mkdir(mode=0o700)
        try:
            self._server = _SocketServer(str(address), self._answer)
        except OSError:
            self._folder.rmdir()
            raise
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Ends the tools; whoever waits for an answer gets none."""
        self._server.shutdown()
        self._server.server_close()
        self._types.close()
        self._linters.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self, line: bytes) -> bytes:
        try:
            answer: Checked | Linted | _NoAnswer = self._asked(_requests().validate_json(line))
        except NoAnswerError as error:
            answer = _NoAnswer(str(error), error.broken)
        except ValidationError as error:
            answer = _NoAnswer(f"this is no question: {error}", broken=True)
        return _answers().dump_json(answer, by_alias=True) + b"\n"

    def _asked(self, request: _CheckTypes | _Lint) -> Checked | Linted:
        seconds = request.wall_seconds
        if isinstance(request, _CheckTypes):
            with self._types.lease(seconds) as types:
                return types.check(request.root, wall_seconds=seconds)
        with self._linters.lease(seconds) as linter:
            return linter.lint(request.root, request.arguments, wall_seconds=seconds)


class _SocketServer(socketserver.ThreadingUnixStreamServer):
    """A thread for each process that asks."""

    daemon_threads = True
    # All workers may connect at once.
    request_queue_size = 128
    # A worker that has been killed leaves its thread in a read that ends at once.
    block_on_close = False

    def __init__(self, address: str, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        super().__init__(address, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _SocketServer

    def handle(self) -> None:
        # Whoever asked may have been ended meanwhile.
        with contextlib.suppress(OSError):
            for line in self.rfile:
                self.wfile.write(self.server.answer(line))


class Guest:
    """The tools of another process, over its `Host.address`. One question at a time."""

    def __init__(self, address: str) -> None:
        """Raises OSError when nobody is there."""
        self._address = address
        self._socket: socket.socket | None = self._connected()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def check(self, root: Path, *, wall_seconds: float) -> Checked:
        """See `TypeServer.check`."""
        return self._ask(_CheckTypes(root, wall_seconds), Checked)

    def lint(self, root: Path, arguments: Sequence[str], *, wall_seconds: float) -> Linted:
        """See `OxlintServer.lint`."""
        return self._ask(_Lint(root, tuple(arguments), wall_seconds), Linted)

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self._address)
        except OSError:
            connection.close()
            raise
        return connection

    def _ask(self, request: _CheckTypes | _Lint, kind: type[_A]) -> _A:
        try:
            line = self._exchanged(request)
        except OSError as error:
            self.close()
            raise NoAnswerError(f"the tools can't be reached: {error}") from error
        except BaseException:
            # An answer that nobody waits for any more would be taken for the next one's.
            self.close()
            raise
        try:
            answer = _answers().validate_json(line)
        except ValidationError as error:
            raise NoAnswerError(f"the tools say something unexpected: {error}") from error
        if isinstance(answer, _NoAnswer):
            raise NoAnswerError(answer.message, broken=answer.broken)
        if not isinstance(answer, kind):
            raise NoAnswerError("the tools answer something else")
        return answer

    def _exchanged(self, request: _CheckTypes | _Lint) -> bytes:
        if self._socket is None:
            self._socket = self._connected()
        # As long to wait for a free one as for the answer.
        self._socket.settimeout(2 * request.wall_seconds + _SLACK_SECONDS)
        self._socket.sendall(_requests().dump_json(request) + b"\n")
        received = bytearray()
        while not received.endswith(b"\n"):
            chunk = self._socket.recv(1 << 20)
            if not chunk:
                raise ConnectionError("the connection was closed")
            received += chunk
        return bytes(received)
