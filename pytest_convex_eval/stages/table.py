"""The stages of this package, by name: one line each. Light to import: options name stages before
there is a case.

All else that is to be known of a stage stands on its class; see `protocol.Stage`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from pytest_convex_eval.outcomes import StageName

BUILT_IN: Mapping[StageName, str] = {
    "format": "pytest_convex_eval.stages.format:FormatStage",
    "package": "pytest_convex_eval.stages.package:PackageStage",
    "syntax": "pytest_convex_eval.stages.syntax:SyntaxStage",
    "typecheck": "pytest_convex_eval.stages.typecheck:TypecheckStage",
    "deploy": "pytest_convex_eval.stages.deploy:DeployStage",
    "behaviour": "pytest_convex_eval.stages.behaviour:BehaviourStage",
    "lint": "pytest_convex_eval.stages.lint:LintStage",
}
"""Module and class of each, in the order in which they run."""

STAGES: tuple[StageName, ...] = tuple(BUILT_IN)


def no_such_stage(name: StageName, known: Iterable[StageName] = STAGES) -> str:
    """What to say of a `name` that none of the `known` stages has."""
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the stages are {', '.join(known)}"
    return f"no stage is called {name!r}; {hint}"
