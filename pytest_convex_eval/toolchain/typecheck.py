"""Strict TypeScript over an answer, by the native compiler: warm where it can be, or cold.

The warm server (`tsapi`) takes less than half of the CPU time. A cold process shares nothing: a
type bomb (four lines of types can take 12 GB) ends alone there, at its limits, as a finding. Both
say the same, to the letter.
"""

from __future__ import annotations

import os.path
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_convex_eval.outcomes import Finding, InfrastructureError, Severity
from pytest_convex_eval.processes import Completed, environment, run
from pytest_convex_eval.toolchain.exhaustion import GO_SETTINGS, limits, ran_out
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
from pytest_convex_eval.toolchain.servers.tsapi import Checked, Diagnostic
from pytest_convex_eval.toolchain.servers.warm import WARM_SHARE

# `path(line,column): error TS2322: text`, columns in UTF-16 units from 1; `error TS18003: text` for
# what is no file's; further lines of a message are indented.
_DIAGNOSTIC = re.compile(
    r"^(?:(?P<path>[^\n]+?)\((?P<line>\d+),(?P<column>\d+)\): )?error (?P<code>TS\d+): "
    r"(?P<text>.*(?:\n[ \t]+.*)*)$",
    re.MULTILINE,
)
_NO_INPUTS = "TS18003"
# An `@types` package without types (a deprecated stub). Only our `"types": ["*"]` looks at it.
_NO_TYPES = "TS2688"
_CONFIGURATION = re.compile(r"TS(?:5\d{3}|6\d{3}|18\d{3})")


class Types(Protocol):
    """A warm compiler, see `tsapi.TypeServer.check`."""

    def check(self, root: Path, *, wall_seconds: float) -> Checked: ...


@dataclass(frozen=True, slots=True)
class _Error:
    """An error as the compiler tells it: `column` in UTF-16 units, `path` as the tool names it."""

    path: str | None
    line: int
    column: int
    code: str
    text: str

    def __str__(self) -> str:
        place = f"{self.path}({self.line},{self.column}): " if self.path is not None else ""
        return f"{place}error {self.code}: {self.text}\n"


def check_types(
    toolchain: Toolchain,
    workspace_root: Path,
    *,
    scratch: Path,
    deadline_seconds: float,
    server: Types | None = None,
) -> ToolReport:
    """Typechecks `convex/` of a laid-out workspace with the tsconfig that lies there (ours).

    `server` is asked first; without one, and where it has no answer, a process of its own is
    started. Codes are TypeScript's (`TS2322`); `typecheck/resource-limit` when the answer's types
    exhaust memory, stack, CPU time or the deadline. Errors in generated code count against the
    answer, whose exports they are about; those inside of a dependency are warnings. Raises
    InfrastructureError when the compiler cannot be run, crashes, or refuses our configuration.
    """
    started = time.monotonic()
    if server is not None:
        try:
            return _warm(server, workspace_root, deadline_seconds * WARM_SHARE)
        except NoAnswerError:
            # What the server used is lost with it, and is no part of what the answer costs.
            pass
    return _cold(
        toolchain, workspace_root, scratch, deadline_seconds - (time.monotonic() - started)
    )


def _warm(server: Types, root: Path, wall_seconds: float) -> ToolReport:
    checked = server.check(root, wall_seconds=wall_seconds)
    tree = SourceTree(root)
    errors = [_placed(error, root, tree) for error in checked.errors]
    output = "".join(map(str, errors))
    return ToolReport(tuple(_findings(errors, root, tree)), output, checked.cpu_seconds)


def _placed(error: Diagnostic, root: Path, tree: SourceTree) -> _Error:
    if error.file_name is None:
        raise NoAnswerError("an error in no file among those in files")
    path = os.path.relpath(error.file_name, root)
    line, column = tree[path].utf16_at(error.pos)
    return _Error(path, line, column, f"TS{error.code}", error.message)


def _cold(toolchain: Toolchain, root: Path, scratch: Path, deadline_seconds: float) -> ToolReport:
    try:
        done = run(
            [toolchain.tsc, "--noEmit", "-p", "convex", "--pretty", "false", "--singleThreaded"],
            cwd=root,
            env={**environment(home=scratch), **GO_SETTINGS},
            limits=limits(deadline_seconds),
        )
    except OSError as error:
        raise InfrastructureError(
            f"the TypeScript compiler could not be started: {error}"
        ) from error
    output = done.stdout + done.stderr
    findings = tuple(_findings(_printed(done.stdout), root, SourceTree(root)))
    if ran_out(done, deadline_seconds):
        findings = (_resource_limit(done), *findings)
    elif done.returncode not in (0, 1, 2) or (done.returncode != 0 and not findings):
        raise InfrastructureError(
            f"the TypeScript compiler crashed with status {done.returncode}", detail=output
        )
    return ToolReport(findings, output, done.cpu_seconds)


def _resource_limit(done: Completed) -> Finding:
    spent = f"{done.wall_seconds:.0f} s, {done.cpu_seconds:.0f} s of CPU"
    return Finding(
        code="typecheck/resource-limit",
        message=f"the types of this answer exhaust the compiler (ended after {spent})",
        hint="look for recursive conditional types, and unions that multiply",
    )


def _printed(output: str) -> Iterator[_Error]:
    for match in _DIAGNOSTIC.finditer(output):
        line, column = int(match["line"] or 0), int(match["column"] or 0)
        yield _Error(match["path"], line, column, match["code"], match["text"])


def _findings(errors: Iterable[_Error], root: Path, tree: SourceTree) -> Iterator[Finding]:
    for error in errors:
        # Types and modules are named by whole paths; the folder is another in each run.
        text = error.text.replace(f"{root}/", "")
        if error.path is None or error.path == "convex/tsconfig.json":
            if _CONFIGURATION.fullmatch(error.code) and error.code != _NO_INPUTS:
                raise InfrastructureError(f"tsc refuses the harness's tsconfig: {text}")
            no_inputs = error.code == _NO_INPUTS
            message = "convex/ holds no TypeScript file" if no_inputs else text
            severity: Severity = "warning" if error.code == _NO_TYPES else "error"
            yield Finding(error.code, message, severity)
            continue
        source = tree[error.path]
        place = source.in_utf16(error.line, error.column)
        yield Finding(
            code=error.code,
            message=text,
            severity="error" if _in_answer(error.path) else "warning",
            path=error.path,
            line=place.line,
            column=place.column,
            excerpt=source.excerpt(place.line),
        )


def _in_answer(path: str) -> bool:
    """Whether `path` lies in the workspace; what its link to the dependencies leads to does not."""
    parts = path.split("/")
    return parts[0] not in {"", ".."} and "node_modules" not in parts
