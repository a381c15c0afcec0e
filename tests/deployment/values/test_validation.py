"""Which values a validator allows, what is said of others, and the bounds of values themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

INTEGER = {"$integer": "AgAAAAAAAAA="}
FLOAT = {"$float": "AAAAAAAA8H8="}
BYTES = {"$bytes": "AAEC"}
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "number": 1.5,
    "infinity": FLOAT,
    "integer": INTEGER,
    "string": "x",
    "bytes": BYTES,
    "array": [1],
    "object": {"a": 1},
    "handle": "function://;a:f",
    "commit": {"$commitTs": None},
}


def field(validator: dict[str, Any], *, optional: bool = False) -> dict[str, Any]:
    return {"fieldType": validator, "optional": optional}


NUMBER = {"type": "number"}
STRING = {"type": "string"}
ALLOWED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "any": ({"type": "any"}, set(VALUES)),
    "null": ({"type": "null"}, {"null"}),
    "boolean": ({"type": "boolean"}, {"true"}),
    "number": (NUMBER, {"number", "infinity"}),
    "bigint": ({"type": "bigint"}, {"integer"}),
    "string": (STRING, {"string", "handle"}),
    "bytes": ({"type": "bytes"}, {"bytes"}),
    "commitTs": ({"type": "commitTs"}, {"integer", "commit"}),
    "function": ({"type": "function"}, {"handle"}),
    "function with a signature": (
        {"type": "function", "fnType": "query", "args": {"type": "object", "value": {}}},
        {"handle"},
    ),
    "literal": ({"type": "literal", "value": 1.5}, {"number"}),
    "literal integer": ({"type": "literal", "value": INTEGER}, {"integer"}),
    "array": ({"type": "array", "value": NUMBER}, {"array"}),
    "array of others": ({"type": "array", "value": STRING}, set()),
    "record": (
        {"type": "record", "keys": STRING, "values": field(NUMBER)},
        {"object"},
    ),
    "record of others": (
        {"type": "record", "keys": STRING, "values": field(STRING)},
        set(),
    ),
    "object": ({"type": "object", "value": {"a": field(NUMBER)}}, {"object"}),
    "object of others": ({"type": "object", "value": {"a": field(STRING)}}, set()),
    "object without fields": ({"type": "object", "value": {}}, set()),
    "object with more": (
        {"type": "object", "value": {"a": field(NUMBER), "b": field(NUMBER)}},
        set(),
    ),
    "object that may have more": (
        {"type": "object", "value": {"a": field(NUMBER), "b": field(NUMBER, optional=True)}},
        {"object"},
    ),
    "union": (
        {"type": "union", "value": [NUMBER, {"type": "null"}]},
        {"number", "infinity", "null"},
    ),
    "empty union": ({"type": "union", "value": []}, set()),
    "id": ({"type": "id", "tableName": "t"}, set()),
}


@pytest.mark.parametrize(("validator", "allowed"), ALLOWED.values(), ids=ALLOWED.keys())
def test_a_validator_allows_what_it_says(
    in_server: InServer, validator: dict[str, Any], allowed: set[str]
) -> None:
    found = in_server(
        """
        const { validator, values } = args;
        return Object.keys(values).filter((name) => mismatch(validator, values[name],
          { tableOf: () => null }) === null);
        """,
        validator=validator,
        values=VALUES,
    )
    assert set(found) == allowed


NESTED = {
    "type": "object",
    "value": {
        "list": field(
            {"type": "array", "value": {"type": "object", "value": {"x": field(STRING)}}}
        ),
        "odd name": field({"type": "record", "keys": STRING, "values": field(NUMBER)}),
    },
}
MESSAGES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a value": (
        STRING,
        1,
        "Value does not match validator.\n\nValue: 1.0\nValidator: v.string()\n",
    ),
    "a literal": (
        {"type": "literal", "value": "a"},
        "b",
        '`"b"` does not match literal validator `v.literal("a")`.',
    ),
    "deep in an array": (
        NESTED,
        {"list": [{"x": "a"}, {"x": 1}], "odd name": {}},
        "Value does not match validator.\nPath: .list[1].x\nValue: 1.0\nValidator: v.string()\n",
    ),
    "deep in a record": (
        NESTED,
        {"list": [], "odd name": {"b c": "x"}},
        'Value does not match validator.\nPath: ["odd name"].values()\nValue: "x"\nValidator: '
        "v.float64()\n",
    ),
    "the keys of a record": (
        {"type": "record", "keys": {"type": "literal", "value": "a"}, "values": field(NUMBER)},
        {"b": 1},
        '`"b"` does not match literal validator `v.literal("a")`.Path: .keys()',
    ),
    "the keys of a record in an object": (
        {
            "type": "object",
            "value": {
                "r": field(
                    {
                        "type": "record",
                        "keys": {"type": "id", "tableName": "t"},
                        "values": field(NUMBER),
                    }
                )
            },
        },
        {"r": {"b": 1}},
        'Value does not match validator.\nPath: .r.keys()\nValue: "b"\nValidator: v.id("t")\n',
    ),
    "the values of a record of records": (
        {
            "type": "record",
            "keys": STRING,
            "values": field({"type": "record", "keys": STRING, "values": field(NUMBER)}),
        },
        {"a": {"b": "x"}},
        'Value does not match validator.\nPath: .values().values()\nValue: "x"\nValidator: '
        "v.float64()\n",
    ),
    "a missing field": (
        {
            "type": "object",
            "value": {"o": field({"type": "object", "value": {"a": field(NUMBER)}})},
        },
        {"o": {}},
        "Object is missing the required field `a`. Consider wrapping the field validator in "
        "`v.optional(...)` if this is expected.\nPath: .o\nObject: {}\nValidator: "
        "v.object({a: v.float64()})\n",
    ),
    "an extra field": (
        {"type": "object", "value": {"a": field(NUMBER)}},
        {"a": 1, "_id": "x"},
        "Object contains extra field `_id` that is not in the validator.\n\n"
        'Object: {_id: "x", a: 1.0}\nValidator: v.object({a: v.float64()})\n',
    ),
    "a field that every object has": (
        {"type": "object", "value": {"constructor": field(NUMBER)}},
        {},
        "Object is missing the required field `constructor`. Consider wrapping the field validator "
        "in `v.optional(...)` if this is expected.\n\nObject: {}\nValidator: "
        "v.object({constructor: v.float64()})\n",
    ),
}


@pytest.mark.parametrize(("validator", "value", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_mismatch_is_told_with_its_place(
    in_server: InServer, validator: dict[str, Any], value: Any, message: str
) -> None:
    found = in_server(
        "return mismatch(args.validator, args.value, { tableOf: () => null });",
        validator=validator,
        value=value,
    )
    assert found == message


BY_ALPHABET = {
    "type": "object",
    "value": {"b": field(NUMBER), "a": field(NUMBER), "C": field(STRING, optional=True)},
}
SHOWN_VALIDATOR = "v.object({C: v.optional(v.string()), a: v.float64(), b: v.float64()})"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "Object is missing the required field `a`."),
        ({"a": 1}, "Object is missing the required field `b`."),
        ({"a": "x"}, "Value does not match validator.\nPath: .a\n"),
        ({"a": "x", "b": "x", "C": 1}, "Value does not match validator.\nPath: .C\n"),
        ({"a": 1, "b": 1, "z": 1, "y": 1}, "Object contains extra field `y` "),
        ({"a": 1, "z": 1}, "Object is missing the required field `b`."),
    ],
)
def test_fields_are_looked_at_by_alphabet(
    in_server: InServer, value: dict[str, Any], message: str
) -> None:
    found = in_server(
        """
        const { parseValidator, print } = await load("values/validators");
        const parsed = parseValidator(args.validator);
        return [mismatch(parsed, args.value, { tableOf: () => null }), print(parsed)];
        """,
        validator=BY_ALPHABET,
        value=value,
    )
    assert found[0].startswith(message)
    assert found[1] == SHOWN_VALIDATOR


def test_what_the_system_adds_is_no_extra_field_of_a_document(in_server: InServer) -> None:
    system = {"_id": "x", "_creationTime": 1}
    validator = {
        "type": "object",
        "value": {"o": field({"type": "object", "value": {}}, optional=True)},
    }
    found = in_server(
        """
        const check = (value, isDocument) => mismatch(args.validator, value, { tableOf: () =>
          null, isDocument });
        return [check(args.system, true), check(args.system, false)?.split(" that")[0],
          check({ ...args.system, o: args.system }, true)?.split(" that")[0]];
        """,
        validator=validator,
        system=system,
    )
    extra = "Object contains extra field `_creationTime`"
    assert found == [None, extra, extra]


def test_an_id_is_of_its_table(in_server: InServer) -> None:
    found = in_server("""
      const tableOf = (id) => ({ own: "t", other: "u", file: "_storage", none: null })[id];
      const check = (value) => mismatch({ type: "id", tableName: "t" }, value, { tableOf });
      return ["own", "other", "file", "unknown", "none", 1].map(check);
    """)
    tail = ', which does not match the table name in validator `v.id("t")`.'
    wrong = 'Value does not match validator.\n\nValue: {}\nValidator: v.id("t")\n'
    assert found == [
        None,
        'Found ID "other" from table `u`' + tail,
        'Found ID "file" from a system table' + tail,
        'Found ID "unknown" from a system table' + tail,
        wrong.format('"none"'),
        wrong.format("1.0"),
    ]


SHOWN = """
  const { display } = await load("values/values");
  return [display(args.value), sizeOf(args.value)];
