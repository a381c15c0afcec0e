"""TypeScript 7's API server: one warm compiler for many workspaces.

What is the same in all of them (the declarations of TypeScript and of Convex) stays parsed, so that
a workspace takes less than half of the CPU time of a compiler that starts cold.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from pytest_convex_eval import processes
from pytest_convex_eval.toolchain.exhaustion import ADDRESS_SPACE_BYTES
from pytest_convex_eval.toolchain.servers import warm
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
from pytest_convex_eval.toolchain.servers.tsapi_wire import Wire
from pytest_convex_eval.toolchain.servers.warm import WarmServer

CHECK_CPU_SECONDS = 2.0
"""For one workspace: some forty times of what good code takes. What takes more is better off in a
process of its own, whose end costs the next workspace nothing."""

CHECKS = 200
"""After so many workspaces a server has grown, and makes way for a fresh one."""

_LIFE_CPU_SECONDS = 120

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


class TypeServer(WarmServer):
    """The server, which keeps one project open at a time."""

    def __init__(self, tsc: Path) -> None:
        """`tsc`: TypeScript's native compiler."""
        super().__init__()
        self._tsc = tsc
        self._wire: Wire | None = None
        self._open: str | None = None
        self._seen: set[str] = set()

    def close(self) -> None:
        super().close()
        self._wire = self._open = None
        self._seen.clear()

    def check(self, root: Path, *, wall_seconds: float) -> Checked:
        """The errors of the project `convex/tsconfig.json` below `root`, a resolved path.

        Raises NoAnswerError where the command line must be asked: after a limit, a death, or an
        answer of another kind than errors in files.
        """
        return self._asked(
            lambda: self._check(str(root / "convex" / "tsconfig.json"), wall_seconds)
        )

    def _check(self, config: str, wall_seconds: float) -> Checked:
        if self._wire is not None and self._stale(config, self._wire):
            self.close()
        before = self._cpu_seconds()
        wire = self._wire or self._start()
        until = time.monotonic() + wall_seconds

        def used() -> float:
            return self._cpu_seconds() - before

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
        pipes = self._run(
            [self._tsc, "--api", "--async", "--cwd", root],
            cwd=root,
            env={**processes.environment(home=root), **_GO_SETTINGS},
            limits=processes.Limits(
                wall_seconds=warm.START_SECONDS,
                cpu_seconds=_LIFE_CPU_SECONDS,
                address_space_bytes=ADDRESS_SPACE_BYTES,
            ),
            stderr=silence,
        )
        self._wire = wire = Wire(pipes)
        until = time.monotonic() + warm.START_SECONDS
        wire.call("initialize", None, until=until, spent=lambda: False)
        return wire


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
