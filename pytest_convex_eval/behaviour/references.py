"""`${...}` in the texts of steps: what earlier steps saved, and what the harness knows.

`${post}`, `${users[0]}`, `${page.items[-1]._id}`, `${now + 2h}`, `${index + 1}`. A text that is
nothing but one reference becomes the value itself; within a longer text the value is written out.
`$${` is a plain `${`.

| root | stands for |
| --- | --- |
| a saved name | the result that was saved |
| `now`, `start` | the deployment's time, and the time at which the block began (ms since 1970) |
| `identity` | `${identity.ada.tokenIdentifier}`: of the caller whose `as` is `ada` |
| `services` | `${services.weather}`: the address of a service of the block |
| `each`, `index` | within `each` and `repeat` |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from pydantic import JsonValue

from pytest_convex_eval.behaviour.durations import seconds_of

KNOWN_ROOTS = ("now", "start", "identity", "services")

_REFERENCE = re.compile(r"\$(\$)?\{([^{}]*)\}")
_EXPRESSION = re.compile(
    r"^\s*(?P<root>[a-z]\w*)(?P<path>(?:\.[A-Za-z_]\w*|\[-?\d+\])*)"
    r"\s*(?:(?P<sign>[+-])\s*(?P<amount>\d[\w.]*))?\s*$"
)
_PART = re.compile(r"\.([A-Za-z_]\w*)|\[(-?\d+)\]")

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
        return {key: resolve(inner, lookup) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve(item, lookup) for item in value]
    return value


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
    return value + amount if parts["sign"] == "+" else value - amount


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
