"""oxlint as the linter: it starts tsgolint for the rules that need types, and reads our plugins.

Only our configuration is read.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pytest_convex_eval.outcomes import ConvexEvalError, InfrastructureError
from pytest_convex_eval.processes import Completed, Limits, environment, run
from pytest_convex_eval.toolchain.exhaustion import GO_SETTINGS, ran_out
from pytest_convex_eval.toolchain.lint.across_files.facts import RULE as FACTS
from pytest_convex_eval.toolchain.lint.catalogue import Selection
from pytest_convex_eval.toolchain.lint.oxlint_server import Linted
from pytest_convex_eval.toolchain.lint.report import Diagnostic, EngineReport, is_object
from pytest_convex_eval.toolchain.lint.tsgolint import Tsgolint
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
from pytest_convex_eval.toolchain.servers.warm import WARM_SHARE

CPU_SECONDS = 10
"""The limit of tsgolint, and as much of oxlint: thirty times of what good code needs, and so few
that eight workers on two cores come to it before the stage's deadline, which would say nothing
about the code."""

# Bounds Node's heap; oxlint itself reserves too much address space for a limit on that.
_HEAP_MEGABYTES = 1024

# Names by which oxlint takes a file for minified code, and leaves it out whatever it is told.
_TAKEN_FOR_MINIFIED = re.compile(r".*[._-]min\.(?:d\.)?[cm]?[jt]sx?")

_CODE = re.compile(r"(?P<plugin>[^()]+)\((?P<rule>[^()]+)\)")
_MESSAGE_ID = re.compile(r"\[(?P<id>[^\]\n]+)\] ")
# Of a rule that threw, oxlint tells the JavaScript error's class in its text and nowhere else. Code
# that is nested thousands deep overflows the stack already where oxlint hands it to plugins.
_OVERFLOW = "\nRangeError: Maximum call stack size exceeded\n"


class Linter(Protocol):
    """A warm oxlint, see `oxlint_server.OxlintServer.lint`."""

    def lint(self, root: Path, arguments: Sequence[str], *, wall_seconds: float) -> Linted: ...


def passed_over(path: str) -> bool:
    """Whether oxlint leaves a file of this name out."""
    return _TAKEN_FOR_MINIFIED.fullmatch(path) is not None


def ask_oxlint(
    toolchain: Toolchain,
    root: Path,
    paths: Sequence[str],
    selection: Selection,
    *,
    scratch: Path,
    deadline_seconds: float,
    server: Linter | None = None,
) -> EngineReport:
    """What oxlint says of the files `paths` of a workspace.

    `server` is asked first; without one, and where it has no answer, a process of its own is
    started. Raises InfrastructureError when it cannot be run or understood.
    """
    started = time.monotonic()
    arguments = command_arguments(toolchain, paths, selection, scratch)
    if server is not None:
        try:
            linted = server.lint(root, arguments, wall_seconds=deadline_seconds * WARM_SHARE)
            return _read(linted.report, root, paths, linted.report, linted.cpu_seconds)
        except (NoAnswerError, _UnreadableError):
            # What the server used is no part of what the answer costs.
            pass
    left = deadline_seconds - (time.monotonic() - started)
    tsgolint = Tsgolint(toolchain.tsgolint, scratch, CPU_SECONDS)
    done = _oxlint(toolchain, root, arguments, tsgolint, scratch, left)
    output = done.stdout + done.stderr
    if tsgolint.gave_up(done.cpu_seconds) or ran_out(done, left, CPU_SECONDS):
        return EngineReport(output=output, cpu_seconds=done.cpu_seconds, exhausted=True)
    if done.ending != "exit":
        raise InfrastructureError(f"oxlint was ended by {done.ending}", detail=output)
    try:
        return _read(done.stdout, root, paths, output, done.cpu_seconds)
    except _UnreadableError as error:
        raise InfrastructureError(f"{error} (status {done.returncode})", detail=output) from None


class _UnreadableError(ConvexEvalError):
    """There is no report, or it is not about every file."""


def _read(
    report: str, root: Path, paths: Sequence[str], output: str, cpu_seconds: float
) -> EngineReport:
    """What a `report` says. oxlint's exit status says nothing: 1 is findings and failures alike."""
    try:
        parsed: object = json.loads(report)
    except ValueError:
        parsed = None
    diagnostics = parsed.get("diagnostics") if is_object(parsed) else None
    if not is_object(parsed) or not isinstance(diagnostics, list):
        raise _UnreadableError("oxlint gave no report")
    if parsed.get("number_of_files") != len(paths):
        raise _UnreadableError("oxlint did not look at every file")
    return read_oxlint(diagnostics, SourceTree(root), output, cpu_seconds)


