"""The one push of an answer, whichever stage needs it first."""

from __future__ import annotations

from collections.abc import Callable

from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import (
    Feature,
    UnknownFeatureError,
    UnsupportedError,
)
from pytest_convex_eval.deployment.push import PushResult, push
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.stages.protocol import Pushed, StageContext
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.toolchain.packages import ranges
from pytest_convex_eval.toolchain.packages.features import asks_for
from pytest_convex_eval.toolchain.packages.published import convex_snapshot
from pytest_convex_eval.workspace.layout import Workspace

PUSH_SECONDS = 120.0
"""For one push, in seconds of wall time."""


def push_once(
    context: StageContext,
    workspace: Workspace,
    dependencies: DependencySet,
    *,
    codegen: bool = False,
) -> Pushed:
    """Pushes the workspace to an empty deployment with the answer's own version of the CLI.

    What was pushed before in this item is not pushed again, as long as its deployment lives: the
    files are the same.

    Raises InfrastructureError as `push` does, and UnknownFeatureError where the deployment does not
    know what the answer's packages ask for.
    """
    pushed = context.pushed
    if pushed is not None and pushed.deployment.alive():
        return pushed
    tools = context.tools
    deployment = tools.deployment()
    _check_version(deployment, dependencies.convex_version)
    if context.subject.env:
        deployment.set_environment(context.subject.env)
    asked: list[Feature] = []

    def is_of_packages(feature: Feature) -> bool:
        if asks_for(dependencies.node_modules, feature.kind, feature.name):
            asked.append(feature)
        return bool(asked)

    try:
        result = _push(context, workspace, dependencies, deployment, is_of_packages, codegen)
    except InfrastructureError as error:
        if not asked:
            raise
        version = dependencies.convex_version
        raise UnknownFeatureError(asked[0], convex=version, detail=error.detail) from error
    context.pushed = Pushed(deployment, result)
    return context.pushed


def _push(
    context: StageContext,
    workspace: Workspace,
    dependencies: DependencySet,
    deployment: Deployment,
    is_of_packages: Callable[[Feature], bool],
    codegen: bool,
) -> PushResult:
    tools = context.tools
    return push(
        deployment,
        node=tools.toolchain.node,
        cli=dependencies.convex_cli,
        project=workspace.root,
        deadline_seconds=PUSH_SECONDS,
        compile_cache=tools.compile_cache,
        codegen=codegen,
        is_of_packages=is_of_packages,
    )


def _check_version(deployment: Deployment, version: str) -> None:
    """What a version brought that came after all that are known here, nobody can tell: neither
    what passes nor what fails with it says anything."""
    newest = convex_snapshot().newest
    if isinstance(deployment, EmbeddedDeployment) and ranges.satisfies(version, f">{newest}"):
        raise UnsupportedError(
            f"the embedded deployment knows convex up to {newest}, and the answer has {version}: "
            "take a newer release of pytest-convex-eval, or another deployment "
            "(--convex-backend local or a URL)"
        )
