"""syntax: every TypeScript and JavaScript file parses."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from pytest_convex_eval.outcomes import StageName
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Ground, Report
from pytest_convex_eval.toolchain.syntax import check_syntax

_CODE = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


class SyntaxStage:
    """esbuild, of the version that Convex bundles with, over all files at once."""

    name: StageName = "syntax"
    needs: tuple[StageName, ...] = ()
    deadline_seconds = DEADLINE_SECONDS["syntax"]

    def reads(self, ground: Ground) -> Mapping[str, JsonValue] | None:
        return {}

    def check(self, ground: Ground) -> Report:
        workspace = ground.workspace()
        if workspace is None:
            return Report(missing=NO_WORKSPACE)
        paths = [path for path in sorted(ground.files) if path.endswith(_CODE)]
        if not paths:
            return Report(missing="the answer has no code")
        report = check_syntax(
            ground.bench.toolchain,
            workspace.root,
            paths,
            scratch=ground.scratch,
            deadline_seconds=self.deadline_seconds,
        )
        return Report(report.findings, report.output, report.cpu_seconds)
