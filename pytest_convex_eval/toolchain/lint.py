"""Lint findings of a laid-out workspace: type-aware rules and Convex's own, in one oxlint process.

oxlint starts tsgolint for the rules that need types. Only our configuration is read; which rules
count how much stands in `lint_rules`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.processes import Completed, Limits, environment, run
from pytest_convex_eval.toolchain.exhaustion import (
    ADDRESS_SPACE_BYTES,
    CPU_SECONDS,
    GO_SETTINGS,
    gave_up,
    ran_out,
)
from pytest_convex_eval.toolchain.lint_rules import AS_OF, Profile, Selection, select
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.suppressions import is_source

# Bounds Node's heap; oxlint itself reserves too much address space for a limit on that.
_HEAP_MEGABYTES = 1024

_SKIPPED_FOLDERS = frozenset({"_generated", "node_modules"})
# Names by which oxlint takes a file for minified code, and leaves it out whatever it is told.
_TAKEN_FOR_MINIFIED = re.compile(r".*[._-]min\.(?:d\.)?[cm]?[jt]sx?")
_CODE = re.compile(r"(?P<plugin>[^()]+)\((?P<rule>[^()]+)\)")
_MESSAGE_ID = re.compile(r"\[(?P<id>[^\]\n]+)\] ")


def lint(
    toolchain: Toolchain,
    workspace_root: Path,
    *,
    profile: Profile,
    off: Collection[str] = frozenset(),
    require: Collection[str] = frozenset(),
    scratch: Path,
    deadline_seconds: float,
) -> ToolReport:
    """Lints `convex/` of a laid-out workspace, generated code left out.

    `off` and `require` name rules or groups (`lint_rules.select`). Codes: `lint/<rule>`,
    `@convex-dev/<rule>`, `lint/resource-limit` when the answer exhausts the linters, and (a
    warning) `lint/not-linted` for a file whose name oxlint passes over.
    Suppression comments have to be neutralised before (as `lay_out` does): oxlint obeys them.
    Raises ValueError for an unknown rule, InfrastructureError when oxlint cannot be run or
    understood.
    """
    selection = select(profile, off=off, require=require)
    sources = _sources(workspace_root)
    paths = [path for path in sources if not _TAKEN_FOR_MINIFIED.fullmatch(path)]
    unseen = [_not_linted(path) for path in sources if path not in paths]
    if not paths:
        return ToolReport(tuple(unseen), "", 0.0)
    scratch.mkdir(parents=True, exist_ok=True)
    tsgolint = _Tsgolint(toolchain.tsgolint, scratch)
    done = _oxlint(toolchain, workspace_root, paths, selection, tsgolint, scratch, deadline_seconds)
    output = done.stdout + done.stderr
    if tsgolint.gave_up() or ran_out(done, deadline_seconds):
        finding = Finding("lint/resource-limit", "this answer exhausts the linter")
        return ToolReport((finding,), output, done.cpu_seconds)
    report = _parsed(done)
    if report.get("number_of_files") != len(paths):
        raise InfrastructureError("oxlint did not look at every file", detail=output)
    findings = sorted(
        [*unseen, *_findings(report, selection, SourceTree(workspace_root))],
        key=lambda finding: (finding.path or "", finding.line or 0, finding.column or 0),
    )
    return ToolReport(tuple(findings), output, done.cpu_seconds)


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

    def gave_up(self) -> bool:
        """Whether it ran into its limits."""
        try:
            status = int(self._status.read_text())
            stderr = self._stderr.read_text("utf-8", "replace")
        except (OSError, ValueError):
            return False
        return gave_up(status, stderr)


def _sources(root: Path) -> list[str]:
    """The files to lint, POSIX and relative to `root`.

    Named one by one: given the folder, oxlint would obey a `.gitignore` of the answer.
    """
    return sorted(
        path.relative_to(root).as_posix()
        for path in (root / "convex").rglob("*")
        if is_source(path.name)
        and path.is_file()
        and _SKIPPED_FOLDERS.isdisjoint(path.relative_to(root).parts)
    )


def _not_linted(path: str) -> Finding:
    message = "oxlint takes a file of this name for minified code, and does not look at it"
    return Finding("lint/not-linted", message, severity="warning", path=path)


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
    return {
        "plugins": ["typescript"],
        # A category is on by default.
        "categories": {"correctness": "off"},
        "options": {"typeAware": True},
        "jsPlugins": [str(toolchain.lint_plugin)],
        "rules": selection.configured(),
    }


def _parsed(done: Completed) -> Mapping[str, object]:
    """oxlint's report. Its exit status says nothing: 1 is findings and failures alike."""
    if done.ending == "exit":
        try:
            report: object = json.loads(done.stdout)
        except ValueError:
            report = None
        if _is_object(report) and isinstance(report.get("diagnostics"), list):
            return report
    raise InfrastructureError(
        f"oxlint gave no report (ended by {done.ending}, status {done.returncode})",
        detail=done.stdout + done.stderr,
    )


def _findings(
    report: Mapping[str, object], selection: Selection, tree: SourceTree
) -> Iterator[Finding]:
    diagnostics = report["diagnostics"]
    assert isinstance(diagnostics, list)
    for diagnostic in diagnostics:
        if not _is_object(diagnostic):
            raise InfrastructureError(
                "oxlint's report has an unknown shape", detail=str(diagnostic)
            )
        finding = _finding(diagnostic, selection, tree)
        if finding is not None:
            yield finding


def _finding(
    diagnostic: Mapping[str, object], selection: Selection, tree: SourceTree
) -> Finding | None:
    """None for a rule that is off, and for a syntax error, which is another stage's to tell.

    Syntax errors have no code, or TypeScript's (`TS(1039)`).
    """
    code = _CODE.fullmatch(str(diagnostic.get("code", "")))
    if code is None or code["plugin"] == "TS":
        return None
    name = code["rule"] if code["plugin"] == "eslint" else f"{code['plugin']}/{code['rule']}"
    message = str(diagnostic.get("message", ""))
    message_id = _MESSAGE_ID.match(message) if name.startswith("@convex-dev/") else None
    rule = selection.rule_for(name, message_id["id"] if message_id else None)
    if rule is None:
        raise InfrastructureError(f"oxlint reports {name}, which is not ours", detail=message)
    level = selection.levels[rule.code]
    if level == "off":
        return None
    path = str(diagnostic.get("filename", ""))
    source = tree[path]
    place = source.at_byte(_offset(diagnostic))
    help_text = diagnostic.get("help")
    source_note = f"{rule.source}, {AS_OF}"
    return Finding(
        code=rule.code,
        message=message[message_id.end() :] if message_id else message,
        severity=level,
        path=path,
        line=place.line,
        column=place.column,
        excerpt=source.excerpt(place.line),
        hint=f"{help_text} ({source_note})" if isinstance(help_text, str) else source_note,
    )


def _offset(diagnostic: Mapping[str, object]) -> int:
    """Bytes from the start of the file to what is reported."""
    labels = diagnostic.get("labels")
    label = labels[0] if isinstance(labels, list) and labels else None
    span = label.get("span") if _is_object(label) else None
    offset = span.get("offset") if _is_object(span) else None
    if not isinstance(offset, int):
        raise InfrastructureError("oxlint's report has an unknown shape", detail=str(diagnostic))
    return offset


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
