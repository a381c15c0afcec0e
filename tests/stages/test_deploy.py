"""What the deploy stage makes of a push."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    Deployed,
)
from pytest_convex_eval.deployment.push import PushResult
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.stages import deploy
from pytest_convex_eval.stages.deploy import DeployStage
from pytest_convex_eval.stages.protocol import Pushed, StageContext, Subject

REFUSED = Finding("deploy/InvalidModules", "No.")
ODD = Finding("deploy/odd", "Odd.", "warning")
DIFFERS = Finding("design/missing", "There is no design.", "warning")
LIVE = Deployed()


class Live:
    """A deployment with something on it."""

    def deployed(self) -> Deployed:
        return LIVE


@pytest.mark.parametrize(
    ("said", "expected", "found"),
    [
        ((), (), (DIFFERS,)),
        ((ODD,), (), (ODD, DIFFERS)),
        # What is wrong with the answer is enough.
        ((), (REFUSED,), (REFUSED,)),
        ((REFUSED,), (), (REFUSED,)),
    ],
)
def test_how_an_answer_differs_from_its_design_is_told_where_it_is_as_expected(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[Finding, ...],
    expected: tuple[Finding, ...],
    found: tuple[Finding, ...],
) -> None:
    compared: list[Deployed] = []

    def design(deployed: Deployed) -> tuple[Finding, ...]:
        compared.append(deployed)
        return (DIFFERS,)

    subject = Subject({}, {}, (), Expectations(), LintPolicy(), design=design)
    context = StageContext(subject, cast(Any, None), tmp_path)
    context._workspace = cast(Any, object())
    context.dependencies = cast(Any, object())
    pushed = Pushed(cast(Deployment, Live()), PushResult(said, "what it printed", 1.5))
    monkeypatch.setattr(deploy, "push_once", lambda *_: pushed)
    monkeypatch.setattr(deploy, "compare", lambda *_: expected)
    report = DeployStage().check(context)
    assert (report.findings, report.output, report.cpu_seconds) == (found, "what it printed", 1.5)
    assert compared == ([LIVE] if DIFFERS in found else [])
