"""Adjusted p-values, held against what they are to do."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_convex_eval.statistics.multiplicity import benjamini_hochberg, holm

families = st.lists(st.floats(1e-6, 1), min_size=1, max_size=6)


@given(families)
def test_holm_is_the_closed_test_of_bonferroni_s(p_values: list[float]) -> None:
    """A hypothesis falls when every set of hypotheses that it is in does."""
    every = range(len(p_values))
    sets = [each for size in every for each in combinations(every, size + 1)]
    right = [
        max(min(1.0, len(each) * min(p_values[i] for i in each)) for each in sets if index in each)
        for index in every
    ]
    assert holm(p_values) == pytest.approx(right)


@given(families)
def test_benjamini_and_hochberg_is_that_of_scipy(p_values: list[float]) -> None:
    right = stats.false_discovery_control(p_values, method="bh")
    assert benjamini_hochberg(p_values) == pytest.approx(list(right))


def test_no_p_values_are_none() -> None:
    assert (holm([]), benjamini_hochberg([])) == ([], [])
