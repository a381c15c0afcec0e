"""Rounds of repair: which answers are asked for again, with what, and what stays of those before;
and how an answer differs from its design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.deployment.model import Deployed
from pytest_convex_eval.evaluation.evaluator import Evaluator
from pytest_convex_eval.evaluation.replies import ItemReply, Replies, UnansweredError
from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError
from pytest_convex_eval.outcomes import (
    Finding,
    Generated,
    InfrastructureError,
    ItemResult,
    RequestFacts,
    Round,
    StageName,
    Verdict,
)
from pytest_convex_eval.stages.protocol import Report, StageContext

if TYPE_CHECKING:
    from tests.evaluation.conftest import Evaluating, Workbench

Make = Callable[..., "Evaluating"]
MakePlan = Callable[..., Plan]
MODEL = "claude-x"


@dataclass
class Talk:
    """Gives the texts `a`, `b`, ... as answers, one after another, and notes what was told."""

    texts: str
    design: str | None = None
    told: list[tuple[str, str, int]] = field(default_factory=list)
    """For each repair: the answer that it is of, the findings, and the round."""
    trouble: Exception | None = None
    """Ends the rounds instead of the last text."""

    def answer(self, index: int) -> ItemReply:
        if self.trouble is not None and index == len(self.texts) - 1:
            raise self.trouble
        text = self.texts[index]
        return ItemReply({"convex/a.ts": text}, (), Generated(text), design=self.design)

    def reply(self, plan: Plan) -> ItemReply:
        return self.answer(0)

    def repaired(self, plan: Plan, reply: ItemReply, findings: str, round_number: int) -> ItemReply:
        self.told.append((reply.answer["convex/a.ts"], findings, round_number))
        return self.answer(len(self.told))

    def close(self) -> None:
        pass


@pytest.fixture
def talking(evaluating: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """An evaluator whose replies are a talk's."""

    def make(talk: Talk, **settings: Any) -> Evaluating:
        made = evaluating(**settings)
        evaluator: Evaluator = made.evaluator
        monkeypatch.setattr(evaluator, "replies", cast(Replies, talk))
        return made

    return make


def judging(workbench: Workbench, **ends: str) -> None:
    """A stage that ends for each answer as told: with the error's code, or `passed`, or `error`."""

    def check(context: StageContext) -> Report:
        end = ends[context.subject.answer["convex/a.ts"]]
        if end == "error":
            raise InfrastructureError("the disk is full")
        findings = () if end == "passed" else (Finding(end, f"It is {end}."),)
        return Report((*findings, Finding("odd", "It is odd.", "warning")))

    workbench.stage("format")
    workbench.stage("syntax", check)
    workbench.stage("lint", lambda _: Report((Finding("loose", "It is loose.", "warning"),)))


def ended(result: ItemResult) -> tuple[str, str, list[tuple[StageName | None, str | None]]]:
    """The verdict, of which answer, and how those before it failed."""
    for one in result.rounds:
        assert one.verdict is Verdict.FAILED
    before = [(one.stage, one.code) for one in result.rounds]
    return result.verdict.value, result.generation.source, before


def test_an_answer_is_asked_for_again_until_it_passes(
    talking: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    judging(workbench, a="one", b="two", c="passed")
    talk = Talk("abcd")
    result = talking(talk, repair=3)(make_plan(MODEL))
    assert ended(result) == ("passed", "c", [("syntax", "one"), ("syntax", "two")])
    assert result.rounds[0] == Round(Verdict.FAILED, "syntax", "one")

    def findings(code: str) -> str:
        return f"syntax:\n  error {code}: It is {code}.\n  warning odd: It is odd."

    # Of a stage that passed, nothing is told.
    assert talk.told == [("a", findings("one"), 1), ("b", findings("two"), 2)]


def test_no_more_rounds_are_made_than_were_asked_for(
    talking: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    judging(workbench, a="one", b="two", c="three")
    result = talking(Talk("abc"), repair=2)(make_plan(MODEL))
    assert ended(result) == ("failed", "c", [("syntax", "one"), ("syntax", "two")])
    assert result.code == "three"


@pytest.mark.parametrize(
    ("end", "model", "repair"),
    [("passed", MODEL, 2), ("error", MODEL, 2), ("wrong", "reference", 2), ("wrong", MODEL, 0)],
)
def test_only_a_model_s_failed_answer_is_repaired_and_only_when_asked(
    talking: Make, workbench: Workbench, make_plan: MakePlan, end: str,
    model: str, repair: int,
) -> None:  # fmt: skip
    judging(workbench, a=end)
    talk = Talk("a")
    result = talking(talk, repair=repair)(make_plan(model))
    assert ended(result) == ("failed" if end == "wrong" else end, "a", [])
    assert talk.told == []


def test_an_error_of_ours_ends_the_rounds_and_leaves_those_before(
    talking: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    judging(workbench, a="one", b="error")
    result = talking(Talk("abc"), repair=2)(make_plan(MODEL))
    assert ended(result) == ("error", "b", [("syntax", "one")])


def test_a_repair_that_can_not_be_had_is_an_error_and_leaves_those_before(
    talking: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    judging(workbench, a="one")
    talk = Talk("ab", trouble=InfrastructureError("nobody answers"))
    result = talking(talk, repair=2)(make_plan(MODEL))
    assert (result.verdict, result.message) == (Verdict.ERROR, "generation: nobody answers")
    assert result.rounds == (Round(Verdict.FAILED, "syntax", "one"),)


def test_a_repair_that_there_is_no_money_for_is_told(
    talking: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    judging(workbench, a="one")
    talk = Talk("ab", trouble=BudgetExhaustedError("spent"))
    with pytest.raises(BudgetExhaustedError):
        talking(talk, repair=2)(make_plan(MODEL))


@pytest.mark.parametrize("design", ["no design", None])
def test_the_design_goes_with_the_answer_to_what_is_deployed_of_it(
    talking: Make, workbench: Workbench, make_plan: MakePlan, design: str | None
) -> None:
    def check(context: StageContext) -> Report:
        differ = context.subject.design
        return Report(() if differ is None else differ(Deployed()))

    workbench.stage("deploy", check)
    result = talking(Talk("a", design=design))(make_plan(MODEL))
    assert result.verdict is Verdict.PASSED
    (deploy,) = result.stages
    said = [(one.code, one.severity) for one in deploy.findings]
    assert said == ([] if design is None else [("design/missing", "warning")])


def test_what_was_paid_for_before_the_trouble_is_in_the_result(
    talking: Make, make_plan: MakePlan
) -> None:
    paid = Generated(MODEL, None, (RequestFacts("k", False, "stop", 1.0, 10, 20, 0.5),))
    talk = Talk("a", trouble=UnansweredError(InfrastructureError("gone", detail="why"), paid))
    result = talking(talk)(make_plan(MODEL))
    assert result.verdict is Verdict.ERROR
    assert result.message == "generation: gone\nwhy"
    assert result.generation == paid
