"""A pass rate: its standard errors by their definitions, its interval by how often it is right."""

from __future__ import annotations

import math
import statistics
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_convex_eval.statistics.rates import Rate, missing, pass_rate, wilson
from pytest_convex_eval.statistics.samples import Counts, cluster_error
from tests.statistics.drawn import MEAN_RATE, suite, trials


def rate_of(*counts: tuple[int, int], clusters: dict[str, str] | None = None) -> Rate:
    made = pass_rate({f"c{i}": Counts(*one) for i, one in enumerate(counts)}, clusters)
    assert made is not None
    return made


def test_cases_weigh_the_same_however_many_trials_they_have() -> None:
    made = rate_of((0, 1), (10, 10), (5, 10))
    assert (made.rate, made.cases, made.trials) == (0.5, 3, 21)


counts_lists = st.lists(
    st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2
)


@given(counts_lists)
def test_the_error_for_cases_like_these_is_that_of_their_mean(
    counts: list[tuple[int, int]],
) -> None:
    made = rate_of(*counts)
    rates = [passed / valid for passed, valid in counts]
    assert made.error_cases == pytest.approx(statistics.stdev(rates) / math.sqrt(len(rates)))
    assert made.interval is not None
    assert 0 <= made.interval.low <= made.rate <= made.interval.high <= 1


@given(counts_lists)
def test_the_error_on_this_suite_is_that_of_its_trials(counts: list[tuple[int, int]]) -> None:
    made = rate_of(*counts)
    if any(valid < 2 for _, valid in counts):
        assert (made.error_suite, made.within, made.between) == (None, None, None)
        return
    variances = [
        statistics.variance([1.0] * passed + [0.0] * (valid - passed)) / valid
        for passed, valid in counts
    ]
    assert made.error_suite == pytest.approx(math.sqrt(sum(variances)) / len(counts))
    assert made.within == pytest.approx(sum(variances) / len(counts) ** 2)
    assert made.between is not None
    assert made.between >= 0


def test_the_two_parts_say_what_would_help() -> None:
    """Cases that differ want more cases; cases that flip want more trials."""
    differing = rate_of(*[(5, 5), (0, 5)] * 10)
    flipping = rate_of(*[(3, 5), (2, 5)] * 10)
    assert differing.within == 0
    assert flipping.between == 0
    assert (differing.between or 0) > (flipping.within or 0) > 0


def test_one_case_has_no_interval_and_none_has_no_rate() -> None:
    assert (rate_of((1, 2)).interval, rate_of((1, 2)).error_cases) == (None, None)
    assert pass_rate({}) is None
    assert pass_rate({"a": Counts(0, 0)}) is None


def test_cases_without_a_verdict_are_not_counted() -> None:
    assert rate_of((1, 1), (0, 0), (0, 1)).rate == 0.5


def test_cases_of_one_scenario_are_one_cluster() -> None:
    """The same trials say less when they are of the same app."""
    values = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    apart = cluster_error(values, list("abcdef"))
    together = cluster_error(values, list("aabbcc"))
    assert apart is not None
    assert together is not None
    assert together > apart
    # Clusters whose cases are alike are so many cases.
    assert together == pytest.approx(cluster_error([1.0, 0.0, 1.0], list("abc")))
    assert cluster_error(values, ["a"] * 6) is None


@given(st.integers(2, 80).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_the_interval_of_simple_trials_is_wilson_s(counts: tuple[int, int]) -> None:
    """With as many clusters as there could be, and the error of a simple sample."""
    passed, valid = counts
    rate = passed / valid
    # So many clusters that the quantile is the normal one's, and the error a simple sample's.
    made = wilson(rate, math.sqrt(rate * (1 - rate) / valid), clusters=10**9, trials=valid)
    right = stats.binomtest(passed, valid).proportion_ci(method="wilson")
    assert made == pytest.approx((right.low, right.high), abs=1e-6)


@pytest.mark.parametrize("passed", [0, 5])
def test_all_passed_and_all_failed_still_have_a_width(passed: int) -> None:
    made = rate_of(*[(passed, 5)] * 10).interval
    assert made is not None
    assert made.high - made.low > 0.2


@pytest.mark.parametrize(("cases", "count"), list(product([10, 30, 110], [1, 2, 3, 5])))
def test_the_interval_holds_the_truth_as_often_as_it_says(cases: int, count: int) -> None:
    random = np.random.default_rng(cases * 10 + count)
    held = 0
    for _ in range(2000):
        made = pass_rate(trials(random, suite(random, cases), count))
        assert made is not None
        assert made.interval is not None
        held += made.interval.low <= MEAN_RATE <= made.interval.high
    # Ten cases with two trials have few possible rates: their intervals are too wide (98 %).
    wider = 0.015 if (cases, count) == (10, 2) else 0.0
    assert 0.93 <= held / 2000 <= 0.97 + wider


def test_single_trials_have_wilson_s_own_size() -> None:
    made = rate_of(*[(1, 1)] * 7, *[(0, 1)] * 3).interval
    error = math.sqrt(0.7 * 0.3 / 10)
    assert made == wilson(0.7, error * math.sqrt(10 / 9), clusters=10, trials=10)
    with pytest.raises(ValueError, match="one cluster"):
        wilson(0.5, 0.1, clusters=1, trials=3)


def test_what_is_missing_is_bounded_on_both_sides() -> None:
    made = missing({"a": Counts(2, 2), "b": Counts(0, 1)}, {"a": 4, "b": 1, "c": 2})
    assert (made.planned, made.valid) == (7, 3)
    assert made.share == pytest.approx(4 / 7)
    assert made.all_failed == pytest.approx((2 / 4 + 0 + 0) / 3)
    assert made.all_passed == pytest.approx((4 / 4 + 0 + 2 / 2) / 3)
    nothing = missing({}, {})
    assert (nothing.share, nothing.all_failed, nothing.all_passed) == (0.0, None, None)
