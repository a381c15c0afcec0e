"""behaviour: what is deployed does what the case says, step by step."""

from __future__ import annotations

from pytest_convex_eval.behaviour.interpreter import BlockFailure, run_blocks
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    Feature,
    UnknownFeatureError,
)
from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.stages.protocol import Report, Stage, StageContext
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.toolchain.packages.features import asks_for


class BehaviourStage(Stage):
    """The case's blocks over the deployment that the deploy stage pushed to."""

    name = "behaviour"
    order = 600
    needs = ("deploy",)
    # Blocks take milliseconds each; one whose code never returns is ended at its call's deadline.
    deadline_seconds = 300.0
    stands_on = ("deploy",)

    def check(self, context: StageContext) -> Report:
        subject = context.subject
        if not subject.behaviour:
            return Report(missing="the case has no behaviour")
        deployment = context.deployment
        if deployment is None:
            return Report(missing="nothing is deployed")
        before = deployment.cpu_seconds()
        findings = tuple(
            _finding(failure, context)
            for failure in run_blocks(
                deployment, subject.behaviour, subject.env, self.deadline_seconds
            )
        )
        if findings and context.dependencies is not None:
            _check_operations(deployment, context.dependencies)
        return Report(findings, cpu_seconds=max(0.0, deployment.cpu_seconds() - before))


def _check_operations(deployment: Deployment, dependencies: DependencySet) -> None:
    """Raises UnknownFeatureError where functions asked for an operation that the answer's packages
    know and the deployment does not: what failed may have failed of that."""
    for name in deployment.unknown_operations():
        if asks_for(dependencies.node_modules, "operation", name):
            feature = Feature("operation", name)
            raise UnknownFeatureError(feature, convex=dependencies.convex_version)


def _finding(failure: BlockFailure, context: StageContext) -> Finding:
    place = context.subject.place(failure.location)
    first = f"{failure.block}: {failure.step}: {failure.error.summary}"
    return Finding(
        f"behaviour/{failure.error.code}",
        "\n".join([first, *failure.error.lines]),
        path=place.path,
        line=place.line,
        column=place.column,
        excerpt=place.excerpt,
    )
