"""Two sides on the same cases: errors of both kinds as promised, and answers that follow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_convex_eval.statistics.paired import (
    Paired,
    adjust,
    compare_pairs,
    detectable_difference,
    suite_difference_error,
)
from pytest_convex_eval.statistics.samples import Counts, Pair, pairs_of
from tests.statistics.drawn import MEAN_RATE, pairs, suite


def compared(given: list[Pair], margin: float = 0.05) -> Paired:
    made = compare_pairs(given, margin=margin, seed=1)
    assert made is not None
    return made


def single(*marks: str) -> list[Pair]:
    """One case for each mark: `+-` is passed by a and failed by b."""
    return [
        Pair(f"c{i}", Counts(mark[0] == "+", 1), Counts(mark[1] == "+", 1), f"c{i}")
        for i, mark in enumerate(marks)
    ]


counts = st.integers(2, 6).flatmap(lambda n: st.builds(Counts, st.integers(0, n), st.just(n)))
pair_lists = st.lists(st.tuples(counts, counts), min_size=2, max_size=40).map(
    lambda rows: [Pair(f"c{i}", a, b, f"c{i}") for i, (a, b) in enumerate(rows)]
)


@given(pair_lists)
def test_the_interval_is_that_of_the_paired_t_test(given: list[Pair]) -> None:
    made = compared(given)
    values = [pair.difference for pair in given]
    assert made.difference == pytest.approx(np.mean(values), abs=1e-9)
    assert made.error is not None
    assert made.interval is not None
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    trials = float(np.mean([min(pair.a.valid, pair.b.valid) for pair in given]))
    # Two cases more: +1 and -1, each with a weight of a half, of a whole where trials are single.
    weights = [1.0] * len(values) + [0.5 / trials**0.5] * 2
    rest = 2 - sum(weights[-2:])
    added = np.cov([*values, 1, -1, 0], aweights=[*weights, rest], bias=True)
    assert made.error == pytest.approx(max(error, (float(added) / (len(values) + 2)) ** 0.5))
    low, high = stats.t.interval(0.95, len(values) - 1, made.difference, made.error)
    assert made.interval == pytest.approx((max(low, -1), min(high, 1)), abs=1e-8)


@given(pair_lists)
def test_turned_round_it_says_the_opposite(given: list[Pair]) -> None:
    one = compared(given)
    other = compared([Pair(pair.case, pair.b, pair.a, pair.cluster) for pair in given])
    opposite = {"better": "worse", "worse": "better"}
    assert other.answer == opposite.get(one.answer, one.answer)
    assert other.difference == pytest.approx(-one.difference)
    assert other.p_value == pytest.approx(one.p_value, abs=0.03)


@given(pair_lists, st.floats(0.01, 0.5))
def test_equivalent_is_what_both_one_sided_tests_say(given: list[Pair], margin: float) -> None:
    made = compared(given, margin)
    assert made.error is not None
    degrees = len(given) - 1
    above = stats.t.sf((made.difference + margin) / made.error, degrees)
    below = stats.t.cdf((made.difference - margin) / made.error, degrees)
    # The interval ends at 1, so that a margin beyond can't be passed by cutting it off.
    assert made.equivalent == (max(above, below) < 0.05)


def test_single_trials_are_mcnemar_s_table() -> None:
    made = compared(single("++", "+-", "-+", "-+", "--", "-+"))
    assert made.discordant == (3, 1)
    assert made.mcnemar == pytest.approx(made.p_value)
    assert compared(pairs(np.random.default_rng(1), [0.5] * 5, [0.5] * 5, 2)).mcnemar is None


def test_one_case_has_no_interval_and_no_pair_no_answer() -> None:
    made = compared(single("-+"))
    assert (made.interval, made.error, made.detectable, made.answer) == (
        None,
        None,
        None,
        "undecided",
    )
    assert compare_pairs([], margin=0.05, seed=1) is None


def test_no_difference_among_few_is_no_equivalence() -> None:
    """Ten cases that ended alike once each leave room for more than 5 points."""
    few, many = compared(single(*["++"] * 10)), compared(single(*["++"] * 110))
    assert (few.answer, few.p_value) == ("undecided", 1.0)
    assert many.answer == "equivalent"


def test_a_clear_difference_is_seen_and_a_family_is_asked_more_of() -> None:
    better = compared(single(*["++"] * 4, *["-+"] * 6))
    assert better.answer == "better"
    assert compared(single(*["++"] * 4, *["+-"] * 6)).answer == "worse"
    family = adjust([better, compared(single(*["++"] * 10)), compared(single(*["+-", "-+"] * 5))])
    assert family[0].adjusted == pytest.approx(3 * better.p_value)
    assert [one.answer for one in family] == ["undecided"] * 3


def test_cases_of_one_scenario_count_as_one() -> None:
    given = [
        Pair(f"c{i}", Counts(0, 1), Counts(1, 1), "one app" if i < 6 else f"c{i}") for i in range(7)
    ]
    made = compared(given)
    assert (made.clusters, made.p_value) == (2, 0.5)
    assert made.answer == "undecided"


def test_pairs_are_the_cases_that_both_have_a_verdict_of() -> None:
    a = {"x": Counts(1, 1), "y": Counts(0, 0), "z": Counts(1, 2)}
    b = {"z": Counts(2, 2), "y": Counts(1, 1), "x": Counts(0, 1), "w": Counts(1, 1)}
    made = pairs_of(a, b, {"z": "app"})
    assert [(pair.case, pair.cluster, pair.difference) for pair in made] == [
        ("x", "x", -1.0),
        ("z", "app", 0.5),
    ]


SIZES = [
    # A plain run takes a sample.
    *((cases, count) for cases, count in product([10, 30], [1, 3])),
    *(
        pytest.param(cases, count, marks=pytest.mark.sweep)
        for cases, count in [(10, 5), (30, 5), *product([60, 110], [1, 2, 3, 5])]
    ),
]


@pytest.mark.parametrize(("cases", "count"), SIZES)
def test_the_interval_of_the_difference_is_right_as_often_as_it_says(
    cases: int, count: int
) -> None:
    """Cases like these, whose true rates differ from side to side; and it is called worse, where
    both sides are the same, at most as often as is promised."""
    random = np.random.default_rng(cases * 10 + count)
    held = worse = 0
    for _ in range(1500):
        rates = suite(random, cases)
        turned = random.random(cases) < 0.2
        others = [1 - rate if turn else rate for rate, turn in zip(rates, turned, strict=True)]
        truth = 0.2 * (1 - 2 * MEAN_RATE)
        made = compared(pairs(random, rates, others, count))
        assert made.interval is not None
        held += made.interval.low <= truth <= made.interval.high
        worse += compared(pairs(random, rates, rates, count)).answer == "worse"
    assert 0.93 <= held / 1500 <= 0.97
    assert worse / 1500 <= 0.05


@pytest.mark.parametrize(
    ("cases", "count"),
    [
        (30, 3),
        *(pytest.param(*one, marks=pytest.mark.sweep) for one in [(30, 5), (110, 3), (110, 5)]),
    ],
)
def test_the_interval_on_this_suite_is_right_as_often_as_it_says(cases: int, count: int) -> None:
    random = np.random.default_rng(cases + count)
    held = 0
    for _ in range(1500):
        rates = [min(max(rate, 0.05), 0.95) for rate in suite(random, cases)]
        others = [rate * 0.9 for rate in rates]
        made = compared(pairs(random, rates, others, count))
        truth = float(np.mean(others) - np.mean(rates))
        assert made.suite_interval is not None
        held += made.suite_interval.low <= truth <= made.suite_interval.high
    assert held / 1500 == pytest.approx(0.95, abs=0.02)


def test_trials_alone_say_more_of_this_suite_than_of_others() -> None:
    given = pairs(np.random.default_rng(5), [0.9, 0.1] * 20, [0.1, 0.9] * 20, 5)
    made = compared(given)
    assert made.error is not None
    assert made.suite_error is not None
    assert made.suite_error < made.error / 2
    assert suite_difference_error(single("++", "+-")) is None


@pytest.mark.parametrize("cases", [30, 110])
def test_what_is_printed_as_detectable_is_detected_four_times_in_five(cases: int) -> None:
    """Planned from the true variances; the sign-flip test costs a little of the 80 %."""
    random = np.random.default_rng(cases)
    count, rate = 5, 0.5
    planned = detectable_difference(cases=cases, trials=count, variance=2 * rate * (1 - rate))
    found, printed = 0, []
    for _ in range(500):
        given = pairs(random, [rate - planned / 2] * cases, [rate + planned / 2] * cases, count)
        made = compared(given)
        found += made.answer == "better"
        assert made.detectable is not None
        printed.append(made.detectable)
    assert found / 500 == pytest.approx(0.80, abs=0.05)
    assert float(np.mean(printed)) == pytest.approx(planned, rel=0.1)
