"""The deployment that an evaluator keeps: started ahead, emptied for each item, replaced when it
must be, and let go of in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.deployment.backends import Backend
from pytest_convex_eval.deployment.model import BusyError, UnsupportedError
from pytest_convex_eval.outcomes import InfrastructureError, Verdict
from pytest_convex_eval.stages.protocol import Report, StageContext
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.evaluation.conftest import Evaluating, Workbench

Make = Callable[..., "Evaluating"]
MakePlan = Callable[..., Plan]


def done(workbench: Workbench) -> list[str]:
    """What was done with deployments."""
    words = ("start", "use", "reset", "release", "close")
    return [
        one for one in workbench.journal if one.split()[0] in words and one.split()[1].isdecimal()
    ]


def test_one_serves_all_items_and_is_empty_for_each(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.deploying()
    evaluate = evaluating()
    for _ in range(3):
        assert evaluate(make_plan()).verdict is Verdict.PASSED
    evaluate.evaluator.close()
    assert done(workbench) == [
        "start 1", "use 1", "release 1",
        "reset 1", "use 1", "release 1",
        "reset 1", "use 1", "release 1",
        "close 1",
    ]  # fmt: skip


def test_it_starts_while_the_first_item_is_in_the_stages_before(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = threading.Event()

    def wait(context: StageContext) -> Report:
        assert started.wait(HANG_SECONDS)
        return Report()

    workbench.stage("format", wait)
    workbench.deploying()
    new = workbench.new_deployment

    def noted() -> Any:
        deployment: Any = new()
        start = deployment.start

        def begin() -> None:
            start()
            started.set()

        deployment.start = begin
        return deployment

    monkeypatch.setattr(workbench, "new_deployment", noted)
    assert evaluating()(make_plan()).verdict is Verdict.PASSED
    assert done(workbench) == ["start 1", "use 1", "release 1"]


@pytest.mark.parametrize("stages", [("format", "lint"), ("deploy",), ("behaviour",)])
def test_it_starts_ahead_only_where_a_stage_needs_it(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    stages: tuple[str, ...],
) -> None:
    workbench.stage("format")
    evaluate = evaluating(stages=stages)
    evaluate(make_plan())
    evaluate(make_plan())
    evaluate.evaluator.close()
    needed = stages != ("format", "lint")
    assert done(workbench) == (["start 1", "close 1"] if needed else [])


def test_one_at_a_url_is_not_held_before_it_is_needed(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.stage("format")
    evaluate = evaluating(backend=Backend("url", "http://there"))
    evaluate(make_plan())
    assert done(workbench) == []
    workbench.deploying()
    evaluate(make_plan())
    assert done(workbench) == ["start 1", "use 1", "release 1"]


def test_one_that_died_is_replaced(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.deploying()
    evaluate = evaluating()
    evaluate(make_plan())
    workbench.deployments[0].living = False
    assert evaluate(make_plan()).verdict is Verdict.PASSED
    assert done(workbench)[3:] == ["close 1", "start 2", "use 2", "release 2"]


def test_one_that_does_not_answer_any_more_is_replaced(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.deploying()
    workbench.starts = [{"reset": InfrastructureError("no answer")}]
    evaluate = evaluating()
    evaluate(make_plan())
    assert evaluate(make_plan()).verdict is Verdict.PASSED
    assert done(workbench)[3:] == ["reset 1", "close 1", "start 2", "use 2", "release 2"]


@pytest.mark.parametrize("error", [BusyError("others use it"), UnsupportedError("it can't")])
def test_what_starting_anew_would_not_change_is_the_item_s_error(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    error: InfrastructureError,
) -> None:
    workbench.deploying()
    workbench.starts = [{"reset": error}]
    evaluate = evaluating()
    evaluate(make_plan())
    result = evaluate(make_plan())
    assert (result.verdict, result.message) == (Verdict.ERROR, f"deploy: {error}")
    assert done(workbench)[3:] == ["reset 1", "release 1"]
    workbench.deployments[0].fails.clear()
    assert evaluate(make_plan()).verdict is Verdict.PASSED
    assert done(workbench)[5:] == ["reset 1", "use 1", "release 1"]


def test_one_that_does_not_start_ahead_costs_one_item(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.deploying()
    workbench.starts = [{"start": InfrastructureError("no port is free")}]
    evaluate = evaluating()
    result = evaluate(make_plan())
    assert (result.verdict, result.message) == (Verdict.ERROR, "deploy: no port is free")
    assert evaluate(make_plan()).verdict is Verdict.PASSED
    assert done(workbench) == ["start 1", "start 2", "use 2", "release 2"]


def test_one_that_does_not_start_again_is_tried_for_the_next_item(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.deploying()
    workbench.starts = [{}, {"start": InfrastructureError("no port is free")}]
    evaluate = evaluating()
    evaluate(make_plan())
    workbench.deployments[0].living = False
    assert evaluate(make_plan()).verdict is Verdict.ERROR
    assert evaluate(make_plan()).verdict is Verdict.PASSED
    assert done(workbench)[3:] == ["close 1", "start 2", "start 3", "use 3", "release 3"]


@pytest.mark.parametrize("fails", [False, True])
def test_one_that_nobody_took_is_ended_too(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, fails: bool
) -> None:
    workbench.failing("format")
    workbench.starts = [{"start": InfrastructureError("no port is free")} if fails else {}]
    evaluate = evaluating()
    assert evaluate(make_plan()).verdict is Verdict.FAILED
    evaluate.evaluator.close()
    evaluate.evaluator.close()
    assert done(workbench) == (["start 1"] if fails else ["start 1", "close 1"])


class Interrupt(BaseException):
    """As Ctrl-C, or pytest-timeout's signal."""


def test_it_is_let_go_of_when_an_item_is_interrupted(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.deploying()
    workbench.raising("behaviour", Interrupt())
    evaluate = evaluating()
    with pytest.raises(Interrupt):
        evaluate(make_plan())
    evaluate.evaluator.close()
    assert done(workbench) == ["start 1", "use 1", "release 1", "close 1"]
