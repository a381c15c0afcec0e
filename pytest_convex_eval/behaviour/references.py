"""`${...}` in the texts of steps: what earlier steps saved, and what the harness knows.

`${post}`, `${users[0]}`, `${page.items[-1]._id}`, `${now + 2h}`, `${index % 3}`. A text that is
nothing but one reference becomes the value itself; within a longer text the value is written out.
`$${` is a plain `${`. `{$repeat: [text, times]}` is a text that would be too long to write.

| root | stands for |
| --- | --- |
| a saved name | the result that was saved |
| `now`, `start` | the deployment's time, and the time at which the block began (ms since 1970) |
| `identity` | `${identity.ada.tokenIdentifier}`: of the caller whose `as` is `ada` |
| `services` | `${services.weather}`: the address of a service of the block |
| `deployment` | `${deployment.url}` and `${deployment.site}` (HTTP actions): its addresses |
| `each`, `index` | within `each` and `repeat` |
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from pydantic import JsonValue

from pytest_convex_eval.behaviour.durations import seconds_of

KNOWN_ROOTS = ("now", "start", "identity", "services", "deployment")

MOST_CHARACTERS = 20_000_000
"""Of a repeated text: more than any limit of Convex's."""

_REFERENCE = re.compile(r"\$(\$)?\{([^{}]*)\}")
_EXPRESSION = re.compile(
    r"^\s*(?P<root>[a-z]\w*)(?P<path>(?:\.[A-Za-z_]\w*|\[-?\d+\])*)"
    r"\s*(?:(?P<sign>[-+*/%])\s*(?P<amount>\d[\w.]*))?\s*$"
)
_PART = re.compile(r"\.([A-Za-z_]\w*)|\[(-?\d+)\]")


def _quotient(one: float, other: float) -> float:
    """A whole number where it is one, as JSON has no other way to say."""
    found = one / other
    return int(found) if found.is_integer() else found


_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": operator.mod,
}

Lookup: TypeAlias = Callable[[str], JsonValue]
"""The value of a root. Raises KeyError for one that there is not."""


class ReferenceFailedError(Exception):
    """A reference leads to nothing; the text says where it ended."""


def roots_in(value: object) -> Iterator[str]:
    """The roots of all references in `value`. Raises ValueError for one that can't be read."""
    if isinstance(value, str):
        for match in _REFERENCE.finditer(value):
            if match[1] is None:
                yield _parsed(match[2])["root"] or ""
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from roots_in(inner)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from roots_in(item)


def resolve(value: JsonValue, lookup: Lookup) -> JsonValue:
    """`value` with all references replaced. Raises ReferenceFailedError."""
    if isinstance(value, str):
        return _text(value, lookup)
    if isinstance(value, dict):
        if list(value) == ["$repeat"]:
            return _repeated(resolve(value["$repeat"], lookup))
        return {key: resolve(inner, lookup) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in value]
    return value


def _repeated(given: JsonValue) -> str:
    match given:
        case [str(text), int(times)] if times >= 0 and len(text) * times <= MOST_CHARACTERS:
            return text * times
    raise ReferenceFailedError(
        f"$repeat takes a text and how often it stands there, at most {MOST_CHARACTERS:,} "
        f"characters together, not {json.dumps(given)[:120]}"
    )


def whole_reference(text: str) -> str | None:
    """The expression of a text that is nothing but one reference."""
    match = _REFERENCE.fullmatch(text)
    return match[2] if match is not None and match[1] is None else None


def _text(text: str, lookup: Lookup) -> JsonValue:
    whole = whole_reference(text)
    if whole is not None:
        return _value(whole, lookup)

    def written(match: re.Match[str]) -> str:
        if match[1] is not None:
            return f"${{{match[2]}}}"
        value = _value(match[2], lookup)
        return value if isinstance(value, str) else json.dumps(value)

    return _REFERENCE.sub(written, text)


def _parsed(expression: str) -> dict[str, str | None]:
    match = _EXPRESSION.match(expression)
    if match is None:
        raise ValueError(
            f"'${{{expression}}}' is no reference; write it like ${{post}}, ${{users[0]._id}} or "
            "${now + 2h} ($${ for a plain ${)"
        )
    return match.groupdict()


def _value(expression: str, lookup: Lookup) -> JsonValue:
    try:
        parts = _parsed(expression)
    except ValueError as error:
        raise ReferenceFailedError(str(error)) from None
    root = parts["root"] or ""
    try:
        value = lookup(root)
    except KeyError:
        raise ReferenceFailedError(f"${{{expression}}}: nothing is saved as {root!r}") from None
    reached = root
    for name, index in _PART.findall(parts["path"] or ""):
        value = _step(value, name, index, expression, reached)
        reached += f".{name}" if name else f"[{index}]"
    if parts["sign"] is None:
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ReferenceFailedError(f"${{{expression}}}: {reached} is no number")
    amount = _amount(parts["amount"] or "", expression)
    try:
        return _OPERATIONS[parts["sign"]](value, amount)
    except ZeroDivisionError:
        raise ReferenceFailedError(f"${{{expression}}}: a division by zero") from None


def _step(value: JsonValue, name: str, index: str, expression: str, reached: str) -> JsonValue:
    if name and isinstance(value, dict) and name in value:
        return value[name]
    if index and isinstance(value, list) and -len(value) <= int(index) < len(value):
        return value[int(index)]
    what = name or f"[{index}]"
    short = json.dumps(value)[:120]
    raise ReferenceFailedError(f"${{{expression}}}: {reached} has no {what}: {short}")


def _amount(text: str, expression: str) -> int | float:
    """A plain number, or a duration in milliseconds."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return round(seconds_of(text) * 1000)
    except ValueError as error:
        raise ReferenceFailedError(f"${{{expression}}}: {error}") from None
