"""Validators as data: what is one, how errors show it, and what it allows at a path."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

STRING, NUMBER, NULL, ANY = ({"type": each} for each in ("string", "number", "null", "any"))


def literal(value: Any) -> dict[str, Any]:
    return {"type": "literal", "value": value}


def union(*members: Any) -> dict[str, Any]:
    return {"type": "union", "value": list(members)}


def array(value: Any) -> dict[str, Any]:
    return {"type": "array", "value": value}


def field(validator: Any, *, optional: bool = False) -> dict[str, Any]:
    return {"fieldType": validator, "optional": optional}


def obj(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "value": fields}


def record(keys: Any, values: Any) -> dict[str, Any]:
    return {"type": "record", "keys": keys, "values": field(values)}


def special(kind: str, packed: bytes) -> dict[str, str]:
    return {kind: base64.b64encode(packed).decode()}


SEVEN = special("$integer", struct.pack("<q", 7))
MINUS_ZERO = special("$float", struct.pack("<d", -0.0))
INFINITY = special("$float", struct.pack("<d", float("inf")))
ID = {"type": "id", "tableName": "t"}

PRINTED = [
    *((({"type": name}), f"v.{name}()") for name in ("null", "boolean", "string", "bytes", "any")),
    ({"type": "commitTs"}, "v.commitTs()"),
    ({"type": "function"}, "v.function()"),
    ({"type": "function", "fnType": "query", "args": obj(), "returns": NULL}, "v.function()"),
    (NUMBER, "v.float64()"),
    ({"type": "bigint"}, "v.int64()"),
    (literal("a"), 'v.literal("a")'),
    (literal(1), "v.literal(1.0)"),
    (literal(1.5), "v.literal(1.5)"),
    (literal(True), "v.literal(true)"),
    (literal(SEVEN), "v.literal(7)"),
    (ID, 'v.id("t")'),
    (array(NULL), "v.array(v.null())"),
    (union(STRING, NULL), "v.union(v.string(), v.null())"),
    (union(), "v.union()"),
    (record(STRING, NUMBER), "v.record(v.string(), v.float64())"),
    (
        obj(a=field(STRING), b=field(array(ANY), optional=True)),
        "v.object({a: v.string(), b: v.optional(v.array(v.any()))})",
    ),
    (obj(), "v.object({})"),
]


@pytest.mark.parametrize(("validator", "text"), PRINTED)
def test_a_validator_is_parsed_and_printed(validator: Any, text: str, in_server: InServer) -> None:
    found = in_server(
        """const { parseValidator, print } = await load("values/validators");
        const parsed = parseValidator(args.validator);
        return [parsed, print(parsed)];""",
        validator=validator,
    )
    assert found == [validator, text]


def test_what_is_not_said_is_required(in_server: InServer) -> None:
    found = in_server(
        'return (await load("values/validators")).parseValidator(args.validator);',
        validator={"type": "object", "value": {"a": {"fieldType": STRING, "optional": 1}}},
    )
    assert found == obj(a=field(STRING))


NO_KEY = (
    "Records can only have string keys. Your validator contains a record with key typed as `{}`, "
    "which is not a subtype of `v.string()`"
)


@pytest.mark.parametrize(
    ("validator", "error"),
    [
        (None, "a validator must be an object"),
        ("string", "a validator must be an object"),
        ({}, "a validator must have a type"),
        ({"type": "date"}, "The validator v.date() is not known to this deployment."),
        (literal(None), "a literal must be a string, number, bigint or boolean"),
        (literal({"a": 1}), "a literal must be a string, number, bigint or boolean"),
        (literal(INFINITY), "a literal must be finite"),
        ({"type": "id"}, "v.id() needs a table name"),
        ({"type": "array"}, "a validator must be an object"),
        ({"type": "union", "value": {}}, "v.union() needs a list"),
        (union(STRING, 1), "a validator must be an object"),
        ({"type": "object", "value": None}, "v.object() needs fields"),
        (obj(a=None), "a validator must be an object"),
        ({"type": "function", "args": 1}, "a validator must be an object"),
        (record({"type": "function"}, ANY), NO_KEY.format("v.function()")),
        (record(literal("a"), ANY), "Records cannot have string literal keys"),
        (record(union(STRING, literal("a")), ANY), "Records cannot have string literal keys"),
        (
            record(NUMBER, ANY),
            "Records can only have string keys. Your validator contains a record with key typed as "
            "`v.float64()`, which is not a subtype of `v.string()`",
        ),
        (
            record(union(), ANY),
            "Records can only have string keys. Your validator contains a record with key typed as "
            "`v.union()`, which is not a subtype of `v.string()`",
        ),
        (
            {"type": "record", "keys": STRING, "values": field(ANY, optional=True)},
            "Records cannot have optional values",
        ),
    ],
)
def test_what_is_no_validator_is_refused(validator: Any, error: str, in_server: InServer) -> None:
    found = in_server(
        """const { parseValidator } = await load("values/validators");
        return await thrown(() => parseValidator(args.validator));""",
        validator=validator,
    )
    assert found == error


@pytest.mark.parametrize("value", [MINUS_ZERO, SEVEN, "", 0, False])
def test_a_literal_is_what_it_is(value: Any, in_server: InServer) -> None:
    parse = 'return (await load("values/validators")).parseValidator(args.validator);'
    assert in_server(parse, validator=literal(value)) == literal(value)


@pytest.mark.parametrize("keys", [STRING, ID, union(STRING, ID)])
def test_a_record_has_keys_that_are_texts(keys: Any, in_server: InServer) -> None:
    parse = 'return (await load("values/validators")).parseValidator(args.validator);'
    assert in_server(parse, validator=record(keys, ANY)) == record(keys, ANY)


NESTED = obj(
    a=field(obj(b=field(NUMBER, optional=True))),
    r=field(record(STRING, array(NUMBER))),
    x=field(ANY),
    u=field(union(STRING, NULL)),
)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("a", [obj(b=field(NUMBER, optional=True))]),
        ("a.b", [NUMBER]),
        ("a.c", []),
        ("a.b.c", []),
        ("r.anything", [array(NUMBER)]),
        ("r.anything.more", []),
        ("x", [ANY]),
        ("x.y.z", [ANY]),
        ("u", [STRING, NULL]),
        ("none", []),
        ("toString", []),
    ],
)
def test_what_is_allowed_at_a_path(path: str, allowed: Any, in_server: InServer) -> None:
    at = 'return (await load("values/validators")).at(args.validator, args.path.split("."));'
    assert in_server(at, validator=NESTED, path=path) == allowed
    either = union(NESTED, obj(a=field(STRING)))
    more = [STRING] if path == "a" else []
    assert in_server(at, validator=either, path=path) == [*allowed, *more]


@pytest.mark.parametrize(
    ("validator", "allows"),
    [
        *((each, True) for each in (ANY, array(NUMBER), array(ANY), union(NULL, array(NUMBER)))),
        *((each, False) for each in (NUMBER, array(STRING), union(NULL, STRING), obj())),
    ],
)
def test_a_vector_is_a_list_of_numbers(validator: Any, allows: bool, in_server: InServer) -> None:
    found = in_server(
        'return (await load("values/validators")).allowsVector(args.validator);',
        validator=validator,
    )
    assert found is allows


BAD = (
    "Identifier a-b has invalid character '-': Identifiers can only contain alphanumeric "
    "characters or underscores"
)
PLACES = [
    obj(**{"a-b": field(STRING)}),
    obj(**{"a-b": field(STRING, optional=True)}),
    {"type": "id", "tableName": "a-b"},
]


@pytest.mark.parametrize("inner", PLACES, ids=["field", "optional field", "table"])
@pytest.mark.parametrize(
    "around",
    [
        lambda inner: inner,
        array,
        lambda inner: obj(x=field(inner)),
        lambda inner: union(NULL, inner),
        lambda inner: record(STRING, inner),
        lambda inner: array(union(NUMBER, obj(y=field(array(inner), optional=True)))),
        lambda inner: {"type": "function", "args": obj(x=field(inner))},
        lambda inner: {"type": "function", "returns": inner},
    ],
    ids=["alone", "array", "object", "union", "record", "deep", "arguments", "returns"],
)
def test_names_are_identifiers_wherever_they_stand(
    around: Callable[[Any], Any], inner: Any, in_server: InServer
) -> None:
    found = in_server(
        """const { parseValidator } = await load("values/validators");
        try { parseValidator(args.validator); }
        catch (error) { return [error.code, error.message]; }
        return null;""",
        validator=around(inner),
    )
    assert found == ["InvalidIdentifier", BAD]


def test_a_table_of_the_systems_and_the_keys_of_a_record_by_id_are_names_too(
    in_server: InServer,
) -> None:
    found = in_server(
        """const { parseValidator } = await load("values/validators");
        const why = (each) => thrown(() => parseValidator(each));
        return await Promise.all(args.validators.map(why));""",
        validators=[
            {"type": "id", "tableName": "_storage"},
            record({"type": "id", "tableName": "a-b"}, ANY),
            obj(_x=field(STRING), __proto__=field(STRING)),
        ],
    )
    assert found == [None, BAD, None]
