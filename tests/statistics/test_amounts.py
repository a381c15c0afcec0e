"""Costs and latencies: what is not known is never nothing."""

from __future__ import annotations

import pytest

from pytest_convex_eval.statistics.amounts import amounts, compare_amounts, per_passed


def test_cases_weigh_the_same_and_the_slowest_tenth_is_told() -> None:
    made = amounts({"a": [1.0, 3.0], "b": [10.0]}, seed=1)
    assert made is not None
    assert (made.mean, made.median, made.total) == (6.0, 3.0, 14.0)
    assert made.p90 == pytest.approx(8.6)
    assert (made.known, made.unknown) == (3, 0)


def test_what_is_not_known_is_counted_and_left_out() -> None:
    made = amounts({"a": [None, 2.0], "b": [None]}, seed=1)
    assert made is not None
    assert (made.mean, made.known, made.unknown, made.interval) == (2.0, 1, 2, None)
    assert amounts({"a": [None]}, seed=1) is None


def test_what_a_passed_item_costs() -> None:
    assert per_passed(6.0, 4) == 1.5
    assert per_passed(6.0, 0) is None
    assert per_passed(None, 4) is None


def test_two_sides_are_compared_where_both_are_known() -> None:
    a: dict[str, list[float | None]] = {"x": [1.0], "y": [2.0], "z": [5.0]}
    b: dict[str, list[float | None]] = {"x": [2.0], "y": [3.0], "z": [None]}
    made = compare_amounts(a, b, seed=1)
    assert made is not None
    assert (made.difference, made.cases, made.interval) == (1.0, 2, (1.0, 1.0))
    assert compare_amounts(a, {"w": [1.0]}, seed=1) is None
