"""The one push of an answer, whichever stage needs it first."""

from __future__ import annotations

from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.protocol import Pushed, StageContext
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.workspace.layout import Workspace


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

    Raises InfrastructureError as `push` does.
    """
    pushed = context.pushed
    if pushed is not None and pushed.deployment.alive():
        return pushed
    tools = context.tools
    deployment = tools.deployment()
    if context.subject.env:
        deployment.set_environment(context.subject.env)
    result = push(
        deployment,
        node=tools.toolchain.node,
        cli=dependencies.convex_cli,
        project=workspace.root,
        deadline_seconds=DEADLINE_SECONDS["deploy"],
        compile_cache=tools.compile_cache,
        codegen=codegen,
    )
    context.pushed = Pushed(deployment, result)
    return context.pushed
