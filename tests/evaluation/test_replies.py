"""What each item asks, who is asked, and what is known of the reply; a fake stands for the API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.evaluation import replies as module
from pytest_convex_eval.evaluation.limits import GENERATION_SECONDS
from pytest_convex_eval.evaluation.providers import Patience
from pytest_convex_eval.evaluation.replies import Replies, UnansweredError
from pytest_convex_eval.generation.ahead.budget import Budget
from pytest_convex_eval.generation.ahead.limiter import Limiter, LimiterPolicy
from pytest_convex_eval.generation.ahead.notices import Notices
from pytest_convex_eval.generation.ahead.prefetch import Job, Progress
from pytest_convex_eval.generation.anthropic.vendor import Anthropic
from pytest_convex_eval.generation.anthropic.words import usage_of
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.model_choice import Vendors, choose_models
from pytest_convex_eval.generation.provider import Gate, Generation, Request
from pytest_convex_eval.generation.retries import RetryPolicy
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.generation.vendor import Asking, Batching, BatchProgress, Model, Vendor
from pytest_convex_eval.options import Settings
from pytest_convex_eval.outcomes import (
    ConfigurationError,
    Generated,
    InfrastructureError,
    RequestFacts,
    StopReason,
)
from tests.patience import HANG_SECONDS

MakePlan = Callable[..., Plan]
MakeSettings = Callable[..., Settings]
MODEL = "claude-sonnet-5-5"
TEXT = '<file path="package.json">\n{}\n</file>\n'
USAGE: dict[str, Json] = {"input_tokens": 100, "output_tokens": 1000}
COST = (100 * 2 + 1000 * 10) / 1e6
"""2 USD a million input tokens, 10 USD a million output tokens."""
MOMENT = "2026-11-01T00:00:00.000+00:00"
PATIENCE = Patience(RetryPolicy(attempts=2), LimiterPolicy(window=7.0), deadline_seconds=33.0)


@dataclass
class Api:
    """Answers every request, and notes them and whoever asks."""

    text: str = TEXT
    stop_reason: StopReason = "stop"
    usage: dict[str, Json] = field(default_factory=lambda: dict(USAGE))
    told: str = ""
    asked: list[Request] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    made: list[tuple[str, RetryPolicy, tuple[Gate, ...]]] = field(default_factory=list)
    closed: int = 0
    fails_after: int | None = None
    batches: list[tuple[list[Job], Batching]] = field(default_factory=list)

    def generation(self, request: Request) -> Generation:
        return Generation(
            request,
            self.text,
            Stop(self.stop_reason, self.told),
            MOMENT,
            MOMENT,
            1.5,
            usage=usage_of(self.usage),
        )


class FakeProvider:
    """Asks nobody."""

    recordable = True

    def __init__(self, api: Api) -> None:
        self.api = api

    def generate(self, request: Request, *, deadline_seconds: float) -> Generation:
        self.api.asked.append(request)
        self.api.deadlines.append(deadline_seconds)
        if self.api.fails_after is not None and len(self.api.asked) > self.api.fails_after:
            raise InfrastructureError("the network is gone", detail="its words")
        return self.api.generation(request)

    def close(self) -> None:
        self.api.closed += 1


class FakeVendor(Anthropic):
    """Anthropic's names, key and prices, with providers and batches that only note."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def provider(self, model: Model, asking: Asking) -> Any:
        key = self.key(asking.environ)
        self.api.made.append((key, asking.policy, tuple(asking.gates)))
        return FakeProvider(self.api)

    def make_batches(self, jobs: Sequence[Job], batching: Batching) -> None:
        self.api.batches.append((list(jobs), batching))


