"""The difference between what was expected and what came, line by line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from pytest_convex_eval.behaviour.matching import IdsOf, assign, differs, operators_in
from pytest_convex_eval.behaviour.values import ABSENT, Absent, Expected, Verbatim, plain

_MOST_LINES = 40


def difference(expected: Expected, actual: JsonValue, ids_of: IdsOf) -> str:
    """A line diff of the two, the lines that differ marked with `-` (expected) and `+` (got)."""
    wanted = _lines(_view(expected, actual, ids_of))
    got = _lines(actual)
    lines = difflib.unified_diff(wanted, got, lineterm="", n=3)
    shown = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(_few(shown))


def _few(lines: list[str]) -> list[str]:
    left = len(lines) - _MOST_LINES
    return lines if left <= 0 else [*lines[:_MOST_LINES], f"... and {left} more lines"]


def _lines(value: Expected | Absent) -> list[str]:
    return json.dumps(plain(value), indent=2, ensure_ascii=False, default=str).splitlines()


def _view(expected: Expected, actual: JsonValue | Absent, ids_of: IdsOf) -> Expected | Absent:
    """`expected` with what matches replaced by what came, so that a diff shows the rest."""
    if not differs(expected, actual, ids_of):
        return actual
    if isinstance(expected, Verbatim):
        return expected.value
    operators = operators_in(expected)
    if operators is not None:
        unordered = operators.get("$unordered")
        if isinstance(unordered, Sequence) and isinstance(actual, list):
            return _unordered_view(unordered, actual, ids_of)
        return expected
    if isinstance(expected, Mapping) and isinstance(actual, dict):
        view: dict[str, Expected] = {}
        for key in dict.fromkeys([*actual, *expected]):
            if key not in expected:
                view[key] = actual[key]
                continue
            inner = _view(expected[key], actual.get(key, ABSENT), ids_of)
            if not isinstance(inner, Absent):
                view[key] = inner
        return view
    if (
        isinstance(expected, Sequence)
        and not isinstance(expected, str)
        and isinstance(actual, list)
    ):
        views: list[Expected] = []
        for index, item in enumerate(expected):
            if index >= len(actual):
                views.append(item)
                continue
            inner = _view(item, actual[index], ids_of)
            views.append(item if isinstance(inner, Absent) else inner)
        return views
    return expected


def _unordered_view(
    expected: Sequence[Expected], actual: list[JsonValue], ids_of: IdsOf
) -> list[Expected]:
    """The items that came and were expected, in the order in which they came, then the others."""
    taken = assign(expected, actual, ids_of)
    came = sorted(place for place in taken if place is not None)
    missing = [item for item, place in zip(expected, taken, strict=True) if place is None]
    return [*(actual[place] for place in came), *missing]
