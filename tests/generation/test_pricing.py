"""What generations cost by the dated table, and what a run will cost."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.generation.anthropic.words import usage_of
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.pricing import (
    ASSUMED_OUTPUT_TOKENS,
    Price,
    PriceTable,
    Tier,
    output_range,
    show_estimate,
    show_usd,
)
from pytest_convex_eval.generation.provider import Generation, Request, Turn
from pytest_convex_eval.generation.usage import Stop, Tokens, Usage

TABLE = PriceTable.of_package("pytest_convex_eval.generation.anthropic")
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
        stop=Stop("stop"),
        started=finished,
        finished=finished,
        seconds=1.0,
        usage=usage_of(usage),
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


def price(**changes: Any) -> Price:
    """Two tiers, every factor another one."""
    tiers = (Tier(1000, 1.0, 3.0), Tier(float("inf"), 2.0, 7.0))
    return replace(Price(datetime.date(2026, 1, 1), tiers, 1.5, 2.5, 0.2, 0.5), **changes)


COUNTED = Tokens(input=100, cache_write=200, cache_write_long=300, cache_read=400, output=500)


@pytest.mark.parametrize(
    ("batch", "more", "expected"),
    [
        (False, 0, (100, 200 * 1.5 + 300 * 2.5, 400 * 0.2, 500 * 3)),
        (True, 0, (50, (200 * 1.5 + 300 * 2.5) / 2, 400 * 0.1, 500 * 1.5)),
        # One token more, and all of them cost what they do in a long prompt.
        (False, 1, (101 * 2, 2 * (200 * 1.5 + 300 * 2.5), 400 * 0.4, 500 * 7)),
    ],
)
def test_each_kind_of_token_has_its_price(
    batch: bool, more: int, expected: tuple[float, float, float, float]
) -> None:
    cost = price().cost(replace(COUNTED, input=100 + more), batch=batch)
    assert cost is not None
    assert astuple(cost)[:4] == pytest.approx(tuple(usd / MILLION for usd in expected))
    assert cost.usd == pytest.approx(sum(expected) / MILLION)


@pytest.mark.parametrize("name", ["cache_write", "cache_write_long", "cache_read"])
def test_a_price_that_is_unknown_matters_to_those_alone_whom_it_concerns(name: str) -> None:
    unknown = price(**{name: None})
    assert unknown.cost(COUNTED) is None
    without = unknown.cost(replace(COUNTED, **{name: 0}))
    assert without == price().cost(replace(COUNTED, **{name: 0}))
    assert without is not None


def test_without_a_price_for_batches_batches_alone_are_of_unknown_cost() -> None:
    unknown = price(batch=None)
    assert unknown.cost(COUNTED, batch=True) is None
    assert unknown.cost(COUNTED) == price().cost(COUNTED)
    assert unknown.most(10, 10, batch=True) is None
    assert unknown.most(10, 10) == price().most(10, 10)


@pytest.mark.parametrize(
    ("prompt", "batch", "expected"),
    [
        (1000, False, 1000 * 1 * 1.5 + 10 * 3),
        (1001, False, 1001 * 2 * 1.5 + 10 * 7),
        (1000, True, (1000 * 1 * 2.5 + 10 * 3) / 2),
        (1001, True, (1001 * 2 * 2.5 + 10 * 7) / 2),
    ],
)
def test_the_most_is_a_prompt_that_is_written_to_the_cache(
    prompt: int, batch: bool, expected: float
) -> None:
    assert price().most(prompt, 10, batch=batch) == pytest.approx(expected / MILLION)


def test_the_most_takes_the_dearest_tier_that_a_prompt_can_be_in() -> None:
    falling = price(tiers=(Tier(1000, 9.0, 9.0), Tier(float("inf"), 1.0, 1.0)))
    assert falling.most(1001, 10) == pytest.approx((1001 * 9 * 1.5 + 10 * 9) / MILLION)


def test_a_write_to_the_cache_that_costs_less_than_nothing_new_is_no_bound() -> None:
    assert price(cache_write=0.5).most(1000, 0) == pytest.approx(1000 / MILLION)
    assert price(cache_write=None).most(1000, 0) is None
    assert price(cache_write=None).most(1000, 0, batch=True) is not None


@pytest.mark.parametrize(
    ("counted", "tokens"),
    [
        (usage(input_tokens=3, output_tokens=4), Tokens(3, 0, 0, 0, 4)),
        (usage(input_tokens=3, cache_read_input_tokens=5), Tokens(3, 0, 0, 5, 0)),
        (usage(cache_read_input_tokens=None, cache_creation_input_tokens=None),
         Tokens(0, 0, 0, 0, 0)),
        (usage(cache_creation_input_tokens=7, cache_creation={
            "ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 5}),
         Tokens(0, 2, 5, 0, 0)),
        (usage(cache_creation_input_tokens=7, cache_creation={"ephemeral_1h_input_tokens": 7}),
         Tokens(0, 0, 7, 0, 0)),
        (usage(cache_creation_input_tokens=7, cache_creation={"ephemeral_1h_input_tokens": 6}),
         None),
        (usage(cache_creation_input_tokens=7, cache_creation={"ephemeral_5m_input_tokens": True,
                                                              "ephemeral_1h_input_tokens": 7}),
         None),
        (usage(cache_creation_input_tokens="7"), None),
        (usage(cache_read_input_tokens=-1), None),
        (usage(input_tokens=True), None),
        (usage(output_tokens=1.5), None),
        ({"input_tokens": 1}, None),
        ({"output_tokens": 1}, None),
    ],
)  # fmt: skip
def test_tokens_are_counted_by_kind_or_not_at_all(
    counted: dict[str, Json], tokens: Tokens | None
) -> None:
    assert usage_of(counted).tokens == tokens


def test_the_prompt_is_all_but_the_output() -> None:
    assert COUNTED.prompt == 1000


@pytest.mark.parametrize(
    ("field", "ordinary"),
    [
        ({}, True), ({"service_tier": None}, True), ({"service_tier": "standard"}, True),
        ({"speed": "standard"}, True), ({"inference_geo": "global"}, True),
        ({"inference_geo": "not_available"}, True), ({"service_tier": "flex"}, False),
        ({"speed": "fast"}, False), ({"inference_geo": "eu"}, False),
    ],
)  # fmt: skip
def test_what_has_prices_of_its_own_is_of_unknown_cost(
    field: dict[str, str], ordinary: bool
) -> None:
    assert usd(usage(output_tokens=MILLION, **field)) == (10.0 if ordinary else None)


def test_the_model_that_answered_is_billed() -> None:
    counted = usage(output_tokens=MILLION)
    assert usd(counted, model="claude-of-tomorrow", answered_by="claude-sonnet-5-5") == 10.0
    assert TABLE.cost_of("claude-sonnet-5-5", usage_of(counted), DAY) is not None


def test_what_the_vendor_says_that_it_charged_is_the_cost() -> None:
    told = Usage(Tokens(1, 0, 0, 0, MILLION), "other", usd=0.25)
    cost = TABLE.cost_of("a-model-of-nobody", told, DAY)
    assert cost is not None
    assert cost.usd == 0.25


def test_a_person_can_tell_prices() -> None:
    table = PriceTable.of_lines(
        ["openai/m input=2 output=8 cache_read=0.5", "free input=0 output=0"]
    )
    used = Usage(Tokens(MILLION, MILLION, 0, MILLION, MILLION))
    cost = table.cost_of("openai/m", used, datetime.date(2020, 1, 1))
    assert cost is not None
    assert astuple(cost)[:4] == pytest.approx((2.0, 2.0, 0.5, 8.0))
    free = table.cost_of("free", replace(used, tokens=replace(COUNTED, cache_write_long=0)), DAY)
    assert free is None, "what reading a cache costs was not told"
    assert table.most(Request("openai/m", "", "", 1000), DAY) is not None
    assert table.most(Request("other", "", "", 1000), DAY) is None
    dear = PriceTable.of_lines(["m input=2 output=8 cache_write=3"]).price("m", DAY)
    assert dear is not None
    assert dear.cache_write == 1.5


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("m", "tells not both"),
        ("", "tells not both"),
        ("m input=1", "tells not both"),
        ("m input=1 output=x", "'output=x' in .* is no price"),
        ("m input=1 output=-1", "is no price"),
        ("m input=inf output=1", "is no price"),
        ("m input=1 output=1 batch=1", "'batch=1' in .* is no price"),
    ],
)
def test_what_is_no_price_is_refused(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PriceTable.of_lines([line])


def test_of_two_tables_that_know_a_model_the_later_counts() -> None:
    mine = PriceTable({"claude-sonnet-5-5": [price()], "m": [price()]}, checked="2026-12-01")
    both = PriceTable.merged([TABLE, mine])
    assert both.price("claude-sonnet-5-5", DAY) == both.price("m", DAY) == price()
    assert both.price("claude-opus-5", DAY) == TABLE.price("claude-opus-5", DAY)
    assert both.checked == "2026-12-01"
    assert both.price("m-2026-11-02", DAY) == both.price("m-20261102", DAY) == price()


def table(*entries: dict[str, Json]) -> PriceTable:
    return PriceTable.from_json(
        {"format": 1, "checked": "2026-11-01", "models": {"m": list(entries)}}
    )


def test_a_table_is_read_with_all_that_it_says() -> None:
    tiers: Json = [
        {"up_to": 1000, "input": 1, "output": 3}, {"input": 2.0, "output": 7},
    ]  # fmt: skip
    entry: dict[str, Json] = {
        "effective_from": "2026-01-01", "tiers": tiers, "cache_write": 1.5,
        "cache_write_long": 2.5, "cache_read": 0.2, "batch": 0.5,
    }  # fmt: skip
    read = table(entry)
    assert read.price("m", datetime.date(2026, 1, 1)) == price()
    assert read.price("m", datetime.date(2025, 12, 31)) is None
    assert read.checked == "2026-11-01"
    bare = table({"effective_from": "2026-01-01", "tiers": tiers}).price("m", DAY)
    assert bare == price(cache_write=None, cache_write_long=None, cache_read=None, batch=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tiers": []}, "^a model without prices$"),
        ({"tiers": [1]}, "^a tier is no object$"),
        ({"tiers": [{"input": 1}]}, "^a tier without its price$"),
        ({"tiers": [{"output": 1}]}, "^a tier without its price$"),
        ({"tiers": [{"input": True, "output": 1}]}, "^input is no price$"),
        ({"tiers": [{"input": 1, "output": "1"}]}, "^output is no price$"),
        ({"tiers": [{"up_to": 5, "input": 1, "output": 1}]}, "^tiers go from short prompts to "),
        ({"tiers": [{"input": 1, "output": 1}, {"up_to": 5, "input": 1, "output": 1}]},
         "^tiers go from short prompts to those of any length$"),
        ({"tiers": [{"up_to": 9, "input": 1, "output": 1}, {"up_to": 5, "input": 1, "output": 1},
                    {"input": 1, "output": 1}]}, "^tiers go from short prompts to "),
        ({"cache_read": -0.1}, "^cache_read is no price$"),
        ({"cache_write": "x"}, "^cache_write is no price$"),
        ({"effective_from": None}, "isoformat"),
    ],
)  # fmt: skip
def test_what_is_broken_in_a_table_is_said(changes: dict[str, Json], words: str) -> None:
    tiers: Json = [{"input": 1, "output": 1}]
    with pytest.raises(ValueError, match=words):
        table({"effective_from": "2026-01-01", "tiers": tiers, **changes})


@pytest.mark.parametrize(
    "data",
    [[], {}, {"format": 2, "checked": "x", "models": {}}, {"format": 1, "models": {}},
     {"format": 1, "checked": "x"}],
)  # fmt: skip
def test_what_is_no_table_is_refused(data: Json) -> None:
    with pytest.raises(ValueError, match=r"^no price table of format 1$"):
        PriceTable.from_json(data)


def test_an_entry_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a price is no object$"):
        PriceTable.from_json({"format": 1, "checked": "x", "models": {"m": [1]}})


def test_an_estimate_lies_between_a_cached_short_and_a_written_long_reply() -> None:
    prices = PriceTable({"m": [price()]}, checked="x")
    turns = (Turn("user", "h" * 30), Turn("assistant", "i" * 60))
    requests = [Request("m", "s" * 300, "u" * 60, 90, turns) for _ in range(3)]
    estimate = prices.estimate(requests, DAY, observed={"m": [10, 20, 30, 40, 50], "n": [1]})
    assert estimate is not None
    # 100 tokens of the system text and 50 of the rest: the first of them pays for both.
    low = 3 * (50 * 1 + 20 * 3) + 100 * (1 + 0.2 + 0.2)
    high = 3 * (150 * 1.5 + 40 * 3)
    assert (estimate.low_usd, estimate.high_usd) == pytest.approx((low / MILLION, high / MILLION))
    assert (estimate.requests, estimate.basis) == (3, "output as in 5 stored generations")
    halved = prices.estimate(requests, DAY, observed={"m": [10, 20, 30, 40, 50]}, batch=True)
    assert halved is not None
    assert halved.low_usd == pytest.approx(low / 2 / MILLION)
    assert halved.high_usd == pytest.approx(3 * (150 * 2.5 + 40 * 3) / 2 / MILLION)


def test_an_estimate_without_observations_says_what_it_assumes() -> None:
    prices = PriceTable({"m": [price(cache_read=None)]}, checked="x")
    requests = [Request("m", "s" * 300, "", 4000) for _ in range(2)]
    estimate = prices.estimate(requests, DAY)
    assert estimate is not None
    # Nothing is known of reads from the cache, and no reply is longer than it may be.
    assert estimate.low_usd == pytest.approx(2 * (100 + 3000 * 3) / MILLION)
    assert estimate.high_usd == pytest.approx(2 * (100 * 1.5 + 4000 * 3) / MILLION)
    assert estimate.basis == "output assumed as 3,000 to 15,000 tokens a reply"
    assert show_estimate(estimate) == f"$0.0182 to $0.0243 ({estimate.basis})"


def test_few_and_many_observations_give_the_middle_half() -> None:
    assert output_range([]) == ASSUMED_OUTPUT_TOKENS
    assert output_range([10, 20, 40]) == (10, 40)
    assert output_range([10, 20, 30, 40]) == (18, 32)


def test_usd_of_a_tenth_and_more_have_two_digits() -> None:
    assert [show_usd(usd) for usd in (0.0999, 0.1, 0.5)] == ["$0.0999", "$0.10", "$0.50"]


def test_the_bytes_of_a_prompt_bound_its_tokens() -> None:
    prices = PriceTable({"m": [price()]}, checked="x")
    request = Request("m", "s" * 10, "é\ud800", 5, (Turn("user", "h" * 20),))
    expected = (10 + 2 + 3 + 20 + 200) * 1.5 + 5 * 3
    assert prices.most(request, DAY) == pytest.approx(expected / MILLION)
    assert prices.most(request, DAY, batch=True) == pytest.approx(
        ((10 + 2 + 3 + 20 + 200) * 2.5 + 5 * 3) / 2 / MILLION
    )
