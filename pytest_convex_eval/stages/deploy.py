"""deploy: the official CLI pushes the answer, and what then runs is what the case expects."""

from __future__ import annotations

from pytest_convex_eval.expectations.deployed_matches import compare
from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Report, Stage, StageContext
from pytest_convex_eval.stages.pushing import PUSH_SECONDS, push_once


class DeployStage(Stage):
    """A push by the answer's own version of the CLI to an empty deployment."""

    name = "deploy"
    order = 500
    needs = ("syntax",)
    deadline_seconds = PUSH_SECONDS
    deploys = True

    def check(self, context: StageContext) -> Report:
        workspace = context.workspace()
        if workspace is None or context.dependencies is None:
            return Report(missing=NO_WORKSPACE)
        pushed = push_once(context, workspace, context.dependencies)
        findings = pushed.result.findings
        if pushed.accepted:
            context.deployment = pushed.deployment
            deployed = pushed.deployment.deployed()
            findings = (*findings, *compare(context.subject.expect, deployed))
            design = context.subject.design
            if design is not None and not any(each.severity == "error" for each in findings):
                findings = (*findings, *design(deployed))
        return Report(findings, pushed.result.output, pushed.result.cpu_seconds)
