"""Anthropic's words in this program's, and stores of before there were other vendors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_convex_eval.generation.anthropic.words import stop_of, upgraded, usage_of
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.usage import Rate, Stop, Tokens
from pytest_convex_eval.outcomes import StopReason


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "context_window"),
        ("refusal", "refusal"),
        ("tool_use", "unfinished"),
        ("pause_turn", "unfinished"),
        ("of_tomorrow", "unknown"),
    ],
)
def test_each_reason_for_an_end_is_one_of_ours(told: str, reason: StopReason) -> None:
    assert stop_of(told, None) == Stop(reason, told)
    assert stop_of(told, {"category": "cyber"}) == Stop(reason, told, "cyber")
    assert stop_of(told, {"category": 1}) == Stop(reason, told)


@pytest.mark.parametrize(
    ("told", "rate"),
    [
        ({}, "standard"),
        ({"service_tier": "standard", "speed": "standard", "inference_geo": "global"}, "standard"),
        ({"service_tier": "batch"}, "batch"),
        ({"service_tier": "batch", "speed": "fast"}, "other"),
        ({"service_tier": "priority"}, "other"),
        ({"inference_geo": "us"}, "other"),
    ],
)
def test_what_is_billed_otherwise_is_no_standard_rate(told: dict[str, Json], rate: Rate) -> None:
    assert usage_of(told).rate == rate


OLD: Json = {
    "request": {
        "model": "claude-x", "max_tokens": 9, "effort": "low",
        "system": ["rules"], "history": [], "user": ["a task"],
    },
    "prompt_fingerprint": "f",
    "text": ["one", "two"],
    "stop_reason": "refusal",
    "stop_details": {"category": "cyber"},
    "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": "batch"},
    "answered_by": "claude-x-1",
    "started": "a",
    "finished": "b",
    "seconds": 1.5,
    "attempts": [],
    "request_id": None,
    "sdk_version": None,
}  # fmt: skip


def test_a_store_of_format_1_is_read_with_the_keys_it_has(tmp_path: Path) -> None:
    request = Request("claude-x", "rules", "a task", 9, effort="low")
    store = GenerationStore(tmp_path, run="r")
    path = store.path(request, 2)
    path.parent.mkdir(parents=True)
    data = {"format": 1, "key": request.key(2), "label": "c", "trial": 2, "run": "old"}
    path.write_text(json.dumps({**data, "generation": OLD}))
    found = store.lookup(request, 2)
    assert found is not None
    assert found.stored
    generation = found.generation
    assert generation.request == request
    assert (generation.text, generation.answered_by) == ("one\ntwo", "claude-x-1")
    assert generation.stop == Stop("refusal", "refusal", "cyber")
    assert (generation.usage.tokens, generation.usage.rate) == (Tokens(3, 0, 0, 0, 4), "batch")


@pytest.mark.parametrize("broken", [None, [], {"request": 1, "stop_reason": "x"}, {"request": {}}])
def test_what_is_no_generation_of_format_1_is_none_of_format_2(broken: Json) -> None:
    with pytest.raises(ValueError, match="is"):
        Generation.from_json(upgraded(broken))
