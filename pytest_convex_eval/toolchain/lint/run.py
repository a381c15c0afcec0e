"""Lint findings of a laid-out workspace: type-aware rules, Convex's and ours, by one engine.

oxlint with tsgolint is the engine; ESLint with typescript-eslint is the reference that it is
compared with (`eslint`). Which rules count how much stands in `catalogue`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.toolchain.lint.catalogue import select
from pytest_convex_eval.toolchain.lint.eslint import Eslint, ask_eslint
from pytest_convex_eval.toolchain.lint.oxlint import Linter, ask_oxlint, passed_over
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.report import judge
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.positions import SourceTree
from pytest_convex_eval.toolchain.suppressions import is_source

_SKIPPED_FOLDERS = frozenset({"_generated", "node_modules"})


def lint(
    toolchain: Toolchain,
    workspace_root: Path,
    *,
    profile: LintProfile,
    off: Collection[str] = frozenset(),
    require: Collection[str] = frozenset(),
    public: Collection[str] = frozenset(),
    scratch: Path,
    deadline_seconds: float,
    eslint: Eslint | None = None,
    server: Linter | None = None,
) -> ToolReport:
    """Lints `convex/` of a laid-out workspace, generated code left out; by `eslint` if given.

    `server` is a warm oxlint, which is asked first.
    `off` and `require` name rules or groups (`catalogue.select`), `public` the functions that
    anyone may call, as `module:export`. Codes: `lint/<rule>`,
    `@convex-dev/<rule>`, `convex-eval/<rule>`, `lint/resource-limit` when the answer exhausts the
    linters, and (a warning) `lint/not-linted` for a file whose name oxlint passes over.
    Suppression comments have to be neutralised before (as `lay_out` does): oxlint obeys them.
    Raises ValueError for an unknown rule, InfrastructureError when the engine cannot be run or
    understood.
    """
    selection = select(profile, off=off, require=require)
    sources = sources_of(workspace_root)
    passed = [path for path in sources if eslint is None and passed_over(path)]
    paths = [path for path in sources if path not in passed]
    unseen = [_not_linted(path) for path in passed]
    if not paths:
        return ToolReport(tuple(unseen), "", 0.0)
    scratch.mkdir(parents=True, exist_ok=True)
    if eslint is None:
        report = ask_oxlint(
            toolchain,
            workspace_root,
            paths,
            selection,
            scratch=scratch,
            deadline_seconds=deadline_seconds,
            server=server,
        )
    else:
        (report,) = ask_eslint(
            eslint,
            [(workspace_root, paths)],
            selection,
            scratch=scratch,
            deadline_seconds=deadline_seconds,
        )
    if report.exhausted:
        finding = Finding("lint/resource-limit", "this answer exhausts the linter")
        return ToolReport((finding,), report.output, report.cpu_seconds)
    found = judge(report, paths, selection, SourceTree(workspace_root), public=public)
    findings = sorted(
        [*unseen, *found],
        key=lambda finding: (finding.path or "", finding.line or 0, finding.column or 0),
    )
    return ToolReport(tuple(findings), report.output, report.cpu_seconds)


def sources_of(root: Path) -> list[str]:
    """The files to lint, POSIX and relative to the workspace's `root`.

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
