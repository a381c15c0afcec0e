"""TypeScript 7's API server: one warm compiler for all the workspaces of a process.

What is the same in all of them (the declarations of TypeScript and of Convex) stays parsed, so that
a workspace takes less than half of the CPU time of a compiler that starts cold. The server only
ever saves time: it says what the command line would say, or it gives no answer, and the command
line is asked instead.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from pytest_convex_eval import processes
from pytest_convex_eval.toolchain.exhaustion import ADDRESS_SPACE_BYTES
from pytest_convex_eval.toolchain.tsapi_wire import NoAnswerError, Wire

CHECK_CPU_SECONDS = 2.0
"""For one workspace: some forty times of what good code takes. What takes more is better off in a
process of its own, whose end costs the next workspace nothing."""

CHECKS = 200
"""After so many workspaces a server has grown, and makes way for a fresh one."""

_LIFE_CPU_SECONDS = 120
_START_SECONDS = 10.0
_MOST_FAILURES = 3

# What stays parsed takes 35 MiB. At this limit a server is 110 MiB large, and a check takes some
# 50 ms of CPU; at 150 MiB, 47 ms; at 64 MiB, 84 ms. With Go's defaults: 150 MiB and 56 ms.
_GO_SETTINGS = {"GOGC": "off", "GOMEMLIMIT": "100MiB"}

_ERROR = 1

_T = TypeVar("_T")


class Diagnostic(BaseModel):
    """One thing that the compiler says. `pos` and `end` are UTF-16 units from the file's start."""

    model_config = ConfigDict(frozen=True)

    file_name: str | None = Field(None, alias="fileName")
    pos: int
    end: int
    code: int
    category: int
    text: str
    chain: tuple[Diagnostic, ...] = Field((), alias="messageChain")

    @property
    def message(self) -> str:
        """The text with what explains it, a line each, deeper the more it explains."""
        return "\n".join(self._lines(0))

    def _lines(self, depth: int) -> Iterable[str]:
        yield "  " * depth + self.text
        for further in self.chain:
            yield from further._lines(depth + 1)


class _Project(BaseModel):
    id: str
    config: str = Field(alias="configFileName")


class _Snapshot(BaseModel):
    id: int = Field(alias="snapshot")
    projects: tuple[_Project, ...]


_SNAPSHOT = TypeAdapter(_Snapshot)
_DIAGNOSTICS: TypeAdapter[list[Diagnostic] | None] = TypeAdapter(list[Diagnostic] | None)


@dataclass(frozen=True, slots=True)
class Checked:
    """The errors of one workspace, in the command line's order, and the CPU seconds they took."""

    errors: tuple[Diagnostic, ...]
    cpu_seconds: float


