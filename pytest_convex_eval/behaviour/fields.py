"""What several steps are made of: durations, expected values, callers, errors, limits of use."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)

from pytest_convex_eval.behaviour.durations import seconds_of
from pytest_convex_eval.behaviour.matching import check_matcher
from pytest_convex_eval.expectations.model import StrictModel


def _duration(text: str) -> str:
    seconds_of(text)
    return text


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{text!r} is no time; write it like 2030-01-15T10:00:00Z")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a pattern: {error}") from None
    return text


def _matcher(value: Any) -> Any:
    check_matcher(value)
    return value


Moment = Annotated[str, AfterValidator(_moment)]
Duration = Annotated[
    str, AfterValidator(_duration), Field(description="500ms, 61s, 15m, 2h, 7d, 1h30m")
]
Pattern = Annotated[str, AfterValidator(_pattern)]
Matcher = Annotated[
    JsonValue,
    BeforeValidator(_matcher),
    WithJsonSchema({"description": "An expected value: plain data, or {$operator: ...}"}),
]
Name = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9_]*$", max_length=40)]
Save = Annotated[
    Name | None, Field(description="The name by which later steps have the result: ${name}")
]
IdentityMap: TypeAlias = dict[str, JsonValue]
As = Annotated[
    str | IdentityMap | None,
    Field(
        alias="as",
        description="Who calls: a subject, or all fields of the identity; null for nobody. "
        "A step's wins over its block's",
    ),
]

ErrorName: TypeAlias = Literal[
    "ArgumentValidationError",
    "ReturnsValidationError",
    "ConvexError",
    "FunctionNotFound",
    "SchemaValidationError",
]
ERROR_NAMES: tuple[ErrorName, ...] = get_args(ErrorName)


class Throws(StrictModel):
    """An expected error. Without `error`, one that the function's own code threw."""

    error: ErrorName | None = None
    message: Annotated[str | None, Field(description="A text within the error's message")] = None
    matches: Annotated[
        Pattern | None, Field(description="A pattern (Python's re) found in the message")
    ] = None
    data: Annotated[Matcher, Field(description="The data of a ConvexError")] = None


def _throws(value: Any) -> Any:
    if value is True:
        return {}
    if isinstance(value, str):
        return {"error": value} if value in ERROR_NAMES else {"message": value}
    return value


ThrowsText = Annotated[
    Throws | None,
    BeforeValidator(_throws),
    WithJsonSchema(
        {
            "description": "An expected error: true for any that the function's own code throws, "
            "a class (ArgumentValidationError, ConvexError, FunctionNotFound, ...), a text within "
            "its message, or a mapping",
            "anyOf": [
                {"const": True},
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "error": {"enum": list(ERROR_NAMES)},
                        "message": {"type": "string"},
                        "matches": {"type": "string"},
                        "data": {},
                    },
                    "additionalProperties": False,
                },
            ],
        }
    ),
]


class Bounds(StrictModel):
    """How much of something a call uses: at least, at most, or both (the same: exactly)."""

    gte: Annotated[int | None, Field(ge=0, alias="$gte")] = None
    lte: Annotated[int | None, Field(ge=0, alias="$lte")] = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        if self.gte is None and self.lte is None:
            raise ValueError("name $gte, $lte or both")
        if self.gte is not None and self.lte is not None and self.gte > self.lte:
            raise ValueError(f"nothing is at least {self.gte} and at most {self.lte}")
        return self


def _bounds(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"$lte": value} if is_number else value


_Used = Annotated[
    Bounds | None,
    BeforeValidator(_bounds),
    WithJsonSchema(
        {
            "description": "The most, or bounds: {$gte: 1}, {$gte: 1, $lte: 3}",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {
                    "type": "object",
                    "properties": {
                        "$gte": {"type": "integer", "minimum": 0},
                        "$lte": {"type": "integer", "minimum": 0},
                    },
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            ],
        }
    ),
]


class UsageLimit(StrictModel):
    """What a call may use, and what it must, with everything that it calls: a number is the most.
    Not checked on a deployment that does not tell."""

    documents_read: _Used = None
    bytes_read: _Used = None
    index_ranges: Annotated[_Used, Field(description="Database queries and point reads")] = None
    documents_written: _Used = None
    bytes_written: _Used = None
    functions: Annotated[
        _Used, Field(description="Functions that run, the called one among them")
    ] = None
