"""oxlint as the linter: it starts tsgolint for the rules that need types, and reads our plugins.

Only our configuration is read.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Completed, Limits, environment, run
from pytest_convex_eval.toolchain.exhaustion import (
    ADDRESS_SPACE_BYTES,
    GO_SETTINGS,
    gave_up,
    ran_out,
)
from pytest_convex_eval.toolchain.lint_report import Said, Spoken, is_object
from pytest_convex_eval.toolchain.lint_rules import Selection
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.rules.facts import RULE as FACTS

CPU_SECONDS = 10
"""Of tsgolint: thirty times of what good code needs, and so few that eight workers on two cores
come to it before the stage's deadline, which would say nothing about the code."""

# Bounds Node's heap; oxlint itself reserves too much address space for a limit on that.
_HEAP_MEGABYTES = 1024

# Names by which oxlint takes a file for minified code, and leaves it out whatever it is told.
_TAKEN_FOR_MINIFIED = re.compile(r".*[._-]min\.(?:d\.)?[cm]?[jt]sx?")

_CODE = re.compile(r"(?P<plugin>[^()]+)\((?P<rule>[^()]+)\)")
_MESSAGE_ID = re.compile(r"\[(?P<id>[^\]\n]+)\] ")
# Of a rule that threw, oxlint tells the JavaScript error's class in its text and nowhere else. Code
# that is nested thousands deep overflows the stack already where oxlint hands it to plugins.
_OVERFLOW = "\nRangeError: Maximum call stack size exceeded\n"


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
) -> Spoken:
    """What oxlint says of the files `paths` of a workspace.

    Raises InfrastructureError when it cannot be run or understood.
    """
    tsgolint = _Tsgolint(toolchain.tsgolint, scratch)
    done = _oxlint(toolchain, root, paths, selection, tsgolint, scratch, deadline_seconds)
    output = done.stdout + done.stderr
    if tsgolint.gave_up(done.cpu_seconds) or ran_out(done, deadline_seconds, CPU_SECONDS):
        return Spoken(output=output, cpu_seconds=done.cpu_seconds, exhausted=True)
    report = _parsed(done)
    if report.get("number_of_files") != len(paths):
        raise InfrastructureError("oxlint did not look at every file", detail=output)
    diagnostics = report["diagnostics"]
    assert isinstance(diagnostics, list)
    return read_oxlint(diagnostics, SourceTree(root), output, done.cpu_seconds)


def read_oxlint(
    diagnostics: Sequence[object], tree: SourceTree, output: str = "", cpu_seconds: float = 0.0
) -> Spoken:
    """`diagnostics` of oxlint's report, on files relative to the root of `tree`.

    Raises InfrastructureError for one that can't be understood.
    """
    said: list[Said] = []
    unparsable: set[str] = set()
    too_deep: list[str] = []
    for diagnostic in diagnostics:
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
        said.append(
            Said(
                rule=rule,
                message_id=message_id["id"] if message_id else None,
                message=message[message_id.end() :] if message_id else message,
                path=path,
                place=tree[path].at_byte(_offset(diagnostic)) if rule != FACTS else None,
                help=help_text if isinstance(help_text, str) else None,
            )
        )
    return Spoken(tuple(said), frozenset(unparsable), tuple(too_deep), output, cpu_seconds)


def _offset(diagnostic: Mapping[str, object]) -> int:
    """Bytes from the start of the file to what is reported."""
    labels = diagnostic.get("labels")
    label = labels[0] if isinstance(labels, list) and labels else None
    span = label.get("span") if is_object(label) else None
    offset = span.get("offset") if is_object(span) else None
    if not isinstance(offset, int):
        raise InfrastructureError("oxlint's report has an unknown shape", detail=str(diagnostic))
    return offset


@dataclass(frozen=True, slots=True)
class _Tsgolint:
    """The type-aware linter behind a script that limits it and notes how it ended.

    oxlint starts whatever program it is told to, reports any failure of it as text, and can't bear
    the limits itself.
    """

    program: Path
    scratch: Path

    @property
    def _status(self) -> Path:
        return self.scratch / "tsgolint.status"

    @property
    def _stderr(self) -> Path:
        return self.scratch / "tsgolint.stderr"

    def script(self) -> Path:
        """Writes the script. One use only: a former run's notes are removed."""
        self._status.unlink(missing_ok=True)
        script = self.scratch / "tsgolint.sh"
        script.write_text(
            "#!/bin/sh\n"
            # Not every system can limit address space.
            f"ulimit -v {ADDRESS_SPACE_BYTES // 1024} 2>/dev/null\n"
            f"ulimit -t {CPU_SECONDS}\n"
            f'{shlex.quote(str(self.program))} "$@" 2>{shlex.quote(str(self._stderr))}\n'
            "status=$?\n"
            f'echo "$status" >{shlex.quote(str(self._status))}\n'
            'exit "$status"\n'
        )
        script.chmod(0o700)
        return script

    def gave_up(self, cpu_seconds: float) -> bool:
        """Whether it ran into its limits; oxlint and it took `cpu_seconds` together."""
        try:
            status = int(self._status.read_text())
            stderr = self._stderr.read_text("utf-8", "replace")
        except (OSError, ValueError):
            return False
        # The kernel sends SIGKILL where the soft limit on CPU time is the hard one.
        killed = status == 128 + signal.SIGKILL and cpu_seconds >= CPU_SECONDS - 1
        return killed or gave_up(status, stderr)


def _oxlint(
    toolchain: Toolchain,
    root: Path,
    paths: Sequence[str],
    selection: Selection,
    tsgolint: _Tsgolint,
    scratch: Path,
    deadline: float,
) -> Completed:
    config = scratch / "oxlint.json"
    config.write_text(json.dumps(_configuration(toolchain, selection)))
    args: list[str | Path] = [
        toolchain.node,
        f"--max-old-space-size={_HEAP_MEGABYTES}",
        toolchain.oxlint,
        "--config",
        config,
        "--disable-nested-config",
        "--no-ignore",
        "--type-aware",
        "--format=json",
        *(f"./{path}" for path in paths),
    ]
    try:
        return run(
            args,
            cwd=root,
            env={
                **environment(home=scratch, OXLINT_TSGOLINT_PATH=str(tsgolint.script())),
                **GO_SETTINGS,
            },
            limits=Limits(wall_seconds=deadline),
        )
    except OSError as error:
        raise InfrastructureError(f"oxlint could not be started: {error}") from error


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


def _parsed(done: Completed) -> Mapping[str, object]:
    """oxlint's report. Its exit status says nothing: 1 is findings and failures alike."""
    if done.ending == "exit":
        try:
            report: object = json.loads(done.stdout)
        except ValueError:
            report = None
        if is_object(report) and isinstance(report.get("diagnostics"), list):
            return report
    raise InfrastructureError(
        f"oxlint gave no report (ended by {done.ending}, status {done.returncode})",
        detail=done.stdout + done.stderr,
    )