class TypeServer:
    """The server of this process: started when it is first needed, and again when it has ended.

    It ends at the end of its input, so also when this process is killed. Use as a context manager,
    or call `close`.
    """

    def __init__(self, tsc: Path) -> None:
        """`tsc`: TypeScript's native compiler."""
        self._tsc = tsc
        self._stack = contextlib.ExitStack()
        self._wire: Wire | None = None
        self._pid = 0
        self._open: str | None = None
        self._seen: set[str] = set()
        self._failures = 0
        self._failure: NoAnswerError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The server's process, where one runs."""
        return self._pid or None

    @property
    def failure(self) -> NoAnswerError | None:
        """Why there was no answer when there was none, the last time."""
        return self._failure

    def close(self) -> None:
        """Ends the server; the next check starts another."""
        self._stack.close()
        self._wire = self._open = None
        self._pid = 0
        self._seen.clear()

    def check(self, root: Path, *, wall_seconds: float) -> Checked:
        """The errors of the project `convex/tsconfig.json` below `root`, a resolved path.

        Raises NoAnswerError where the command line must be asked: after a limit, a death, or an
        answer of another kind than errors in files; the server is then gone. Raises it at once when
        several servers in a row were of no use.
        """
        if self._failures >= _MOST_FAILURES:
            raise NoAnswerError("the last servers gave no answers")
        try:
            checked = self._check(str(root / "convex" / "tsconfig.json"), wall_seconds)
        except NoAnswerError as error:
            self._failure = error
            self._failures += error.broken
            self.close()
            raise
        except BaseException:
            # An answer that nobody waits for any more would be taken for the next one's.
            self.close()
            raise
        self._failures = 0
        return checked

    def _check(self, config: str, wall_seconds: float) -> Checked:
        if self._wire is not None and self._stale(config, self._wire):
            self.close()
        before = processes.cpu_seconds_of(self._pid) if self._pid else 0.0
        wire = self._wire or self._start()
        until = time.monotonic() + wall_seconds

        def used() -> float:
            return processes.cpu_seconds_of(self._pid) - before

        def call(method: str, params: dict[str, JsonValue]) -> JsonValue:
            return wire.call(method, params, until=until, spent=lambda: used() > CHECK_CPU_SECONDS)

        # In one step: what the last project shares with this one then stays parsed.
        change: dict[str, JsonValue] = {"openProjects": [config]}
        if self._open is not None:
            change["closeProjects"] = [self._open]
        snapshot = _valid(_SNAPSHOT, call("updateSnapshot", change))
        self._open = config
        self._seen.add(config)
        project = next((one for one in snapshot.projects if one.config == config), None)
        if project is None:
            raise NoAnswerError("the server found no project")
        where: dict[str, JsonValue] = {"snapshot": snapshot.id, "project": project.id}

        def diagnostics(kind: str) -> list[Diagnostic]:
            return _valid(_DIAGNOSTICS, call(f"get{kind}Diagnostics", where)) or []

        # The command line leaves out semantic errors where there are others, by rules of its own;
        # errors of the configuration are no answer's, and so rare that they may cost time.
        if diagnostics("ConfigFileParsing") or diagnostics("Program"):
            raise NoAnswerError("there are errors outside of files", broken=False)
        errors = diagnostics("Syntactic")
        if not errors:
            # Semantic errors first: the other call would make more checkers than it takes.
            errors = diagnostics("Semantic")
            if diagnostics("Global"):
                raise NoAnswerError("there are errors outside of files", broken=False)
        call("release", {"snapshot": snapshot.id})
        return Checked(_in_order(errors), used())

    def _stale(self, config: str, wire: Wire) -> bool:
        """Whether the server has ended, or grown, or remembers the files of an earlier project."""
        return len(self._seen) >= CHECKS or config in self._seen or wire.at_end()

    def _start(self) -> Wire:
        # It writes nothing, and asked for a folder would leave one behind when we are killed.
        root = Path("/")
        silence = self._stack.enter_context((root / os.devnull).open("wb"))
        try:
            child = self._stack.enter_context(
                processes.running(
                    [self._tsc, "--api", "--async", "--cwd", root],
                    cwd=root,
                    env={**processes.environment(home=root), **_GO_SETTINGS},
                    limits=processes.Limits(
                        wall_seconds=_START_SECONDS,
                        cpu_seconds=_LIFE_CPU_SECONDS,
                        address_space_bytes=ADDRESS_SPACE_BYTES,
                    ),
                    stderr=silence,
                )
            )
        except OSError as error:
            raise NoAnswerError(f"the server could not be started: {error}") from error
        self._pid = child.pid
        self._wire = wire = _wire(child)
        # Asked to end by a signal, the server takes a second; at the end of its input it ends.
        self._stack.callback(wire.close)
        until = time.monotonic() + _START_SECONDS
        wire.call("initialize", None, until=until, spent=lambda: False)
        return wire


def _wire(child: subprocess.Popen[bytes]) -> Wire:
    assert child.stdin is not None
    assert child.stdout is not None
    return Wire(child.stdin, child.stdout)


def _valid(adapter: TypeAdapter[_T], result: JsonValue) -> _T:
    try:
        return adapter.validate_python(result)
    except ValidationError as error:
        raise NoAnswerError(f"the server says something unexpected: {error}") from error


def _in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The errors among `diagnostics`, once each, in the command line's order."""
    errors = dict.fromkeys(one for one in diagnostics if one.category == _ERROR)
    return tuple(
        sorted(errors, key=lambda one: (one.file_name or "", one.pos, one.end, one.code, one.text))
    )
