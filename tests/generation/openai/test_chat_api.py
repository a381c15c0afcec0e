"""Chat Completions as data: what is asked, what a reply is, and what was counted."""

from __future__ import annotations

import pytest

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.openai.chat_api import Dialect, Reply, answered_by, body
from pytest_convex_eval.generation.openai.words import stop_of, usage_of
from pytest_convex_eval.generation.provider import Request, Turn
from pytest_convex_eval.generation.usage import Rate, Stop, Tokens
from pytest_convex_eval.outcomes import StopReason

REQUEST = Request(
    "openai/m", "rules", "again", 900, (Turn("user", "first"), Turn("assistant", "answer")),
    effort="low", model_id="m", settings={"seed": 7},
)  # fmt: skip


def test_a_request_is_a_conversation_with_its_limit_and_settings() -> None:
    assert body(REQUEST, Dialect()) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "again"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 900,
        "reasoning_effort": "low",
        "seed": 7,
    }


def test_what_was_not_said_is_not_asked() -> None:
    assert body(Request("m", "", "task", 9), Dialect()) == {
        "model": "m",
        "messages": [{"role": "user", "content": "task"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
    }


def test_endpoints_differ_in_names() -> None:
    router = body(REQUEST, Dialect(reasoning=True, tells_cost=True))
    assert (router["reasoning"], router["usage"]) == ({"effort": "low"}, {"include": True})
    assert "reasoning_effort" not in router
    own = body(REQUEST, Dialect(limit="max_completion_tokens"))
    assert own["max_completion_tokens"] == 900
    assert "max_tokens" not in own


def delta(reason: str | None = None, **parts: Json) -> Json:
    return {"model": "m-1", "choices": [{"index": 0, "delta": {**parts}, "finish_reason": reason}]}


def reply_of(*chunks: Json) -> Reply:
    reply = Reply()
    for chunk in chunks:
        reply.add(chunk)
    return reply


def test_a_reply_is_the_content_of_its_chunks_without_thinking() -> None:
    usage: Json = {"prompt_tokens": 5, "completion_tokens": 2}
    reply = reply_of(
        delta(role="assistant", content=None),
        delta(reasoning_content="hm", reasoning="hm"),
        delta(content="a"),
        delta(content="b"),
        delta("stop"),
        {"model": "m-1", "choices": [], "usage": usage},
        "no chunk",
        {"choices": "none", "usage": 1, "model": 2},
    )
    assert (reply.text, reply.model, reply.begun) == ("ab", "m-1", True)
    assert reply.stop == Stop("stop", "stop")
    assert reply.usage.told == usage


def test_nothing_has_begun_before_there_is_a_choice() -> None:
    reply = reply_of({"choices": [], "usage": None}, {"choices": ["odd"]})
    assert not reply.begun
    assert (reply.stop, reply.model, reply.usage.tokens) == (None, None, None)
    assert not reply.empty, "what has not ended may still come"


def test_halves_of_a_character_in_two_chunks_are_one() -> None:
    assert reply_of(delta(content="\ud83e"), delta(content="\udd80")).text == "🦀"


def test_a_refusal_in_the_place_of_an_answer_is_one() -> None:
    reply = reply_of(delta(refusal="I "), delta(refusal="won't"), delta("stop"))
    assert (reply.text, reply.stop) == ("I won't", Stop("refusal", "stop"))
    assert not reply.empty


@pytest.mark.parametrize(
    ("told", "reason", "category"),
    [
        ("stop", "stop", None),
        ("length", "max_tokens", None),
        ("content_filter", "refusal", "content_filter"),
        ("tool_calls", "unfinished", None),
        ("function_call", "unfinished", None),
        ("of_tomorrow", "unknown", None),
    ],
)
def test_each_reason_for_an_end_is_one_of_ours(
    told: str, reason: StopReason, category: str | None
) -> None:
    assert stop_of(told) == Stop(reason, told, category)


def test_a_refusal_that_was_cut_off_was_cut_off() -> None:
    assert stop_of("length", refused=True).reason == "max_tokens"


@pytest.mark.parametrize(
    ("reason", "counted", "content", "empty"),
    [
        ("stop", 0, "", True),
        ("stop", None, "", True),
        ("stop", 3, "", False),
        ("stop", 0, "text", False),
        ("stop", None, "text", False),
        ("length", 0, "", True),
        ("length", None, "", False),
        ("length", 9, "", False),
        ("content_filter", 0, "", False),
        ("content_filter", None, "", False),
    ],
)
def test_a_model_that_said_nothing_has_not_answered_unless_it_refused_or_used_its_limit(
    reason: str, counted: int | None, content: str, empty: bool
) -> None:
    usage: Json = None if counted is None else {"completion_tokens": counted}
    reply = reply_of(delta(content=content), delta(reason), {"choices": [], "usage": usage})
    assert reply.empty == empty


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 3}, Tokens(10, 0, 0, 0, 3)),
        (
            {"prompt_tokens": 10, "completion_tokens": 3,
             "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}},
            Tokens(1, 5, 0, 4, 3),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": None},
         Tokens(10, 0, 0, 0, 3)),
        ({"prompt_tokens": 1, "completion_tokens": 3,
          "prompt_tokens_details": {"cached_tokens": 4}}, None),
        ({"prompt_tokens": 10}, None),
        ({"completion_tokens": 3}, None),
        ({"prompt_tokens": -1, "completion_tokens": 3}, None),
        ({"prompt_tokens": 10, "completion_tokens": True}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_tokens_are_counted_by_kind_or_not_at_all(
    told: dict[str, Json], tokens: Tokens | None
) -> None:
    assert usage_of(told).tokens == tokens


@pytest.mark.parametrize(
    ("told", "usd"),
    [
        ({"cost": 0.25}, 0.25),
        ({"cost": 0}, 0.0),
        ({"cost": None}, None),
        ({"cost": "0.25"}, None),
        ({"cost": True}, None),
        ({"cost": -1}, None),
        ({"cost": float("nan")}, None),
        ({"cost": 0.05, "is_byok": False}, 0.05),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1.0}}, 1.05),
        ({"cost": 0.05, "is_byok": True}, None),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
    ],
)
def test_a_cost_that_is_told_is_taken_and_no_other(
    told: dict[str, Json], usd: float | None
) -> None:
    assert usage_of(told).usd == usd


@pytest.mark.parametrize(
    ("name", "prefix", "told", "named"),
    [
        ("openai/m", "openai/", "m", "openai/m"),
        ("openai/m", "openai/", "m-2026-11-01", "openai/m-2026-11-01"),
        ("local", "", "m", "local"),
        ("local", "", "another", "another"),
        ("local", "", None, None),
    ],
)
def test_the_model_that_answered_is_named_as_its_price_is(
    name: str, prefix: str, told: str | None, named: str | None
) -> None:
    assert answered_by(told, Request(name, "", "task", 9, model_id="m"), prefix) == named


@pytest.mark.parametrize(
    ("tier", "rate"), [(None, "standard"), ("default", "standard"), ("flex", "other")]
)
def test_a_tier_with_prices_of_its_own_is_no_standard_rate(tier: Json, rate: Rate) -> None:
    assert usage_of({}, tier).rate == rate
    assert reply_of({"service_tier": tier, "choices": []}).usage.rate == rate
