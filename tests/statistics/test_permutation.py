"""The sign-flip test, held against every flip."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_convex_eval.statistics.distributions import sign_test
from pytest_convex_eval.statistics.permutation import DRAWS, sign_flip

rates = st.integers(1, 7).flatmap(lambda n: st.builds(Fraction, st.integers(0, n), st.just(n)))
differences = st.lists(st.builds(lambda a, b: a - b, rates, rates), max_size=9)


@given(differences)
def test_it_counts_every_flip(values: list[Fraction]) -> None:
    sums = [
        abs(sum((sign * value for sign, value in zip(signs, values, strict=True)), Fraction()))
        for signs in product([1, -1], repeat=len(values))
    ]
    right = sum(one >= abs(sum(values, Fraction())) for one in sums) / len(sums)
    made = sign_flip([float(value) for value in values], seed=1)
    assert made.p_value == pytest.approx(right)
    assert made.draws is None


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_of_single_trials_it_is_mcnemar_s(gained: int, lost: int, same: int) -> None:
    values = [1.0] * gained + [-1.0] * lost + [0.0] * same
    assert sign_flip(values, seed=1).p_value == pytest.approx(sign_test(gained, lost))


def test_nothing_differs_is_p_1() -> None:
    assert sign_flip([0.0] * 5, seed=1).p_value == 1
    assert sign_flip([], seed=1).p_value == 1


def test_many_different_sizes_are_drawn_and_repeatable() -> None:
    values = [0.1 + index / 97 * (-1) ** index for index in range(60)]
    made = sign_flip(values, seed=7)
    assert made.draws == DRAWS
    assert made == sign_flip(values, seed=7)
    assert made != sign_flip(values, seed=8)
    right = stats.permutation_test(
        (values,),
        lambda one, axis: one.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=1,
    ).pvalue
    assert made.p_value == pytest.approx(float(right), abs=0.03)
    assert sign_flip([1.0 + index / 89 for index in range(60)], seed=1).p_value == pytest.approx(
        1 / (1 + DRAWS)
    )
