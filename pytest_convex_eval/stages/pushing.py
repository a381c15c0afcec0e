"""The one push of an answer, whichever stage needs it first."""

from __future__ import annotations

from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS
from pytest_convex_eval.stages.protocol import Ground, Pushed
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.workspace.layout import Workspace


def push_once(
    ground: Ground, workspace: Workspace, dependencies: DependencySet, *, codegen: bool = False
) -> Pushed:
    """Pushes the workspace to an empty deployment with the answer's own version of the CLI.

    What was pushed before in this item is not pushed again, as long as its deployment lives: the
    files are the same.

    Raises InfrastructureError as `push` does.
    """
    pushed = ground.pushed
    if pushed is not None and pushed.deployment.alive():
        return pushed
    bench = ground.bench
    deployment = bench.deployment()
    if ground.subject.env:
        deployment.set_environment(ground.subject.env)
    result = push(
        deployment,
        node=bench.toolchain.node,
        cli=dependencies.convex_cli,
        project=workspace.root,
        deadline_seconds=DEADLINE_SECONDS["deploy"],
        compile_cache=bench.compile_cache,
        codegen=codegen,
    )
    ground.pushed = Pushed(deployment, result)
    return ground.pushed