def read_oxlint(
    reported: Sequence[object], tree: SourceTree, output: str = "", cpu_seconds: float = 0.0
) -> EngineReport:
    """What oxlint `reported`, as in its JSON, of files relative to the root of `tree`.

    Raises InfrastructureError for one that can't be understood.
    """
    diagnostics: list[Diagnostic] = []
    unparsable: set[str] = set()
    too_deep: list[str] = []
    for diagnostic in reported:
        if not is_object(diagnostic):
            raise InfrastructureError(
                "oxlint's report has an unknown shape", detail=str(diagnostic)
            )
        path = str(diagnostic.get("filename", ""))
        message = str(diagnostic.get("message", ""))
        code = _CODE.fullmatch(str(diagnostic.get("code", "")))
        # Syntax errors are another stage's to tell: they have no code, or TypeScript's
        # (`TS(1039)`).
        if code is None or code["plugin"] == "TS":
            # A rule that threw has no code either, but no place.
            if diagnostic.get("labels"):
                unparsable.add(path)
            elif _OVERFLOW in message:
                too_deep.append(path)
            continue
        rule = code["rule"] if code["plugin"] == "eslint" else f"{code['plugin']}/{code['rule']}"
        message_id = _MESSAGE_ID.match(message) if rule.startswith("@convex-dev/") else None
        help_text = diagnostic.get("help")
        diagnostics.append(
            Diagnostic(
                rule=rule,
                message_id=message_id["id"] if message_id else None,
                message=message[message_id.end() :] if message_id else message,
                path=path,
                place=tree[path].at_byte(_offset(diagnostic)) if rule != FACTS else None,
                help=help_text if isinstance(help_text, str) else None,
            )
        )
    return EngineReport(
        tuple(diagnostics), frozenset(unparsable), tuple(too_deep), output, cpu_seconds
    )


def _offset(diagnostic: Mapping[str, object]) -> int:
    """Bytes from the start of the file to what is reported."""
    labels = diagnostic.get("labels")
    label = labels[0] if isinstance(labels, list) and labels else None
    span = label.get("span") if is_object(label) else None
    offset = span.get("offset") if is_object(span) else None
    if not isinstance(offset, int):
        raise InfrastructureError("oxlint's report has an unknown shape", detail=str(diagnostic))
    return offset


def _configuration(toolchain: Toolchain, selection: Selection) -> dict[str, object]:
    # Where all of our rules are off, nothing has to be known of the files.
    facts = {FACTS: "error"} if selection.needs_facts else {}
    return {
        "plugins": ["typescript"],
        # A category is on by default.
        "categories": {"correctness": "off"},
        "options": {"typeAware": True},
        "jsPlugins": [str(toolchain.lint_plugin), str(toolchain.rules_plugin)],
        "rules": {**selection.configured(), **facts},
    }


def command_arguments(
    toolchain: Toolchain, paths: Sequence[str], selection: Selection, scratch: Path
) -> list[str]:
    """What oxlint is asked with, for `paths` relative to where it runs; its configuration is
    written to `scratch`."""
    config = scratch / "oxlint.json"
    config.write_text(json.dumps(_configuration(toolchain, selection)))
    return [
        "--config",
        str(config),
        "--disable-nested-config",
        "--no-ignore",
        "--type-aware",
        "--format=json",
        *(f"./{path}" for path in paths),
    ]


def _oxlint(
    toolchain: Toolchain,
    root: Path,
    arguments: Sequence[str],
    tsgolint: Tsgolint,
    scratch: Path,
    deadline_seconds: float,
) -> Completed:
    heap = f"--max-old-space-size={_HEAP_MEGABYTES}"
    try:
        return run(
            [toolchain.node, heap, toolchain.oxlint, *arguments],
            cwd=root,
            env={
                **environment(home=scratch, OXLINT_TSGOLINT_PATH=str(tsgolint.script())),
                **GO_SETTINGS,
            },
            limits=Limits(wall_seconds=deadline_seconds, cpu_seconds=CPU_SECONDS),
        )
    except OSError as error:
        raise InfrastructureError(f"oxlint could not be started: {error}") from error
