"""Values as a deployment gives them, and how people read them.

Values are Convex's JSON form, where an int64 is `{"$integer": base64}`.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A value that stands for itself, whatever its keys look like: one that a step saved."""

    value: JsonValue


Expected: TypeAlias = "JsonValue | Verbatim | Mapping[str, Expected] | Sequence[Expected]"


class Absent:
    """What a field that is not there holds."""


ABSENT = Absent()


def show(value: Expected | Absent) -> str:
    """`value` on one line, shortened where it is long."""
    if isinstance(value, Absent):
        return "nothing"
    text = json.dumps(plain(value), ensure_ascii=False, default=str)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


def plain(value: Expected | Absent) -> object:
    """`value` as people read it: an int64 is `5n`."""
    if isinstance(value, Verbatim):
        return plain(value.value)
    if isinstance(value, Absent):
        return "(absent)"
    if isinstance(value, Mapping):
        number = int64_of(value)
        if number is not None:
            return f"{number}n"
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def int64_of(value: object) -> int | None:
    """The number of an int64; None for anything else."""
    if isinstance(value, Mapping) and list(value) == ["$integer"]:
        try:
            (number,) = struct.unpack("<q", base64.b64decode(str(value["$integer"])))
        except (ValueError, struct.error):
            return None
        return int(number)
    return None


def same(one: object, other: object) -> bool:
    """Equality of JSON values, in which `1` and `1.0` are one number and `true` is none."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def type_of(value: JsonValue) -> str:
    """The name of its type, as `$type` has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "list"
    if isinstance(value, dict) and len(value) == 1:
        special = {"$integer": "int64", "$bytes": "bytes", "$float": "number"}
        return special.get(next(iter(value)), "object")
    return "object"