class OtherVendor(Vendor):
    """Its models answer through the same fake, at an endpoint of their own."""

    name = "Other"
    prefix = "other/"
    form = "other/ID"

    def __init__(self, api: Api) -> None:
        self.api = api

    def provider(self, model: Model, asking: Asking) -> Any:
        self.api.made.append(("", asking.policy, tuple(asking.gates)))
        return FakeProvider(self.api)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    """What answers in the vendors' place; there is a key."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-key")
    return Api()


@pytest.fixture
def make(make_settings: MakeSettings, api: Api, tmp_path: Path) -> Iterator[Callable[..., Replies]]:
    """Replies of a run, from changes of its settings; closed with the test."""
    made: list[Replies] = []

    def start(run: str = "r1", **settings: Any) -> Replies:
        arms = [Arm("default", "Be brief."), Arm("mine", "Be long.")]
        vendors = Vendors([FakeVendor(api), OtherVendor(api)])
        names, asked = choose_models([MODEL, "other/x"], vendors, {})
        chosen = make_settings(**{"models": names, "asked": asked, **settings})
        made.append(Replies(chosen, arms, tmp_path / "runs" / run, vendors, patience=PATIENCE))
        return made[-1]

    yield start
    for one in made:
        one.close()


# One item's reply.


def test_a_reference_answers_itself_and_asks_nobody(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api, tmp_path: Path
) -> None:
    reply = make().reply(make_plan(reference={"package.json": "{}\n"}))
    assert reply.answer == {"package.json": "{}\n"}
    assert reply.remarks == ()
    assert reply.design is None
    (asked,) = reply.generated.requests
    assert reply.generated == Generated(
        "reference", "tags", (RequestFacts(asked.key, False, "stop", 0.0),)
    )
    assert (api.asked, api.made) == ([], [])
    assert not (tmp_path / "generations").exists()


def test_a_mutant_is_the_reference_over_the_case_s_files_with_its_edits(
    make: Callable[..., Replies], make_plan: MakePlan
) -> None:
    plan = make_plan(
        mutant="m",
        files={"package.json": "old", "convex/b.ts": "start"},
        reference={"package.json": "new", "convex/a.ts": "one two"},
        mutants=[
            {"name": "other", "fails": "lint", "files": {"package.json": None}},
            {
                "name": "m",
                "fails": "lint",
                "edit": {"convex/a.ts": [{"replace": "two", "with": "three"}]},
            },
        ],
    )
    reply = make().reply(plan)
    assert reply.answer == {
        "package.json": "new", "convex/b.ts": "start", "convex/a.ts": "one three"
    }  # fmt: skip
    assert (reply.remarks, reply.generated) == ((), Generated("mutant"))
    assert reply.generation is None


def test_a_model_is_asked_with_the_case_its_arm_and_its_limit(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    plan = make_plan(MODEL, "mine", files={"convex/b.ts": "start"})
    make(max_tokens=4000).reply(plan)
    (asked,) = api.asked
    assert (asked.model, asked.max_tokens) == (MODEL, 4000)
    assert "Be long." in asked.system
    assert "Write a table of notes." in asked.user
    assert "convex/b.ts" in asked.user
    ((key, policy, gates),) = api.made
    assert (key, policy) == ("sk-ant-test-key", PATIENCE.retries)
    assert [type(gate) for gate in gates] == [Limiter]
    assert api.deadlines == [pytest.approx(PATIENCE.deadline_seconds, abs=30)]


def test_what_is_known_of_a_model_s_reply(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    reply = make().reply(make_plan(MODEL))
    assert reply.answer == {"package.json": "{}\n"}
    request = api.asked[0]
    facts = RequestFacts(request.key(1), False, "stop", 1.5, 100, 1000, COST)
    assert reply.generated == Generated(MODEL, "tags", (facts,))
    assert reply.generation is not None
    assert reply.generation.request == request


def test_what_a_provider_does_not_count_is_unknown_and_not_nothing(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    api.usage = {}
    told = make().reply(make_plan(MODEL)).generated
    assert (told.input_tokens, told.output_tokens, told.usd) == (None, None, None)


def test_a_reply_that_is_there_is_asked_for_once_a_trial(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    first = make()
    assert first.reply(make_plan(MODEL)).generated.source == MODEL
    # What this run had made was made now, whoever asks for it again.
    assert first.reply(make_plan(MODEL)).generated.source == MODEL
    assert make("r2").reply(make_plan(MODEL)).generated.source == "store"
    assert len(api.asked) == 1
    first.reply(make_plan(MODEL, trial=2))
    assert len(api.asked) == 2
    # One for each run, however often it is asked.
    assert len(api.made) == 2


def test_a_reply_that_is_no_answer_is_said_of_it(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    api.text, api.stop_reason = "I will not.", "max_tokens"
    reply = make().reply(make_plan(MODEL))
    assert [one.code for one in reply.remarks] == ["format/truncated", "format/no-files"]
    assert (reply.answer, reply.generated.shape) == ({}, None)


def test_a_reply_that_ended_for_an_unknown_reason_is_nobody_s_fault(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    api.stop_reason, api.told = "unknown", "made_up"
    with pytest.raises(InfrastructureError, match="made_up"):
        make().reply(make_plan(MODEL))


def test_without_a_key_only_the_store_answers(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().reply(make_plan(MODEL))
    monkeypatch.setenv("ANTHROPIC_API_KEY", " ")
    replies = make("r2")
    assert replies.reply(make_plan(MODEL)).generated.source == "store"
    with pytest.raises(ConfigurationError, match=rf"notes\[{MODEL}\] \(trial 2\).*no key"):
        replies.reply(make_plan(MODEL, trial=2))


def test_a_store_that_only_replays_asks_nobody(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    with pytest.raises(InfrastructureError, match="is not in the generation store"):
        make(store_mode="replay").reply(make_plan(MODEL))
    assert api.asked == []


# More than one request.


def test_a_design_is_asked_for_first_and_its_text_kept(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make(strategy="design-first")
    reply = replies.reply(make_plan(MODEL))
    design, code = api.asked
    assert "First, the design" in design.user
    assert [turn.text for turn in code.history] == [design.user, TEXT]
    assert "Now, the project" in code.user
    assert reply.design == TEXT
    generated = reply.generated
    assert [each.key for each in generated.requests] == [design.key(1), code.key(1)]
    assert (generated.input_tokens, generated.output_tokens) == (200, 2000)
    assert generated.usd == pytest.approx(2 * COST), "a design is paid for too"


def test_a_design_that_was_cut_off_is_the_reply(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    api.stop_reason = "max_tokens"
    reply = make(strategy="design-first").reply(make_plan(MODEL))
    assert (len(api.asked), reply.design) == (1, None)
    assert [one.code for one in reply.remarks] == ["format/truncated"]


def test_a_design_is_counted_where_the_code_fails(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make(strategy="design-first")
    api.fails_after = 1
    with pytest.raises(UnansweredError, match="the network is gone") as raised:
        replies.reply(make_plan(MODEL))
    assert raised.value.detail == "its words"
    generated = raised.value.generated
    assert generated.source == MODEL
    assert [each.key for each in generated.requests] == [api.asked[0].key(1)]
    assert generated.usd == pytest.approx(COST)


def test_a_reply_of_an_unknown_end_is_counted(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make()
    first = replies.reply(make_plan(MODEL))
    api.stop_reason, api.told = "unknown", "made_up"
    with pytest.raises(UnansweredError, match="made_up") as raised:
        replies.repaired(make_plan(MODEL), first, "it is wrong", 1)
    assert raised.value.generated.usd == pytest.approx(2 * COST), "it was paid for too"


def test_a_repair_goes_on_with_the_conversation_and_its_design(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make()
    plan = make_plan(MODEL, trial=2)
    first = replace(replies.reply(plan), design="the design")
    api.text = TEXT.replace("{}", "[]")
    second = replies.repaired(plan, first, "it is wrong", 1)
    third = replies.repaired(plan, second, "still wrong", 2)
    assert (second.answer, second.design, third.design) == (
        {"package.json": "[]\n"}, "the design", "the design",
    )  # fmt: skip
    asked, again, more = api.asked
    assert [turn.text for turn in again.history] == [asked.user, TEXT]
    assert "it is wrong" in again.user
    assert "checked again" not in again.user
    assert [turn.text for turn in more.history][2:] == [again.user, api.text]
    assert "checked again" in more.user
    requests = third.generated.requests
    assert [each.key for each in requests] == [asked.key(2), again.key(2), more.key(2)]
    assert third.generated.usd == pytest.approx(3 * COST), "each round is paid for"
    assert third.generated.seconds == pytest.approx(4.5)


# Ahead of the items.


def ids(jobs: list[Job]) -> list[tuple[str, int, str]]:
    return [(job.label, job.trial, job.request.system.rpartition("\n\n")[2]) for job in jobs]


def test_only_what_a_model_is_to_answer_is_planned(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make()
    mutants = [{"name": "m", "fails": "lint", "files": {"package.json": None}}]
    others = [make_plan(), make_plan(MODEL, mutant="m", mutants=mutants)]
    assert replies.plan_ahead(others) == ""
    assert replies.plan_ahead([]) == ""
    plans = [make_plan(MODEL, "mine", 2), *others, make_plan(MODEL, name="more")]
    said = replies.plan_ahead(plans)
    assert said.startswith("0 replies are in the store, 2 to be made, estimated $")
    assert said.endswith("(output assumed as 3,000 to 15,000 tokens a reply)")
    assert ids(replies._jobs) == [
        (f"notes[{MODEL}]", 2, "Be long.\n"),
        (f"more[{MODEL}]", 1, "Be brief.\n"),
    ]
    assert api.asked == []


def test_what_is_in_the_store_is_no_part_of_the_estimate(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    plans = [make_plan(MODEL), make_plan(MODEL, trial=2), make_plan(MODEL, trial=3)]
    replies = make()
    for plan in plans[:2]:
        replies.reply(plan)
    said = make("r2").plan_ahead(plans)
    assert said.startswith("2 replies are in the store, 1 to be made, estimated $")
    # The replies that are there tell how long the others will be.
    assert said.endswith("(output as in 2 stored generations)")
    api.usage = {}
    replies.reply(plans[2])
    assert make("r3").plan_ahead(plans) == "all 3 replies are in the store"


def test_a_batch_is_estimated_at_half_the_price(
    make: Callable[..., Replies], make_plan: MakePlan
) -> None:
    def low(said: str) -> float:
        return float(said.partition("$")[2].split()[0])

    plans = [make_plan(MODEL, trial=number) for number in range(1, 21)]
    whole, half = make().plan_ahead(plans), make(batch=True).plan_ahead(plans)
    assert low(half) == pytest.approx(low(whole) / 2, rel=0.05)


def test_where_nothing_may_be_asked_nothing_is_planned(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make(store_mode="replay")
    assert replies.plan_ahead([make_plan(MODEL)]) == ""
    replies.prefetch(lambda _: None)
    assert not replies._folder.exists()
    assert api.made == []


def test_what_was_planned_is_made_ahead_and_told(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api, tmp_path: Path
) -> None:
    ended = threading.Event()
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        if progress.finished:
            ended.set()

    replies = make(strategy="design-first", concurrency=2)
    replies.plan_ahead([make_plan(MODEL)])
    replies.prefetch(tell)
    assert ended.wait(HANG_SECONDS)
    assert "First, the design" in api.asked[0].user
    assert "Now, the project" in api.asked[1].user
    assert told[-1].made == 2
    assert api.deadlines == [pytest.approx(PATIENCE.deadline_seconds, abs=30)] * 2
    assert Notices(tmp_path / "runs/r1/generation").attended()
    # A worker finds what this run had made, and knows that it was.
    worker = make(strategy="design-first")
    assert worker.reply(make_plan(MODEL)).generated.source == MODEL
    replies.close()
    assert not Notices(tmp_path / "runs/r1/generation").attended()
    assert len(api.asked) == 2


def test_one_provider_asks_for_all_and_is_closed(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api
) -> None:
    replies = make(budget=5.0)
    for trial in (1, 2):
        replies.reply(make_plan(MODEL, trial=trial))
    ((_, _, gates),) = api.made
    # Money first: whoever has none must not take another's turn.
    assert [type(gate) for gate in gates] == [Budget, Limiter]
    budget, limiter = gates
    assert isinstance(budget, Budget)
    assert isinstance(limiter, Limiter)
    assert budget.limit == 5.0
    replies.close()
    assert (api.closed, limiter.cancelled, budget._cancelled.is_set()) == (1, True, True)
    replies.close()
    assert api.closed == 1


def test_the_budget_is_the_run_s(
    make: Callable[..., Replies], api: Api, make_plan: MakePlan, tmp_path: Path
) -> None:
    replies = make(budget=5.0)
    replies.reply(make_plan(MODEL))
    ((_, _, (budget, _)),) = api.made
    assert isinstance(budget, Budget)
    budget.reserve(1.0, deadline=0.0).settle(0.5)
    assert (tmp_path / "runs/r1/generation/budget.json").exists()


# Batches.


def test_batches_are_made_of_all_that_was_planned(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def tell(progress: BatchProgress) -> None:
        pass

    replies = make(batch=True, budget=5.0)
    replies.make_batches(tell)
    assert api.batches == []
    replies.plan_ahead([make_plan(MODEL)])
    replies.make_batches(tell)
    ((jobs, batching),) = api.batches
    assert [job.label for job in jobs] == [f"notes[{MODEL}]"]
    assert (batching.store.folder, batching.store.run) == (tmp_path / "generations", "r1")
    assert (batching.on_progress, batching.notices) == (tell, replies._notices)
    assert batching.budget is not None
    assert batching.budget.limit == 5.0
    assert batching.prices.price(MODEL, module._today()) is not None
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    replies.make_batches(tell)
    assert len(api.batches) == 1


def test_models_of_one_vendor_share_its_limits_and_no_other_s(
    make: Callable[..., Replies], make_plan: MakePlan, api: Api, tmp_path: Path
) -> None:
    replies = make(budget=5.0)
    replies.reply(make_plan(MODEL))
    replies.reply(make_plan("other/x"))
    (_, _, (budget, limiter)), (_, _, (other_budget, other)) = api.made
    assert budget is other_budget
    assert limiter is not other
    request = api.asked[1]
    assert (request.model, request.model_id) == ("other/x", "x")


def test_a_run_is_as_patient_as_its_parts_are_by_themselves() -> None:
    assert Patience(RetryPolicy(), LimiterPolicy(), GENERATION_SECONDS) == module.PATIENCE
