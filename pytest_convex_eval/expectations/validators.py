"""Convex validators in three forms: TypeScript text, the backend's JSON, and a comparable one.

The text form is what people write in a case (`v.id("users")`), the JSON form is what a deployment
reports (`{"type": "id", "tableName": "users"}`), and the comparable form treats as equal what
differs only in order or spelling: members of a union, fields of an object, `v.float64()` for
`v.number()`, `v.nullable(x)` for `v.union(x, v.null())`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

ValidatorJson: TypeAlias = dict[str, Any]
"""A validator as the backend's JSON; an optional field is `{"fieldType": ..., "optional": ...}`."""

_PLAIN = {
    "any": "any",
    "boolean": "boolean",
    "bytes": "bytes",
    "null": "null",
    "string": "string",
    "number": "number",
    "float64": "number",
    "int64": "bigint",
    "bigint": "bigint",
    "commitTs": "commitTs",
    # Its signature is for types and generated code alone.
    "function": "function",
}
_SHOWN = {"number": "v.number()", "bigint": "v.int64()"}
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>v\.[A-Za-z0-9]+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?n?)
      | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
      | (?P<mark>[(){},:])
    )""",
    re.VERBOSE,
)
_DEEPEST = 64


_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


class ValidatorSyntaxError(ValueError):
    """The text is no Convex validator; the message says where and what was expected."""


def parse_validator(text: str) -> tuple[ValidatorJson, bool]:
    """`text` (`v.optional(v.string())`) as the backend's JSON, and whether it is optional.

    Raises ValidatorSyntaxError.
    """
    parser = _Parser(text)
    validator, optional = parser.validator(0)
    parser.end()
    return validator, optional


def comparable(validator: Mapping[str, Any]) -> Hashable:
    """A form in which two validators that accept the same values in the same way are equal."""
    kind = validator["type"]
    if kind == "union":
        members: set[Hashable] = set()
        for member in validator["value"]:
            form = comparable(member)
            if isinstance(form, tuple) and form[0] == "union":
                members |= form[1]
            else:
                members.add(form)
        return next(iter(members)) if len(members) == 1 else ("union", frozenset(members))
    if kind == "object":
        fields = validator["value"].items()
        return (
            "object",
            frozenset(
                (name, bool(f["optional"]), comparable(f["fieldType"])) for name, f in fields
            ),
        )
    if kind == "array":
        return ("array", comparable(validator["value"]))
    if kind == "record":
        values = validator["values"]
        return ("record", comparable(validator["keys"]), comparable(values["fieldType"]))
    if kind == "id":
        return ("id", validator["tableName"])
    if kind == "literal":
        value = validator["value"]
        # 1 and 1.0 are one number in JavaScript.
        whole = isinstance(value, int) and not isinstance(value, bool)
        return ("literal", json.dumps(float(value) if whole else value, sort_keys=True))
    return (kind,)


def show_validator(validator: Mapping[str, Any], *, optional: bool = False) -> str:
    """`validator` as TypeScript text."""
    if optional:
        return f"v.optional({show_validator(validator)})"
    kind = validator["type"]
    if kind == "union":
        return f"v.union({', '.join(show_validator(member) for member in validator['value'])})"
    if kind == "object":
        fields = (
            f"{name}: {show_validator(f['fieldType'], optional=f['optional'])}"
            for name, f in validator["value"].items()
        )
        return "v.object({ " + ", ".join(fields) + " })" if validator["value"] else "v.object({})"
    if kind == "array":
        return f"v.array({show_validator(validator['value'])})"
    if kind == "record":
        keys = show_validator(validator["keys"])
        return f"v.record({keys}, {show_validator(validator['values']['fieldType'])})"
    if kind == "id":
        return f"v.id({json.dumps(validator['tableName'])})"
    if kind == "literal":
        return f"v.literal({json.dumps(validator['value'], ensure_ascii=False)})"
    return _SHOWN.get(kind, f"v.{kind}()")


def _unescape(match: re.Match[str]) -> str:
    code, character = match.groups()
    return chr(int(code, 16)) if code else _ESCAPED.get(character, character)


class _Parser:
    """Recursive descent over the few forms that a validator can take."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def fail(self, expected: str) -> ValidatorSyntaxError:
        rest = self.text[self.position :].strip()
        found = f"found {rest[:20]!r}" if rest else "the text ends"
        return ValidatorSyntaxError(
            f"not a Convex validator: expected {expected} at column {self.position + 1}, {found}"
        )

    def take(self, kind: str, value: str | None = None) -> str | None:
        match = _TOKEN.match(self.text, self.position)
        if match is None or match.lastgroup != kind or (value and match[kind] != value):
            return None
        self.position = match.end()
        return match[kind]

    def mark(self, value: str) -> None:
        if self.take("mark", value) is None:
            raise self.fail(repr(value))

    def end(self) -> None:
        if self.text[self.position :].strip():
            raise self.fail("the end")

    def validator(self, depth: int) -> tuple[ValidatorJson, bool]:
        if depth > _DEEPEST:
            raise ValidatorSyntaxError("not a Convex validator: nested too deeply")
        start = self.position
        name = self.take("name")
        if name is None:
            raise self.fail("v.something(")
        kind = name.removeprefix("v.")
        self.mark("(")
        if kind == "optional":
            inner = self.required(depth)
            self.close()
            return inner, True
        if kind == "nullable":
            inner = self.required(depth)
            self.close()
            return {"type": "union", "value": [inner, {"type": "null"}]}, False
        result = self.body(kind, depth)
        if result is None:
            self.position = start
            raise self.fail("a validator that Convex has")
        self.close()
        return result, False

    def body(self, kind: str, depth: int) -> ValidatorJson | None:
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        if kind == "id":
            return {"type": "id", "tableName": self.string()}
        if kind == "literal":
            return {"type": "literal", "value": self.literal()}
        if kind == "array":
            return {"type": "array", "value": self.required(depth)}
        if kind == "union":
            return {"type": "union", "value": self.members(depth)}
        if kind == "record":
            keys = self.required(depth)
            self.mark(",")
            values = {"fieldType": self.required(depth), "optional": False}
            return {"type": "record", "keys": keys, "values": values}
        if kind == "object":
            return {"type": "object", "value": self.fields(depth)}
        return None

    def required(self, depth: int) -> ValidatorJson:
        inner, optional = self.validator(depth + 1)
        if optional:
            raise ValidatorSyntaxError(
                "not a Convex validator: v.optional() belongs directly on a field"
            )
        return inner

    def close(self) -> None:
        self.take("mark", ",")
        self.mark(")")

    def members(self, depth: int) -> list[ValidatorJson]:
        members = [self.required(depth)]
        while self.take("mark", ","):
            if _TOKEN.match(self.text, self.position, len(self.text)) and not self.peek(")"):
                members.append(self.required(depth))
        return members

    def peek(self, mark: str) -> bool:
        match = _TOKEN.match(self.text, self.position)
        return match is not None and match["mark"] == mark

    def fields(self, depth: int) -> dict[str, Any]:
        self.mark("{")
        fields: dict[str, Any] = {}
        while not self.peek("}"):
            name = self.take("word") or self.string()
            self.mark(":")
            field, optional = self.validator(depth + 1)
            fields[name] = {"fieldType": field, "optional": optional}
            if not self.take("mark", ","):
                break
        self.mark("}")
        return fields

    def string(self) -> str:
        token = self.take("string")
        if token is None:
            raise self.fail("a string in quotes")
        return _ESCAPE.sub(_unescape, token[1:-1])

    def literal(self) -> str | int | float | bool | dict[str, str]:
        number = self.take("number")
        if number is not None and number.endswith("n"):
            raw = int(number[:-1]).to_bytes(8, "little", signed=True)
            return {"$integer": base64.b64encode(raw).decode()}
        if number is not None:
            value = float(number)
            return int(value) if value.is_integer() else value
        for word, value in (("true", True), ("false", False)):
            if self.take("word", word):
                return value
        return self.string()
