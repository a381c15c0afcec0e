"""Expected values: plain data with operators, compared with what a deployment returned.

A mapping matches an object that has at least its fields; a list matches item by item; anything
else matches itself. `{$operator: ...}` says more:

| operator | matches |
| --- | --- |
| `$any: true` | whatever is there |
| `$absent: true` | a field that is not there |
| `$type: string` | string, number, boolean, null, list, object, int64, bytes |
| `$id: posts` | the id of a document that is in that table |
| `$exact: {...}` | an object with these fields and no others |
| `$unordered: [...]` | a list of these items in any order |
| `$contains: ...` | a list with such an item (a list: with each of them); a text with that text |
| `$each: ...` | a list whose items all match |
| `$length: 3` | a list or text of that length |
| `$matches: pattern` | a text in which Python's `re` finds it |
| `$approx: 1.5`, `$within: 0.1` | a number that near (by default 1e-6) |
| `$gt`, `$gte`, `$lt`, `$lte` | a number or text in that order |
| `$not: ...`, `$one_of: [...]` | what does not match; what matches one of them |
| `$int64: 5` | an int64 |
| `$equal: true` | a list whose items are all the same |
| `$repeat: [x, 1000]` | the text that has `x` so often |

Values are Convex's JSON form, where an int64 is `{"$integer": base64}`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from pytest_convex_eval.behaviour.values import (
    ABSENT,
    Absent,
    Expected,
    Verbatim,
    int64_of,
    same,
    show,
    type_of,
)

OPERATORS = (
    "$any",
    "$absent",
    "$type",
    "$id",
    "$exact",
    "$unordered",
    "$contains",
    "$each",
    "$length",
    "$matches",
    "$approx",
    "$within",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$not",
    "$one_of",
    "$int64",
    "$equal",
    "$repeat",
)
TYPES = ("string", "number", "boolean", "null", "list", "object", "int64", "bytes")

IdsOf: TypeAlias = Callable[[str], Collection[str]]
"""The ids of a table's documents."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A place in a value (`[0].title`, "" for the whole) and what is wrong there."""

    path: str
    message: str


def differs(expected: Expected, actual: JsonValue | Absent, ids_of: IdsOf) -> bool:
    """Whether there is a mismatch at all."""
    return any(True for _ in _mismatches(expected, actual, "", ids_of))


