"""typecheck: strict TypeScript over the answer, with the harness's own configuration."""

from __future__ import annotations

from pytest_convex_eval.outcomes import StageName
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Ground, Report
from pytest_convex_eval.toolchain.typecheck import check_types


class TypecheckStage:
    """TypeScript 7's native compiler with our tsconfig and our generated code."""

    name: StageName = "typecheck"
    needs: tuple[StageName, ...] = ("syntax",)
    deadline_seconds = DEADLINE_SECONDS["typecheck"]

    def check(self, ground: Ground) -> Report:
        workspace = ground.workspace()
        if workspace is None:
            return Report(missing=NO_WORKSPACE)
        report = check_types(
            ground.bench.toolchain,
            workspace.root,
            scratch=ground.scratch,
            deadline_seconds=self.deadline_seconds,
        )
        return Report(report.findings, report.output, report.cpu_seconds)
