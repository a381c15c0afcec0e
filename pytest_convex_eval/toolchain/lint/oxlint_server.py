"""oxlint with its plugins loaded once, for many workspaces: half of a lint's CPU is that start."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval import processes
from pytest_convex_eval.leftovers import new_scratch
from pytest_convex_eval.toolchain.exhaustion import GO_SETTINGS
from pytest_convex_eval.toolchain.lint.tsgolint import Tsgolint
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.servers import warm
from pytest_convex_eval.toolchain.servers.pipes import MOST_BYTES, NoAnswerError, Pipes
from pytest_convex_eval.toolchain.servers.warm import WarmServer

LINT_CPU_SECONDS = 2
"""For one workspace, and as much for its types: some ten times of what good code takes. What takes
more is better off in a process of its own."""

LINTS = 200
"""After so many workspaces a server makes way for a fresh one."""

_PROGRAM = Path(__file__).with_name("oxlint_server.mjs")

_LIFE_CPU_SECONDS = 120

# Of Node; what needs more gets it in a process of its own.
_HEAP_MEGABYTES = 256


@dataclass(frozen=True, slots=True)
class Linted:
    """What oxlint printed of one workspace, and the CPU seconds that it and tsgolint took."""

    report: str
    cpu_seconds: float


class OxlintServer(WarmServer):
    """The server, which lints one workspace at a time."""

    def __init__(self, toolchain: Toolchain) -> None:
        super().__init__()
        self._toolchain = toolchain
        self._pipes: Pipes | None = None
        self._tsgolint: Tsgolint | None = None
        self._seen: set[Path] = set()

    def close(self) -> None:
        super().close()
        self._pipes = self._tsgolint = None
        self._seen.clear()

    def lint(self, root: Path, arguments: Sequence[str], *, wall_seconds: float) -> Linted:
        """What the command line prints with `arguments` in the workspace `root`.

        Raises NoAnswerError where the command line must be asked: after a limit or a death.
        """
        return self._asked(lambda: self._lint(root, arguments, wall_seconds))

    def _lint(self, root: Path, arguments: Sequence[str], wall_seconds: float) -> Linted:
        if self._pipes is not None and self._stale(root, self._pipes):
            self.close()
        before = self._cpu_seconds()
        pipes, tsgolint = self._started()
        tsgolint.forget()
        self._seen.add(root)
        # Nothing that is printed of an answer can hold it.
        mark = f"end of report {secrets.token_hex(16)}"
        request = {"cwd": str(root), "args": list(arguments), "mark": mark}
        pipes.send(json.dumps(request).encode() + b"\n")
        report = pipes.read_to(
            f"\n{mark}\n".encode(),
            most_bytes=MOST_BYTES,
            until=time.monotonic() + wall_seconds,
            spent=lambda: self._cpu_seconds() - before > LINT_CPU_SECONDS,
        )
        used = self._cpu_seconds() - before
        if tsgolint.gave_up(used):
            raise NoAnswerError("tsgolint ran into its limits", broken=False)
        return Linted(report.decode("utf-8", "replace"), used)

    def _stale(self, root: Path, pipes: Pipes) -> bool:
        """Whether the server has ended, or grown, or remembers something of this folder."""
        return len(self._seen) >= LINTS or root in self._seen or pipes.at_end()

    def _started(self) -> tuple[Pipes, Tsgolint]:
        if self._pipes is not None and self._tsgolint is not None:
            return self._pipes, self._tsgolint
        scratch = new_scratch("oxlint")
        self._stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        log = self._stack.enter_context((scratch / "server.log").open("wb"))
        self._tsgolint = Tsgolint(self._toolchain.tsgolint, scratch, LINT_CPU_SECONDS)
        self._pipes = self._run(
            [
                self._toolchain.node,
                f"--max-old-space-size={_HEAP_MEGABYTES}",
                _PROGRAM,
                self._toolchain.oxlint_modules,
            ],
            cwd=scratch,
            env={
                **processes.environment(
                    home=scratch, OXLINT_TSGOLINT_PATH=str(self._tsgolint.script())
                ),
                **GO_SETTINGS,
            },
            limits=processes.Limits(wall_seconds=warm.START_SECONDS, cpu_seconds=_LIFE_CPU_SECONDS),
            stderr=log,
        )
        return self._pipes, self._tsgolint