def check_matcher(value: object, path: str = "") -> None:
    """Raises ValueError for operators that do not exist or do not fit together."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            check_matcher(item, f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    operators = [key for key in value if isinstance(key, str) and key.startswith("$")]
    where = f"{path}: " if path else ""
    if operators and len(operators) < len(value):
        raise ValueError(f"{where}{operators[0]} stands among plain fields; use it alone")
    for key, inner in value.items():
        if not isinstance(key, str):
            raise ValueError(f"{where}the key {key!r} must be a text")
        if key in operators:
            _check_operator(key, inner, where)
        check_matcher(inner, f"{path}.{key}" if path else key)
    if "$within" in value and "$approx" not in value:
        raise ValueError(f"{where}$within goes with $approx")


def _check_operator(key: str, inner: object, where: str) -> None:
    if key not in OPERATORS:
        close = difflib.get_close_matches(key, OPERATORS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(OPERATORS)}"
        raise ValueError(f"{where}unknown operator {key!r}{hint}")
    if key in ("$any", "$absent", "$equal") and inner is not True:
        raise ValueError(f"{where}write {key}: true")
    if key == "$type" and inner not in TYPES:
        raise ValueError(f"{where}$type is one of {', '.join(TYPES)}")
    if key in ("$unordered", "$one_of") and not isinstance(inner, list):
        raise ValueError(f"{where}{key} takes a list")
    if key == "$exact" and not isinstance(inner, dict):
        raise ValueError(f"{where}$exact takes a mapping")
    if key in ("$id", "$matches") and not isinstance(inner, str):
        raise ValueError(f"{where}{key} takes a text")
    if key == "$repeat" and not (
        isinstance(inner, list) and [type(each) for each in inner] == [str, int]
    ):
        raise ValueError(f"{where}$repeat takes a text and how often it stands there")
    if key == "$matches":
        try:
            re.compile(str(inner))
        except re.error as error:
            raise ValueError(f"{where}$matches: not a pattern: {error}") from None


def mismatches(expected: Expected, actual: JsonValue, ids_of: IdsOf) -> tuple[Mismatch, ...]:
    """Where `actual` is not as `expected`; nothing when it matches."""
    return tuple(_mismatches(expected, actual, "", ids_of))


def operators_in(expected: object) -> Mapping[str, Expected] | None:
    if isinstance(expected, Mapping) and expected and all(k.startswith("$") for k in expected):
        return expected
    return None


def _mismatches(
    expected: Expected, actual: JsonValue | Absent, path: str, ids_of: IdsOf
) -> Iterator[Mismatch]:
    operators = operators_in(expected)
    if operators is not None:
        for name, operand in operators.items():
            yield from _operator(name, operand, operators, actual, path, ids_of)
    elif isinstance(actual, Absent):
        yield Mismatch(path, f"expected {show(expected)}, and it is not there")
    elif isinstance(expected, Verbatim):
        if not same(expected.value, actual):
            yield Mismatch(path, f"expected {show(expected)}, got {show(actual)}")
    elif isinstance(expected, Mapping):
        if not isinstance(actual, dict) or type_of(actual) != "object":
            yield Mismatch(path, f"expected an object, got {show(actual)}")
            return
        for key, inner in expected.items():
            yield from _mismatches(inner, actual.get(key, ABSENT), _dot(path, key), ids_of)
    elif isinstance(expected, Sequence) and not isinstance(expected, str):
        if not isinstance(actual, list):
            yield Mismatch(path, f"expected a list, got {show(actual)}")
            return
        if len(actual) != len(expected):
            yield Mismatch(path, f"expected {_items(len(expected))}, got {len(actual)}")
        for index, (item, got) in enumerate(zip(expected, actual, strict=False)):
            yield from _mismatches(item, got, f"{path}[{index}]", ids_of)
    elif not same(expected, actual):
        yield Mismatch(path, f"expected {show(expected)}, got {show(actual)}")


def _operator(
    name: str,
    operand: Expected,
    operators: Mapping[str, Expected],
    actual: JsonValue | Absent,
    path: str,
    ids_of: IdsOf,
) -> Iterator[Mismatch]:
    if name == "$absent":
        if not isinstance(actual, Absent):
            yield Mismatch(path, f"must not be there, and is {show(actual)}")
        return
    if name == "$not":
        if not any(True for _ in _mismatches(operand, actual, path, ids_of)):
            yield Mismatch(path, f"must not be {show(operand)}, and is {show(actual)}")
        return
    if isinstance(actual, Absent):
        yield Mismatch(path, f"expected {show({name: operand})}, and it is not there")
        return
    if name == "$any":
        return
    if name in _LISTS:
        yield from _LISTS[name](operand, actual, path, ids_of)
        return
    if not _holds(name, operand, operators, actual, ids_of):
        yield Mismatch(path, f"expected {show({name: operand})}, got {show(actual)}")


def _holds(
    name: str,
    operand: Expected,
    operators: Mapping[str, Expected],
    actual: JsonValue,
    ids_of: IdsOf,
) -> bool:
    match name:
        case "$type":
            return type_of(actual) == operand
        case "$id":
            return isinstance(actual, str) and actual in ids_of(str(_bare(operand)))
        case "$int64":
            return int64_of(actual) == int(str(_bare(operand)))
        case "$matches":
            return isinstance(actual, str) and re.search(str(_bare(operand)), actual) is not None
        case "$one_of":
            assert isinstance(operand, Sequence)
            return any(not mismatches(each, actual, ids_of) for each in operand)
        case "$approx":
            within = _bare(operators.get("$within", 1e-6))
            wanted = _bare(operand)
            return (
                _number(actual)
                and _number(wanted)
                and _number(within)
                and abs(float(str(actual)) - float(str(wanted))) <= float(str(within))
            )
        case "$within":
            return True
        case _:
            return _in_order(name, _bare(operand), actual)


def _in_order(name: str, bound: object, actual: object) -> bool:
    if _number(bound) and _number(actual):
        one, other = float(str(actual)), float(str(bound))
        difference_ = (one > other) - (one < other)
    elif isinstance(bound, str) and isinstance(actual, str):
        difference_ = (actual > bound) - (actual < bound)
    else:
        return False
    return {
        "$gt": difference_ > 0,
        "$gte": difference_ >= 0,
        "$lt": difference_ < 0,
        "$lte": difference_ <= 0,
    }[name]


def _exact(operand: Expected, actual: JsonValue, path: str, ids_of: IdsOf) -> Iterator[Mismatch]:
    yield from _mismatches(operand, actual, path, ids_of)
    if isinstance(actual, dict) and isinstance(operand, Mapping):
        for key in actual:
            if key not in operand:
                yield Mismatch(_dot(path, key), f"is not expected, and is {show(actual[key])}")


def _unordered(
    operand: Expected, actual: JsonValue, path: str, ids_of: IdsOf
) -> Iterator[Mismatch]:
    assert isinstance(operand, Sequence)
    if not isinstance(actual, list):
        yield Mismatch(path, f"expected a list, got {show(actual)}")
        return
    if len(actual) != len(operand):
        yield Mismatch(path, f"expected {_items(len(operand))}, got {len(actual)}")
    taken = assign(operand, actual, ids_of)
    for index, item in enumerate(operand):
        if taken[index] is None:
            yield Mismatch(path, f"no item matches {show(item)}")


def assign(
    expected: Sequence[Expected], actual: Sequence[JsonValue], ids_of: IdsOf
) -> list[int | None]:
    """Gives for each expected item the place of an actual one that matches it, no place twice.

    As many as possible get one (augmenting paths), so no order of the items changes the answer.
    """
    fits = [
        [place for place, got in enumerate(actual) if not mismatches(item, got, ids_of)]
        for item in expected
    ]
    owner: dict[int, int] = {}

    def place(index: int, tried: set[int]) -> bool:
        for candidate in fits[index]:
            if candidate in tried:
                continue
            tried.add(candidate)
            if candidate not in owner or place(owner[candidate], tried):
                owner[candidate] = index
                return True
        return False

    for index in range(len(expected)):
        place(index, set())
    places: list[int | None] = [None] * len(expected)
    for candidate, index in owner.items():
        places[index] = candidate
    return places


def _contains(operand: Expected, actual: JsonValue, path: str, ids_of: IdsOf) -> Iterator[Mismatch]:
    if isinstance(actual, str):
        text = str(_bare(operand))
        if text not in actual:
            yield Mismatch(path, f"expected a text with {show(text)}, got {show(actual)}")
        return
    if not isinstance(actual, list):
        yield Mismatch(path, f"expected a list, got {show(actual)}")
        return
    wanted: list[Expected] = [operand]
    if isinstance(operand, Sequence) and not isinstance(operand, str):
        wanted = list(operand)
    for item, place in zip(wanted, assign(wanted, actual, ids_of), strict=True):
        if place is None:
            yield Mismatch(path, f"no item matches {show(item)}")


def _each(operand: Expected, actual: JsonValue, path: str, ids_of: IdsOf) -> Iterator[Mismatch]:
    if not isinstance(actual, list):
        yield Mismatch(path, f"expected a list, got {show(actual)}")
        return
    for index, got in enumerate(actual):
        yield from _mismatches(operand, got, f"{path}[{index}]", ids_of)


def _length(operand: Expected, actual: JsonValue, path: str, ids_of: IdsOf) -> Iterator[Mismatch]:
    if not isinstance(actual, list | str):
        yield Mismatch(path, f"expected a list or a text, got {show(actual)}")
        return
    for each in _mismatches(operand, len(actual), path, ids_of):
        yield Mismatch(path, f"length: {each.message}")


def _equal(_: Expected, actual: JsonValue, path: str, ids_of: IdsOf) -> Iterator[Mismatch]:
    if not isinstance(actual, list):
        yield Mismatch(path, f"expected a list, got {show(actual)}")
        return
    for index, got in enumerate(actual):
        if not same(actual[0], got):
            message = f"expected the same as the first, {show(actual[0])}, got {show(got)}"
            yield Mismatch(f"{path}[{index}]", message)


_LISTS: Mapping[str, Callable[[Expected, JsonValue, str, IdsOf], Iterator[Mismatch]]] = {
    "$exact": _exact,
    "$unordered": _unordered,
    "$contains": _contains,
    "$each": _each,
    "$length": _length,
    "$equal": _equal,
}


def _bare(value: Expected) -> object:
    return value.value if isinstance(value, Verbatim) else value


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dot(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"
