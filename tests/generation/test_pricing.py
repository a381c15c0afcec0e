"""What generations cost by the dated table, and what a run will cost."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.generation.pricing import (
    ASSUMED_OUTPUT_TOKENS,
    PriceTable,
    Tokens,
    output_range,
    show_estimate,
    show_usd,
)
from pytest_convex_eval.generation.provider import Generation, Json, Request

TABLE = PriceTable.load()
DAY = datetime.date(2026, 11, 10)


def generation(
    usage: Mapping[str, Json],
    model: str = "claude-sonnet-5-5",
    finished: str = "2026-11-10T10:00:00.000+00:00",
    answered_by: str | None = None,
) -> Generation:
    return Generation(
        request=Request(model, "rules", "task", 1000),
        text="",
        stop_reason="end_turn",
        started=finished,
        finished=finished,
        seconds=1.0,
        usage=usage,
        answered_by=answered_by,
    )


def usage(**counts: Any) -> dict[str, Json]:
    return {"input_tokens": 0, "output_tokens": 0, **counts}


def usd(usage: Mapping[str, Json], **kwargs: str) -> float | None:
    cost = TABLE.cost(generation(usage, **kwargs))
    return None if cost is None else cost.usd


MILLION = 1_000_000
WRITTEN_5M = usage(
    cache_creation_input_tokens=MILLION,
    cache_creation={"ephemeral_5m_input_tokens": MILLION, "ephemeral_1h_input_tokens": 0},
)
WRITTEN_1H = usage(
    cache_creation_input_tokens=MILLION,
    cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": MILLION},
)


@pytest.mark.parametrize(
    ("counted", "model", "expected"),
    [
        (usage(input_tokens=MILLION), "claude-sonnet-5-5", 2.0),
        (usage(output_tokens=MILLION), "claude-sonnet-5-5", 10.0),
        (usage(cache_read_input_tokens=MILLION), "claude-sonnet-5-5", 0.1),
        (usage(cache_read_input_tokens=MILLION), "claude-opus-5", 0.5),
        (WRITTEN_5M, "claude-sonnet-5-5", 2.5),
        (WRITTEN_1H, "claude-sonnet-5-5", 4.0),
        (usage(input_tokens=100_000, output_tokens=10_000), "claude-haiku-5-5", 0.015),
        (usage(input_tokens=100_001, output_tokens=10_000), "claude-haiku-5-5", 0.0750005),
        (usage(output_tokens=MILLION, service_tier="batch"), "claude-opus-5-5", 10.0),
        (usage(output_tokens=MILLION), "claude-haiku-4-5-20251001", 5.0),
    ],
)
def test_the_usage_object_is_priced_as_the_documentation_says(
    counted: dict[str, Json], model: str, expected: float
) -> None:
    assert usd(counted, model=model) == pytest.approx(expected)


def test_cached_tokens_count_towards_the_length_of_the_prompt() -> None:
    counted = usage(input_tokens=1, cache_read_input_tokens=100_000)
    assert usd(counted, model="claude-haiku-5-5") == pytest.approx((1 + 10_000) * 0.5e-6)


@pytest.mark.parametrize(
    ("counted", "kwargs"),
    [
        (usage(), {"model": "claude-of-tomorrow"}),
        (usage(), {"answered_by": "somebody-else"}),
        (usage(), {"finished": "2026-09-30T00:00:00+00:00"}),
        (usage(), {"finished": "some day"}),
        (usage(cache_read_input_tokens=1), {"finished": "2026-10-06T23:59:59+00:00"}),
        (usage(cache_read_input_tokens=1), {"model": "claude-fable-5-2"}),
        (usage(service_tier="priority"), {}),
        (usage(speed="fast"), {}),
        (usage(inference_geo="us"), {}),
        (usage(cache_creation_input_tokens=5), {}),
        (usage(input_tokens=None), {}),
        (usage(output_tokens=-1), {}),
        ({}, {}),
    ],
)
def test_what_is_unknown_is_none_and_never_zero(
    counted: dict[str, Json], kwargs: dict[str, str]
) -> None:
    assert usd(counted, **kwargs) is None


def test_a_generation_is_priced_as_of_the_day_it_was_made() -> None:
    table = PriceTable.from_json(
        {
            "format": 1,
            "checked": "2026-11-01",
            "models": {
                "m": [
                    {"effective_from": "2026-06-01", "tiers": [{"input": 1, "output": 1}]},
                    {"effective_from": "2026-01-01", "tiers": [{"input": 3, "output": 3}]},
                ]
            },
        }
    )
    for finished, expected in (("2026-05-31T23:59:59Z", 3.0), ("2026-06-01T00:00:00Z", 1.0)):
        cost = table.cost(generation(usage(input_tokens=MILLION), "m", finished))
        assert cost is not None
        assert cost.usd == expected


@pytest.mark.parametrize(
    "models",
    [
        {"m": []},
        {"m": [{"effective_from": "2026-01-01", "tiers": [{"input": 1}]}]},
        {"m": [{"effective_from": "soon", "tiers": [{"input": 1, "output": 1}]}]},
        {"m": [{"effective_from": "2026-01-01",
                "tiers": [{"up_to": 9, "input": 1, "output": 1}]}]},
        {"m": [{"effective_from": "2026-01-01", "batch": -1,
                "tiers": [{"input": 1, "output": 1}]}]},
    ],
)  # fmt: skip
def test_a_broken_table_is_refused(models: dict[str, Json]) -> None:
    with pytest.raises(ValueError, match=r"price|tier|isoformat"):
        PriceTable.from_json({"format": 1, "checked": "2026-11-01", "models": models})


COUNTS = st.integers(0, 300_000)


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 64_000), st.sampled_from(["opus-5", "haiku-5-5"]))
def test_no_reply_costs_more_than_the_most(
    plain: int, written: int, read: int, output: int, name: str
) -> None:
    price = TABLE.price(f"claude-{name}", DAY)
    assert price is not None
    for batch in (False, True):
        tokens = Tokens(plain, 0 if batch else written, written if batch else 0, read, output)
        cost = price.cost(tokens, batch=batch)
        most = price.most(tokens.prompt, output, batch=batch)
        assert cost is not None
        assert most is not None
        assert cost.usd <= most * (1 + 1e-9)


def test_the_most_that_a_request_can_cost_is_known_where_its_price_is() -> None:
    request = Request("claude-sonnet-5-5", "x" * 1000, "é" * 500, 64_000)
    most = TABLE.most(request, DAY)
    assert most == pytest.approx(2200 * 1.25 * 2e-6 + 64_000 * 10e-6)
    assert TABLE.most(Request("claude-of-tomorrow", "", "", 9), DAY) is None


def test_an_estimate_is_a_range_that_says_what_it_rests_on() -> None:
    requests = [Request("claude-sonnet-5-5", "s" * 30_000, f"task {n}", 64_000) for n in range(10)]
    guessed = TABLE.estimate(requests, DAY)
    assert guessed is not None
    assert guessed.requests == 10
    low, high = (count * 10 * 10e-6 for count in ASSUMED_OUTPUT_TOKENS)
    assert low < guessed.low_usd < low + 0.1
    assert high < guessed.high_usd < high + 0.3
    assert "assumed" in show_estimate(guessed)
    observed = {"claude-sonnet-5-5": [1000] * 8}
    informed = TABLE.estimate(requests, DAY, observed=observed)
    assert informed is not None
    assert informed.basis == "output as in 8 stored generations"
    assert 0.1 < informed.low_usd < informed.high_usd < 0.4
    batched = TABLE.estimate(requests, DAY, observed=observed, batch=True)
    assert batched is not None
    assert batched.low_usd == pytest.approx(informed.low_usd / 2)


def test_there_is_no_estimate_where_a_price_is_unknown() -> None:
    known = Request("claude-sonnet-5-5", "", "task", 10)
    assert TABLE.estimate([known, Request("claude-of-tomorrow", "", "", 9)], DAY) is None
    assert TABLE.estimate([], DAY) is None
    assert show_estimate(None) == "unknown cost"


def test_few_observations_widen_the_range() -> None:
    assert output_range([100]) == (50, 200)
    assert output_range([10, 20, 30, 40, 50]) == (20, 40)


def test_usd_for_people() -> None:
    assert [show_usd(usd) for usd in (None, 0.0, 0.0042, 1.384, 1234.5)] == [
        "unknown", "$0.00", "$0.0042", "$1.38", "$1,234.50",
    ]  # fmt: skip
