"""A mutant passes when it fails first where it says, with the code it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.outcomes import (
    Finding,
    Generated,
    InfrastructureError,
    Severity,
    StageName,
    Verdict,
)

if TYPE_CHECKING:
    from tests.evaluation.conftest import Evaluating, Workbench

Make = Callable[..., "Evaluating"]
MakePlan = Callable[..., Plan]


def mutant(make_plan: MakePlan, fails: StageName, code: str | None = None) -> Plan:
    one = {"name": "m", "fails": fails, "files": {"package.json": None}}
    return make_plan(mutant="m", mutants=[one if code is None else {**one, "code": code}])


@pytest.mark.parametrize("code", [None, "syntax/a", "syntax/b"])
def test_one_that_fails_where_it_says_passes(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    code: str | None,
) -> None:
    workbench.stage("format")
    workbench.failing("syntax", Finding("syntax/a", "A."), Finding("syntax/b", "B."))
    result = evaluating()(mutant(make_plan, "syntax", code))
    assert result.verdict is Verdict.PASSED
    assert (result.stage, result.code) == ("syntax", "syntax/a")
    assert result.mutant == "m"
    assert result.expected == ("syntax" if code is None else f"syntax ({code})")
    assert result.generation == Generated("mutant")


def test_nothing_runs_after_the_stage_that_catches_it(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.failing("syntax")
    workbench.stage("lint")
    result = evaluating()(mutant(make_plan, "syntax"))
    assert [stage.stage for stage in result.stages] == ["syntax"]


def test_one_that_is_not_caught_runs_to_the_end_and_fails(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.failing("format", Finding("format/odd", "It is odd.", "warning"))
    workbench.stage("syntax")
    workbench.stage("lint")
    result = evaluating()(mutant(make_plan, "syntax"))
    assert (result.verdict, result.stage) == (Verdict.FAILED, None)
    assert result.message == "it was not caught: every stage passed"
    assert [stage.stage for stage in result.stages] == ["format", "syntax", "lint"]


@pytest.mark.parametrize("fails", ["format", "lint"])
def test_one_that_fails_elsewhere_first_fails_whole(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    fails: StageName,
) -> None:
    workbench.stage("format")
    workbench.failing("syntax")
    workbench.failing("lint")
    result = evaluating()(mutant(make_plan, fails))
    assert (result.verdict, result.stage) == (Verdict.FAILED, "syntax")
    wrong = "syntax: syntax/wrong: It is wrong."
    assert result.message == f"it failed at syntax first: {wrong}"
    assert [stage.stage for stage in result.stages] == ["format", "syntax", "lint"]


def test_one_that_fails_with_another_code_fails_and_says_with_which(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    codes: list[tuple[str, Severity]] = [
        ("b", "error"),
        ("a", "error"),
        ("b", "error"),
        ("wanted", "warning"),
    ]
    workbench.failing("syntax", *(Finding(code, "It is.", severity) for code, severity in codes))
    workbench.stage("lint")
    result = evaluating()(mutant(make_plan, "syntax", "wanted"))
    assert result.verdict is Verdict.FAILED
    assert result.message == "it failed at syntax with b, a, and not with wanted"
    assert [stage.stage for stage in result.stages] == ["syntax", "lint"]


def test_an_error_is_nobody_s_catch(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.raising("syntax", InfrastructureError("the disk is full"))
    result = evaluating()(mutant(make_plan, "syntax"))
    assert (result.verdict, result.message) == (Verdict.ERROR, "syntax: the disk is full")
    assert (result.mutant, result.expected) == ("m", "syntax")


def test_an_answer_that_is_no_mutant_runs_all_stages(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.failing("syntax")
    workbench.stage("lint")
    assert len(evaluating()(make_plan()).stages) == 2
