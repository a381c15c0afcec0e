"""Whether what came is what a row expects: exactly, but for `…`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

ANY = "…"
"""In a text: any text. Alone: any value."""

_SAVED = re.compile(r"\$\{(\w+)((?:\.\w+)*)\}")
_REQUEST_ID = re.compile(r"^\[Request ID: [^\]]*\] Server Error\n?")
_FRAMES = re.compile(r"^    at .*\n?", re.MULTILINE)


def matches(expected: JsonValue, found: JsonValue) -> bool:
    """Whether `found` is `expected`."""
    if expected == ANY:
        return True
    match expected:
        case str():
            return isinstance(found, str) and text_matches(expected, found)
        case bool() | None:
            return found is expected
        case int() | float():
            number = isinstance(found, int | float) and not isinstance(found, bool)
            return number and found == expected
        case list():
            return (
                isinstance(found, list)
                and len(found) == len(expected)
                and all(map(matches, expected, found))
            )
        case dict():
            return (
                isinstance(found, dict)
                and found.keys() == expected.keys()
                and all(matches(value, found[key]) for key, value in expected.items())
            )


def text_matches(expected: str, found: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split(ANY))
    return re.fullmatch(pattern, found, re.DOTALL) is not None


def told_error(text: str) -> str:
    """An error as rows write it: without the request's id, the stack and white space at its end."""
    return _FRAMES.sub("", _REQUEST_ID.sub("", text)).rstrip()


def filled(value: JsonValue, saved: Mapping[str, JsonValue]) -> JsonValue:
    """`value` with what was saved in the place of `${name}` and `${name.field}`."""
    match value:
        case str():
            if whole := _SAVED.fullmatch(value):
                return _get(saved, whole)
            return _SAVED.sub(lambda found: _text(_get(saved, found)), value)
        case list():
            return [filled(each, saved) for each in value]
        case dict():
            return {str(filled(key, saved)): filled(each, saved) for key, each in value.items()}
        case _:
            return value


def _get(saved: Mapping[str, JsonValue], found: re.Match[str]) -> JsonValue:
    value = saved[found[1]]
    for part in found[2].split(".")[1:]:
        if isinstance(value, list):
            value = value[int(part)]
        else:
            assert isinstance(value, dict), f"{found[0]}: there is no {part} in {value!r}"
            value = value[part]
    return value


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)
