"""lint: Convex's own rules and the type-aware rules that catch bugs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import JsonValue

from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Report, StageContext, StaticStage
from pytest_convex_eval.toolchain.lint.echoes import condensed
from pytest_convex_eval.toolchain.lint.run import lint
from pytest_convex_eval.toolchain.lint.suppressions import judged_suppressions


class LintStage(StaticStage):
    """oxlint (or ESLint, where it is asked for) with Convex's plugin and ours, under our
    configuration alone."""

    name = "lint"
    order = 700
    needs = ("syntax",)
    deadline_seconds = 60.0

    def reads(self, context: StageContext) -> Mapping[str, JsonValue] | None:
        workspace = context.workspace()
        if workspace is None or workspace.undecided or context.tools.eslint is not None:
            # What is generated in a push is no part of the files; a reference engine always runs.
            return None
        return {
            "profile": context.tools.lint_profile,
            "policy": context.subject.lint.model_dump(mode="json"),
            "typecheck_failed": context.ended.get("typecheck") == "failed",
        }

    def check(self, context: StageContext) -> Report:
        workspace = context.workspace()
        if workspace is None:
            return Report(missing=NO_WORKSPACE)
        policy, warm = context.subject.lint, context.tools.warm
        report = lint(
            context.tools.toolchain,
            workspace.root,
            profile=context.tools.lint_profile,
            off=policy.off,
            require=policy.require,
            public=policy.public,
            scratch=context.scratch,
            deadline_seconds=self.deadline_seconds,
            eslint=context.tools.eslint,
            server=None if warm is None else warm.linter,
        )
        findings = report.findings
        if context.ended.get("typecheck") == "failed":
            # Unresolved types make type-aware rules fire in cascades: shown, not counted.
            findings = tuple(
                replace(finding, severity="warning") if finding.severity == "error" else finding
                for finding in findings
            )
        suppressions = judged_suppressions(
            context.files, context.tools.lint_profile, off=policy.off, require=policy.require
        )
        findings = condensed((*suppressions, *findings))
        return Report(findings, report.output, report.cpu_seconds)
