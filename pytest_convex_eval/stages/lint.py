"""lint: Convex's own rules and the type-aware rules that catch bugs."""

from __future__ import annotations

from dataclasses import replace

from pytest_convex_eval.outcomes import StageName
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Ground, Report
from pytest_convex_eval.toolchain.lint import lint
from pytest_convex_eval.toolchain.suppressions import find_suppressions


class LintStage:
    """oxlint with tsgolint and Convex's plugin, under our configuration alone."""

    name: StageName = "lint"
    needs: tuple[StageName, ...] = ("syntax",)
    deadline_seconds = DEADLINE_SECONDS["lint"]

    def check(self, ground: Ground) -> Report:
        workspace = ground.workspace()
        if workspace is None:
            return Report(missing=NO_WORKSPACE)
        policy = ground.subject.lint
        report = lint(
            ground.bench.toolchain,
            workspace.root,
            profile=ground.bench.lint_profile,
            off=policy.off,
            require=policy.require,
            scratch=ground.scratch,
            deadline_seconds=self.deadline_seconds,
        )
        findings = report.findings
        if ground.ended.get("typecheck") == "failed":
            # Unresolved types make type-aware rules fire in cascades: shown, not counted.
            findings = tuple(
                replace(finding, severity="warning") if finding.severity == "error" else finding
                for finding in findings
            )
        findings = (*find_suppressions(ground.files), *findings)
        return Report(findings, report.output, report.cpu_seconds)
