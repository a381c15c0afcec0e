"""Expected values: what matches, and properties that hold for any data."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from pytest_convex_eval.behaviour.differences import difference
from pytest_convex_eval.behaviour.matching import check_matcher, mismatches
from pytest_convex_eval.behaviour.values import Verbatim, show

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc_", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def no_ids(_: str) -> Collection[str]:
    return ()


def matches(expected: Any, actual: JsonValue) -> bool:
    return not mismatches(expected, actual, no_ids)


@given(VALUES)
def test_every_value_matches_itself(value: Any) -> None:
    assert matches(value, value)
    assert matches(Verbatim(value), value)
    assert matches({"$any": True}, value)
    assert not matches({"$not": value}, value)
    assert difference(value, value, no_ids) == ""


@given(VALUES, VALUES)
def test_a_mismatch_always_has_words_and_a_match_has_none(expected: Any, actual: Any) -> None:
    found = mismatches(expected, actual, no_ids)
    assert all(each.message for each in found)
    if not found:
        assert difference(expected, actual, no_ids) == ""
    assert matches({"$one_of": [expected]}, actual) == (not found)


@given(st.lists(VALUES, max_size=6), st.randoms())
def test_order_does_not_matter_where_it_is_said_not_to(
    items: list[Any], chance: random.Random
) -> None:
    shuffled = list(items)
    chance.shuffle(shuffled)
    assert matches({"$unordered": items}, shuffled)
    assert matches({"$contains": items}, shuffled)
    assert not matches({"$unordered": items}, [*shuffled, "more"])


@given(st.dictionaries(st.text("abc", min_size=1), VALUES), st.text("xyz", min_size=1))
def test_more_fields_match_unless_exact(value: dict[str, Any], extra: str) -> None:
    more = {**value, extra: 1}
    assert matches(value, more)
    assert matches({"$exact": value}, value)
    assert not matches({"$exact": value}, more)


def test_an_item_counts_once_for_each_expected_one() -> None:
    # A greedy choice would give the only {"a": 1, "b": 2} to the first, which {"a": 1} suits too.
    assert matches({"$unordered": [{"a": 1}, {"a": 1, "b": 2}]}, [{"a": 1, "b": 2}, {"a": 1}])
    assert not matches({"$contains": [{"a": 1}, {"a": 1}]}, [{"a": 1}, {"b": 1}])


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (1, [1, 1.0], [True, "1", 2, None]),
        (True, [True], [1, "true"]),
        ({"$type": "number"}, [1, 0.5], [True, "1"]),
        ({"$type": "int64"}, [{"$integer": "BQAAAAAAAAA="}], [5]),
        ({"$int64": 5}, [{"$integer": "BQAAAAAAAAA="}], [5, {"$integer": "BgAAAAAAAAA="}]),
        ({"$int64": -1}, [{"$integer": "//////////8="}], [-1]),
        ({"$gte": 1, "$lt": 2}, [1, 1.5], [2, 0, "1", None]),
        ({"$gt": "a"}, ["b"], ["a", 1]),
        ({"$approx": 1, "$within": 0.1}, [0.95, 1.05], [1.2, "1"]),
        ({"$length": 2}, [[1, 2], "ab"], [[1], 2]),
        ({"$length": {"$lte": 2}}, [[]], [[1, 2, 3]]),
        ({"$matches": "^a+$"}, ["aa"], ["ab", 5]),
        ({"$contains": "bc"}, ["abcd", ["bc"]], ["b", ["b"], 5]),
        ({"$each": {"$gt": 0}}, [[], [1, 2]], [[0], 1]),
        ({"a": {"$absent": True}}, [{}, {"b": 1}], [{"a": None}, {"a": 1}]),
        ({"a": None}, [{"a": None}], [{}, {"a": 0}]),
        ({"$type": "null"}, [None], [{}]),
        (Verbatim({"$any": True}), [{"$any": True}], [1, {}]),
    ],
)
def test_operators(expected: Any, good: list[Any], bad: list[Any]) -> None:
    check_matcher(expected)
    assert [value for value in (*good, *bad) if matches(expected, value)] == good


def test_an_id_is_of_a_document_in_the_table() -> None:
    def ids(table: str) -> Collection[str]:
        return {"posts": {"p1"}}.get(table, set())

    assert not mismatches({"$id": "posts"}, "p1", ids)
    assert mismatches({"$id": "users"}, "p1", ids)
    assert mismatches({"$id": "posts"}, None, ids)


@pytest.mark.parametrize(
    ("matcher", "message"),
    [
        ({"$anyy": True}, "unknown operator '$anyy'; did you mean '$any'?"),
        ({"a": [{"$gt": 1, "b": 2}]}, "a[0]: $gt stands among plain fields"),
        ({"$any": 1}, "write $any: true"),
        ({"$type": "int"}, "$type is one of string, number"),
        ({"$unordered": 1}, "$unordered takes a list"),
        ({"$exact": []}, "$exact takes a mapping"),
        ({"$matches": "("}, "$matches: not a pattern"),
        ({"$within": 1}, "$within goes with $approx"),
        ({1: 2}, "the key 1 must be a text"),
    ],
)
def test_what_is_no_matcher_is_told(matcher: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        check_matcher(matcher)
    assert message in str(caught.value)


def test_places_and_long_values_are_readable() -> None:
    (found,) = mismatches({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, no_ids)
    assert (found.path, found.message) == ("a[0].b", "expected 1, got 2")
    assert len(show("x" * 1000)) == 200
