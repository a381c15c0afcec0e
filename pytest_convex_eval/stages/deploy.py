"""deploy: the official CLI pushes the answer, and what then runs is what the case expects."""

from __future__ import annotations

from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.outcomes import StageName
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.deployed import compare
from pytest_convex_eval.stages.protocol import NO_WORKSPACE, Ground, Report


class DeployStage:
    """A push by the answer's own version of the CLI to an empty deployment."""

    name: StageName = "deploy"
    needs: tuple[StageName, ...] = ("syntax",)
    deadline_seconds = DEADLINE_SECONDS["deploy"]

    def check(self, ground: Ground) -> Report:
        workspace = ground.workspace()
        if workspace is None or ground.dependencies is None:
            return Report(missing=NO_WORKSPACE)
        bench = ground.bench
        deployment = bench.deployment()
        if ground.subject.env:
            deployment.set_environment(ground.subject.env)
        pushed = push(
            deployment,
            node=bench.toolchain.node,
            cli=ground.dependencies.convex_cli,
            project=workspace.root,
            deadline_seconds=self.deadline_seconds,
            compile_cache=bench.compile_cache,
        )
        findings = pushed.findings
        if not any(finding.severity == "error" for finding in findings):
            ground.deployment = deployment
            findings = (*findings, *compare(ground.subject.expect, deployment.deployed()))
        return Report(findings, pushed.output, pushed.cpu_seconds)
