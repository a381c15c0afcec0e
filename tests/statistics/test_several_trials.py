"""pass@k and pass^k, by their meaning: over every way to draw k trials."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.statistics.samples import Counts, mean
from pytest_convex_eval.statistics.several_trials import (
    bootstrap,
    bootstrap_draws,
    over_cases,
    pass_at_k,
    pass_hat_k,
    quantile,
)


@given(st.integers(1, 7), st.data())
def test_they_are_the_share_of_all_draws(trials: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, trials)), data.draw(st.integers(1, trials))
    draws = list(combinations([True] * passed + [False] * (trials - passed), k))
    counts = Counts(passed, trials)
    assert pass_at_k(counts, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert pass_hat_k(counts, k) == pytest.approx(sum(map(all, draws)) / len(draws))
    assert pass_at_k(counts, trials + 1) is None
    assert pass_hat_k(counts, trials + 1) is None


def test_known_values() -> None:
    assert pass_at_k(Counts(2, 5), 1) == pytest.approx(0.4)
    assert pass_at_k(Counts(2, 5), 3) == pytest.approx(0.9)
    assert pass_hat_k(Counts(2, 5), 2) == pytest.approx(0.1)


def test_cases_with_too_few_trials_are_left_out_and_counted() -> None:
    counts = {"a": Counts(2, 5), "b": Counts(1, 1), "c": Counts(5, 5)}
    made = over_cases(counts, pass_hat_k, 2, seed=1)
    assert made is not None
    assert made.value == pytest.approx(0.55)
    assert (made.cases, made.left_out) == (2, 1)
    assert over_cases(counts, pass_at_k, 6, seed=1) is None


def test_clusters_are_drawn_whole() -> None:
    counts = {f"c{i}": Counts(i % 2, 1) for i in range(40)}
    halves = {case: str(int(case[1:]) % 2) for case in counts}
    apart = over_cases(counts, pass_at_k, 1, seed=1)
    together = over_cases(counts, pass_at_k, 1, seed=1, clusters=halves)
    assert apart is not None
    assert together is not None
    assert apart.interval is not None
    assert 0 < apart.interval.low < 0.5 < apart.interval.high < 1
    assert together.interval == (0, 1)


def test_the_bootstrap_is_the_same_each_time_and_near_the_known_error() -> None:
    values = [float(value) for value in np.random.default_rng(3).normal(size=200)]
    one = bootstrap([[value] for value in values], seed=5)
    assert one == bootstrap([[value] for value in values], seed=5)
    assert one is not None
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    assert one.low == pytest.approx(mean(values) - 1.96 * error, abs=0.4 * error)
    assert one.high == pytest.approx(mean(values) + 1.96 * error, abs=0.4 * error)
    assert bootstrap([[1.0]], seed=1) is None


def test_many_values_are_drawn_less_often() -> None:
    assert [bootstrap_draws(count) for count in (1, 1000, 10_000, 10**9)] == [2000, 2000, 400, 200]


@given(st.lists(st.floats(-5, 5), min_size=1), st.floats(0, 1))
def test_quantiles_are_numpy_s(values: list[float], share: float) -> None:
    values.sort()
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-9)