"""
DISPLAYED: dict[str, tuple[Any, str, int]] = {
    "null": (None, "null", 1),
    "false": (False, "false", 1),
    "a whole number": (3, "3.0", 9),
    "a fraction": (-0.5, "-0.5", 9),
    "a large number": (1e21, "1e21", 9),
    "the least with an exponent": (1e16, "1e16", 9),
    "one with digits and an exponent": (1.2345e17, "1.2345e17", 9),
    "the largest without": (9999999999999998, "9999999999999998.0", 9),
    "a small number": (0.0001, "0.0001", 9),
    "a smaller one": (-0.00001, "-1e-5", 9),
    "the smallest": (5e-324, "5e-324", 9),
    "not a number": ({"$float": "AAAAAAAA+H8="}, "NaN", 9),
    "minus zero": ({"$float": "AAAAAAAAAIA="}, "-0.0", 9),
    "infinity": (FLOAT, "inf", 9),
    "an integer": (INTEGER, "2", 9),
    "bytes": (BYTES, 'b"AAEC"', 5),
    "a commit's timestamp": ({"$commitTs": None}, "[unresolved commit timestamp]", 9),
    "undefined": ({"$undefined": None}, "undefined", 1),
    "a text": ('a"é', '"a\\"é"', 6),
    "an array": ([1, [None]], "[1.0, [null]]", 2 + 9 + 2 + 1),
    "an object": ({"a": 1, "b c": "", "$d": True}, '{$d: true, a: 1.0, "b c": ""}', 2 + 11 + 6 + 4),
}


@pytest.mark.parametrize(("value", "text", "size"), DISPLAYED.values(), ids=DISPLAYED.keys())
def test_a_value_has_a_text_and_a_size(
    in_server: InServer, value: Any, text: str, size: int
) -> None:
    found = in_server(SHOWN, value=value)
    assert found == [text, size]


def test_sizes_are_shown_in_their_unit(in_server: InServer) -> None:
    sizes = [0, 1, 1023, 1024, 1536, 2**20 - 1, 2**20, 19_461_570, 2**31]
    assert in_server("return args.sizes.map(displaySize);", sizes=sizes) == [
        *("0 B", "1 B", "1023 B", "1 KiB", "1.50 KiB", "1024 KiB", "1 MiB", "18.56 MiB", "2048 MiB")
    ]


def test_values_are_as_large_as_they_may_be(in_server: InServer) -> None:
    found = in_server("""
      const many = (n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`f${i}`, 0]));
      const deep = (n) => (n === 0 ? 1 : [deep(n - 1)]);
      const check = (value) => thrown(() => parseValue(value));
      return [await check(Array(8192).fill(0)), await check(Array(8193).fill(0)),
        await check(many(1024)), await check(many(1025)),
        await check(deep(64)), await check(deep(65)), await check({ ["a".repeat(1024)]: 0 }),
          await check({ ["a".repeat(1025)]: 0 }),
        [0, 1, 5].map((n) => nestingOf(deep(n))), nestingOf({ a: [], b: { c: [1] } }),
          nestingOf({ $bytes: "" })];
    """)
    assert found == [
        *(None, "Array length is too long (8193 > maximum length 8192)"),
        *(None, "Object has too many fields (1025 > maximum number 1024)"),
        *(None, "Array is too nested (nested 65 levels deep > maximum nesting 64)"),
        *(None, "Field name is too long (1025 > maximum 1024)."),
        *([0, 1, 5], 3, 0),
    ]


NO_VALUES: dict[str, tuple[str, str]] = {
    "not finite": ("Infinity", "Infinity is not a number in JSON"),
    "no text": ("{ $bytes: 1 }", "$bytes must be encoded as a string"),
    "an integer of nonsense": ('{ $integer: "nonsense!" }', "$integer must be encoded as base64"),
    "bytes of nonsense": ('{ $bytes: "*" }', "$bytes must be encoded as base64"),
    "bytes without their padding": ('{ $bytes: "AAE" }', "$bytes must be encoded as base64"),
    "bytes with bits left over": ('{ $bytes: "AAF=" }', "$bytes must be encoded as base64"),
    "a float of nonsense": ("{ $float: null }", "$float must be encoded as a string"),
    "a short integer": ('{ $integer: "AAAA" }', "Received 3 bytes, expected 8 for $integer"),
    "a short float": ('{ $float: "AAAA" }', "Received 3 bytes, expected 8 for $float"),
    "a float that is a number": (
        '{ $float: "AAAAAAAA+D8=" }',
        "Float 1.5 should be encoded as a number",
    ),
    "a set": ("{ $set: [] }", "Received a Set which is no longer supported as a Convex type."),
    "a map": ("{ $map: [] }", "Received a Map which is no longer supported as a Convex type."),
    "a timestamp of nonsense": ('{ $commitTs: "x" }', "$commitTs must be encoded as null"),
    "half a character": (
        '["a\\ud83d"]',
        "Strings must be well-formed UTF-16: this one has half of a character.",
    ),
    "another sign": ('{ $other: "x" }', "Field name $other starts with '$', which is reserved."),
    "a sign among others": ("{ a: 1, $b: 2 }", "Field name $b starts with '$', which is reserved."),
    "a control character": (
        '{ "a\\n": 1 }',
        "Field name a\n has invalid character '\n': Field names can only contain non-control ASCII "
        "characters",
    ),
    "no ASCII": (
        '{ "é": 1 }',
        "Field name é has invalid character 'é': Field names can only contain non-control ASCII "
        "characters",
    ),
}


@pytest.mark.parametrize(("value", "message"), NO_VALUES.values(), ids=NO_VALUES.keys())
def test_what_is_no_value_is_told(in_server: InServer, value: str, message: str) -> None:
    found = in_server(
        "return await thrown(() => parseValue(eval(`(${args.value})`)));", value=value
    )
    assert found == message


def test_values_are_kept_in_one_form(in_server: InServer) -> None:
    found = in_server("""
      const float = (value) => { const bytes = Buffer.alloc(8); bytes.writeDoubleLE(value);
        return { $float: bytes.toString("base64") }; };
      const text = (value) => JSON.stringify(parseValue(value));
      const proto = JSON.parse('{"b": 1, "__proto__": 2, "a": {"d": 1, "c": 2}}');
      return [text(proto), text(float(-0)),
        text(float(NaN)) === JSON.stringify(float(NaN)),
        text({ $bytes: "AAEC" }), text({ "": 1 }),
        [special({ $commitTs: null }), special({}), special([]), special({ a: 1 }),
          special({ $bytes: "" })],
        [undefined, { $undefined: null }, null].map(isUndefined)];
    """)
    assert found == [
        '{"__proto__":2,"a":{"c":2,"d":1},"b":1}',
        '{"$float":"AAAAAAAAAIA="}',
        True,
        '{"$bytes":"AAEC"}',
        '{"":1}',
        ["$commitTs", None, None, None, "$bytes"],
        [True, True, False],
    ]


def test_a_value_that_waits_for_its_commit_is_one_where_that_is_allowed(
    in_server: InServer,
) -> None:
    found = in_server("""
      const value = { a: [{ $commitTs: null }], b: { c: { $commitTs: null } }, d: 1 };
      const parsed = parseValue(value, { commitTs: true });
      const known = resolved(parsed, 2n);
      return [await thrown(() => parseValue(value)), isPending(parsed), known, isPending(known),
        resolved(known, 3n) === known, sizeOf(known) === sizeOf(parsed)];
    """)
    assert found == [
        "The commit timestamp is not known here: only what a mutation writes or gives to others "
        "can hold it.",
        True,
        {"a": [INTEGER], "b": {"c": INTEGER}, "d": 1},
        False,
        True,
        True,
    ]
