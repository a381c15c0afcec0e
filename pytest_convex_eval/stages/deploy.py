"""deploy: the official CLI pushes the answer, and what then runs is what the case expects."""

from __future__ import annotations

from pytest_convex_eval.expectations.deployed_matches import compare
from pytest_convex_eval.outcomes import StageName
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Ground, Report
from pytest_convex_eval.stages.pushing import push_once


class DeployStage:
    """A push by the answer's own version of the CLI to an empty deployment."""

    name: StageName = "deploy"
    needs: tuple[StageName, ...] = ("syntax",)
    deadline_seconds = DEADLINE_SECONDS["deploy"]

    def check(self, ground: Ground) -> Report:
        workspace = ground.workspace()
        if workspace is None or ground.dependencies is None:
            return Report(missing=NO_WORKSPACE)
        pushed = push_once(ground, workspace, ground.dependencies)
        findings = pushed.result.findings
        if pushed.accepted:
            ground.deployment = pushed.deployment
            deployed = pushed.deployment.deployed()
            findings = (*findings, *compare(ground.subject.expect, deployed))
            design = ground.subject.design
            if design is not None and not any(each.severity == "error" for each in findings):
                findings = (*findings, *design(deployed))
        return Report(findings, pushed.result.output, pushed.result.cpu_seconds)
