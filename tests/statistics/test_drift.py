"""What changed: cases that got worse, failures that got more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.statistics.drift import case_changes, failure_drift
from pytest_convex_eval.statistics.samples import Counts, Pair


def pair(case: str, a: tuple[int, int], b: tuple[int, int]) -> Pair:
    return Pair(case, Counts(*a), Counts(*b), case)


def test_a_case_is_regressed_only_with_trials_enough() -> None:
    few, many = case_changes([pair("x", (3, 3), (0, 3))]), case_changes([pair("x", (5, 5), (0, 5))])
    assert [one.change for one in few + many] == ["suspect", "regressed"]


def test_many_cases_are_asked_more_of() -> None:
    alone = [pair("x", (5, 5), (1, 5))]
    among = [*alone, *(pair(f"c{i}", (5, 5), (5, 5)) for i in range(20))]
    assert case_changes(alone)[0].change == "regressed"
    assert case_changes(among)[0].change == "suspect"


def test_the_worst_comes_first() -> None:
    changes = case_changes(
        [pair("up", (0, 5), (5, 5)), pair("same", (5, 5), (5, 5)), pair("down", (5, 5), (2, 5))]
    )
    assert [(one.case, one.change) for one in changes] == [
        ("down", "suspect"),
        ("same", "same"),
        ("up", "improved"),
    ]
    assert changes[0].difference == pytest.approx(-0.6)


def test_failures_that_moved_most_come_first() -> None:
    made = failure_drift({"TS1": 10, "lint": 5}, 100, {"TS1": 11, "deploy": 40}, 100)
    assert [one.code for one in made] == ["deploy", "lint", "TS1"]
    assert made[0].adjusted < 0.001
    assert made[2].adjusted > 0.5
    assert (made[1].a, made[1].b) == (Counts(5, 100), Counts(0, 100))
    assert failure_drift({}, 0, {"x": 1}, 1) == []


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 20)))
def test_the_same_failures_have_not_moved(codes: dict[str, int]) -> None:
    total = sum(codes.values()) + 1
    made = failure_drift(codes, total, codes, total)
    assert [one.adjusted for one in made] == pytest.approx([1.0] * len(codes))
