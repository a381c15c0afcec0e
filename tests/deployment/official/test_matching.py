"""When what came is what a row expects."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from tests.deployment.official.matching import filled, matches, told_error


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, 1.0),
        (None, None),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}),
        ("…", {"a": 1}),
        ("a … c", "a b\nb c"),
        ({"id": "…"}, {"id": "j57"}),
    ],
)
def test_equal_values_match(expected: JsonValue, found: JsonValue) -> None:
    assert matches(expected, found)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, True),
        (True, 1),
        (0, None),
        (None, False),
        ("1", 1),
        (1, 2),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ([1], [1, 1]),
        ([1, 2], [2, 1]),
        ("a…", "ba"),
        ("a.c", "abc"),
        ("", "x"),
    ],
)
def test_other_values_do_not(expected: JsonValue, found: JsonValue) -> None:
    assert not matches(expected, found)


def test_an_error_is_read_without_its_request_and_its_stack() -> None:
    told = "Uncaught Error: no\nnever\n    at f (../convex/a.ts:1:2)\n"
    told = f"[Request ID: 0123] Server Error\n{told}"
    assert told_error(told) == "Uncaught Error: no\nnever"


def test_what_was_saved_takes_its_place() -> None:
    saved: dict[str, JsonValue] = {"doc": {"_id": "x1", "n": 2}, "ids": ["a", "b"]}
    value: JsonValue = {"whole": "${doc.n}", "in text": "/f/${doc._id}", "${ids.1}": ["${ids}"]}
    assert filled(value, saved) == {"whole": 2, "in text": "/f/x1", "b": [["a", "b"]]}
