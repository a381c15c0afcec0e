"""Probabilities and quantiles, held against SciPy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betainc

from pytest_convex_eval.statistics.distributions import (
    fisher_less,
    fisher_two_sided,
    incomplete_beta,
    normal_quantile,
    sign_test,
    student_cdf,
    student_quantile,
)


@pytest.mark.parametrize(("degrees", "value"), [(9, 2.262), (29, 2.045), (109, 1.982)])
def test_quantiles_of_t_are_those_of_printed_tables(degrees: int, value: float) -> None:
    assert student_quantile(0.975, degrees) == pytest.approx(value, abs=5e-4)


@given(st.floats(0.001, 0.999), st.floats(0.5, 1e5))
def test_t_is_that_of_scipy(probability: float, degrees: float) -> None:
    value = student_quantile(probability, degrees)
    assert value == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-6, abs=1e-7)
    assert student_cdf(value, degrees) == pytest.approx(probability, abs=1e-9)


@given(st.floats(0.1, 200), st.floats(0.1, 200), st.floats(0, 1))
def test_the_incomplete_beta_function_is_that_of_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(betainc(a, b, x), rel=1e-7, abs=1e-12)


def test_with_endless_degrees_t_is_normal() -> None:
    assert student_quantile(0.9, float("inf")) == normal_quantile(0.9)
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.5, 0), (0.5, -1)])
def test_what_has_no_quantile_is_refused(probability: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        student_quantile(probability, degrees)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_the_exact_binomial_one(one: int, other: int) -> None:
    right = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert sign_test(one, other) == pytest.approx(right)


@pytest.mark.parametrize(("one", "other"), [(999, 1001), (1000, 1001), (1200, 1300), (0, 5000)])
def test_the_sign_test_of_many_is_that_of_few(one: int, other: int) -> None:
    right = stats.binomtest(one, one + other).pvalue
    assert sign_test(one, other) == pytest.approx(right, rel=1e-6, abs=1e-300)


@st.composite
def tables(draw: st.DrawFn, most: int = 40) -> tuple[int, int, int, int]:
    """Passed and valid trials of two sides."""
    trials_a, trials_b = draw(st.integers(1, most)), draw(st.integers(1, most))
    return (
        draw(st.integers(0, trials_a)),
        trials_a,
        draw(st.integers(0, trials_b)),
        trials_b,
    )


def scipy_fisher(table: tuple[int, int, int, int], alternative: str) -> float:
    passed_a, trials_a, passed_b, trials_b = table
    rows = [[passed_a, trials_a - passed_a], [passed_b, trials_b - passed_b]]
    return float(stats.fisher_exact(rows, alternative=alternative).pvalue)


@given(tables())
def test_fisher_s_tests_are_those_of_scipy(table: tuple[int, int, int, int]) -> None:
    assert fisher_less(*table) == pytest.approx(scipy_fisher(table, "greater"), abs=1e-12)
    assert fisher_two_sided(*table) == pytest.approx(scipy_fisher(table, "two-sided"), abs=1e-12)


@pytest.mark.parametrize(
    "table",
    [
        (900, 1000, 880, 1000),
        (900, 1001, 880, 1000),
        (5, 3000, 30, 4000),
        (50_000, 60_000, 49_000, 60_000),
    ],
)
def test_fisher_s_tests_of_many_are_those_of_few(table: tuple[int, int, int, int]) -> None:
    assert fisher_less(*table) == pytest.approx(scipy_fisher(table, "greater"), rel=1e-5)
    assert fisher_two_sided(*table) == pytest.approx(scipy_fisher(table, "two-sided"), rel=1e-5)


def test_three_trials_prove_nothing_and_five_do() -> None:
    assert fisher_two_sided(3, 3, 0, 3) == pytest.approx(0.10)
    assert fisher_two_sided(5, 5, 0, 5) == pytest.approx(0.0079, abs=1e-4)
