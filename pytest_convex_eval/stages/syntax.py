"""syntax: every TypeScript and JavaScript file parses."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Report, StageContext, StaticStage
from pytest_convex_eval.toolchain.syntax import check_syntax

_CODE = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


class SyntaxStage(StaticStage):
    """esbuild, of the version that Convex bundles with, over all files at once."""

    name = "syntax"
    order = 300
    deadline_seconds = 30.0

    def reads(self, context: StageContext) -> Mapping[str, JsonValue] | None:
        return {}

    def check(self, context: StageContext) -> Report:
        workspace = context.workspace()
        if workspace is None:
            return Report(missing=NO_WORKSPACE)
        paths = [path for path in sorted(context.files) if path.endswith(_CODE)]
        if not paths:
            return Report(missing="the answer has no code")
        report = check_syntax(
            context.tools.toolchain,
            workspace.root,
            paths,
            scratch=context.scratch,
            deadline_seconds=self.deadline_seconds,
        )
        return Report(report.findings, report.output, report.cpu_seconds)
