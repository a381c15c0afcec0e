"""Strict TypeScript over an answer, by the native compiler as a process of its own.

A process a workspace costs 80 ms and shares nothing: a type bomb (four lines of types can take 12
GB) ends alone, at its limits, as a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.processes import Completed, environment, run
from pytest_convex_eval.toolchain.exhaustion import GO_SETTINGS, limits, ran_out
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.positions import SourceTree

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


def check_types(
    toolchain: Toolchain, workspace_root: Path, *, scratch: Path, deadline_seconds: float
) -> ToolReport:
    """Typechecks `convex/` of a laid-out workspace with the tsconfig that lies there (ours).

    Codes are TypeScript's (`TS2322`); `typecheck/resource-limit` when the answer's types exhaust
    memory, stack, CPU time or the deadline. Errors in generated code count against the
    answer, whose exports they are about; those inside of a dependency are warnings. Raises
    InfrastructureError when the compiler cannot be run, crashes, or refuses our configuration.
    """
    try:
        done = run(
            [toolchain.tsc, "--noEmit", "-p", "convex", "--pretty", "false", "--singleThreaded"],
            cwd=workspace_root,
            env={**environment(home=scratch), **GO_SETTINGS},
            limits=limits(deadline_seconds),
        )
    except OSError as error:
        raise InfrastructureError(
            f"the TypeScript compiler could not be started: {error}"
        ) from error
    output = done.stdout + done.stderr
    findings = tuple(_diagnostics(done, workspace_root))
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


def _diagnostics(done: Completed, root: Path) -> Iterator[Finding]:
    tree = SourceTree(root)
    for match in _DIAGNOSTIC.finditer(done.stdout):
        code, path, message = match["code"], match["path"], match["text"]
        if path is None or path == "convex/tsconfig.json":
            if _CONFIGURATION.fullmatch(code) and code != _NO_INPUTS:
                raise InfrastructureError(f"tsc refuses the harness's tsconfig: {message}")
            message = "convex/ holds no TypeScript file" if code == _NO_INPUTS else message
            yield Finding(code, message, "warning" if code == _NO_TYPES else "error")
            continue
        source = tree[path]
        place = source.in_utf16(int(match["line"]), int(match["column"]))
        yield Finding(
            code=code,
            message=message,
            severity="error" if _in_answer(path) else "warning",
            path=path,
            line=place.line,
            column=place.column,
            excerpt=source.excerpt(place.line),
        )


def _in_answer(path: str) -> bool:
    """Whether `path` lies in the workspace; what its link to the dependencies leads to does not."""
    parts = path.split("/")
    return parts[0] not in {"", ".."} and "node_modules" not in parts
