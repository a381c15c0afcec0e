"""Lint findings of a laid-out workspace: type-aware rules, Convex's and ours, from one oxlint.

oxlint starts tsgolint for the rules that need types. Only our configuration is read; which rules
count how much stands in `lint_rules`.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.processes import Completed, Limits, environment, run
from pytest_convex_eval.toolchain.exhaustion import (
    ADDRESS_SPACE_BYTES,
    CPU_SECONDS,
    GO_SETTINGS,
    gave_up,
    ran_out,
)
from pytest_convex_eval.toolchain.lint_report import is_object, judge
from pytest_convex_eval.toolchain.lint_rules import Profile, Selection, select
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.rules.facts import RULE as FACTS
from pytest_convex_eval.toolchain.suppressions import is_source

# Bounds Node's heap; oxlint itself reserves too much address space for a limit on that.
_HEAP_MEGABYTES = 1024

_SKIPPED_FOLDERS = frozenset({"_generated", "node_modules"})
# Names by which oxlint takes a file for minified code, and leaves it out whatever it is told.
_TAKEN_FOR_MINIFIED = re.compile(r".*[._-]min\.(?:d\.)?[cm]?[jt]sx?")


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
    `@convex-dev/<rule>`, `convex-eval/<rule>`, `lint/resource-limit` when the answer exhausts the
    linters, and (a warning) `lint/not-linted` for a file whose name oxlint passes over.
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
    if tsgolint.gave_up(done.cpu_seconds) or ran_out(done, deadline_seconds):
        finding = Finding("lint/resource-limit", "this answer exhausts the linter")
        return ToolReport((finding,), output, done.cpu_seconds)
    report = _parsed(done)
    if report.get("number_of_files") != len(paths):
        raise InfrastructureError("oxlint did not look at every file", detail=output)
    diagnostics = report["diagnostics"]
    assert isinstance(diagnostics, list)
    findings = sorted(
        [*unseen, *judge(diagnostics, paths, selection, SourceTree(workspace_root))],
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
