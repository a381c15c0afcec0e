"""Validators as text, as the backend's JSON, and compared."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.expectations.validators import (
    ValidatorJson,
    ValidatorSyntaxError,
    comparable,
    parse_validator,
    show_validator,
)

_NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True)
_LEAVES = st.one_of(
    st.sampled_from(["any", "boolean", "bytes", "null", "string", "number", "bigint"]).map(
        lambda kind: {"type": kind}
    ),
    _NAMES.map(lambda name: {"type": "id", "tableName": name}),
    st.one_of(st.text(), st.booleans(), st.integers(-(2**53), 2**53)).map(
        lambda value: {"type": "literal", "value": value}
    ),
)


def _nest(inner: st.SearchStrategy[ValidatorJson]) -> st.SearchStrategy[ValidatorJson]:
    field = st.builds(lambda f, o: {"fieldType": f, "optional": o}, inner, st.booleans())
    return st.one_of(
        inner.map(lambda value: {"type": "array", "value": value}),
        st.lists(inner, min_size=1, max_size=4).map(lambda v: {"type": "union", "value": v}),
        st.dictionaries(_NAMES, field, max_size=4).map(lambda v: {"type": "object", "value": v}),
        inner.map(
            lambda v: {
                "type": "record",
                "keys": {"type": "string"},
                "values": {"fieldType": v, "optional": False},
            }
        ),
    )


_VALIDATORS = st.recursive(_LEAVES, _nest, max_leaves=12)


@given(_VALIDATORS, st.booleans())
def test_what_is_shown_can_be_read_again(validator: ValidatorJson, optional: bool) -> None:
    read, read_optional = parse_validator(show_validator(validator, optional=optional))
    assert comparable(read) == comparable(validator)
    assert read_optional == optional


@given(st.text(alphabet="v.()idstring{}:,'\"ano lune 0", max_size=40))
def test_any_other_text_is_refused_with_one_kind_of_exception(text: str) -> None:
    with contextlib.suppress(ValidatorSyntaxError):
        validator, _ = parse_validator(text)
        assert comparable(validator)
    with pytest.raises(ValidatorSyntaxError):
        parse_validator(f"{text}!")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v.union(v.null(), v.string())", "v.nullable(v.string())"),
        ("v.union(v.string(), v.union(v.null(), v.any()))", "v.union(v.any(),v.null(),v.string())"),
        ("v.float64()", "v.number()"),
        ("v.int64()", "v.bigint()"),
        ("v.object({a: v.string(), b: v.null()})", "v.object({'b': v.null(), \"a\": v.string(),})"),
        ("v.literal(1)", "v.literal(1.0)"),
        ("v.id('users')", 'v.id("users")'),
    ],
)
def test_spelling_and_order_make_no_difference(one: str, other: str) -> None:
    assert comparable(parse_validator(one)[0]) == comparable(parse_validator(other)[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v.id('users')", "v.id('posts')"),
        ("v.object({a: v.optional(v.string())})", "v.object({a: v.string()})"),
        ("v.literal(1)", "v.literal('1')"),
        ("v.literal(1)", "v.literal(1n)"),
        ("v.literal(true)", "v.literal(1)"),
        ("v.array(v.string())", "v.array(v.any())"),
    ],
)
def test_what_differs_stays_different(one: str, other: str) -> None:
    assert comparable(parse_validator(one)[0]) != comparable(parse_validator(other)[0])


@pytest.mark.parametrize(
    ("text", "validator", "optional"),
    [
        ("v.string()", {"type": "string"}, False),
        (" v.string ( ) ", {"type": "string"}, False),
        ("v.float64()", {"type": "number"}, False),
        ("v.int64()", {"type": "bigint"}, False),
        ("v.commitTs()", {"type": "commitTs"}, False),
        ("v.function()", {"type": "function"}, False),
        ("v.optional(v.null(),)", {"type": "null"}, True),
        ("v.id('a\\'b')", {"type": "id", "tableName": "a'b"}, False),
        (r'v.id("\u0041\n\t\r\b\f\v\0\x")', {"type": "id", "tableName": "A\n\t\r\b\f\v\0x"}, False),
        ("v.literal(1.5)", {"type": "literal", "value": 1.5}, False),
        ("v.literal(-1e3)", {"type": "literal", "value": -1000}, False),
        ("v.literal(-1n)", {"type": "literal", "value": {"$integer": "//////////8="}}, False),
        ("v.literal(true)", {"type": "literal", "value": True}, False),
        ("v.literal(false)", {"type": "literal", "value": False}, False),
        ("v.array(v.any())", {"type": "array", "value": {"type": "any"}}, False),
        ("v.union(v.any(),)", {"type": "union", "value": [{"type": "any"}]}, False),
        (
            'v.nullable(v.id("a"))',
            {"type": "union", "value": [{"type": "id", "tableName": "a"}, {"type": "null"}]},
            False,
        ),
        (
            "v.record(v.string(), v.bytes())",
            {
                "type": "record",
                "keys": {"type": "string"},
                "values": {"fieldType": {"type": "bytes"}, "optional": False},
            },
            False,
        ),
        (
            "v.object({a: v.optional(v.any()), 'b c': v.boolean()})",
            {
                "type": "object",
                "value": {
                    "a": {"fieldType": {"type": "any"}, "optional": True},
                    "b c": {"fieldType": {"type": "boolean"}, "optional": False},
                },
            },
            False,
        ),
        ("v.object({})", {"type": "object", "value": {}}, False),
    ],
)
def test_a_text_is_the_backend_s_json(text: str, validator: ValidatorJson, optional: bool) -> None:
    read = parse_validator(text)
    assert read == (validator, optional)
    assert repr(read[0]) == repr(validator)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected v.something( at column 1, the text ends"),
        ("string", "expected v.something( at column 1, found 'string'"),
        ("v.string", "expected '(' at column 9, the text ends"),
        ("v.string(", "expected ')' at column 10, the text ends"),
        ("v.string() x", "expected the end at column 11, found 'x'"),
        ("v.array(v.strin())", "expected a validator that Convex has at column 9, found "
         "'v.strin())'"),
        ("v.id(users)", "expected a string in quotes at column 6, found 'users)'"),
        ("v.literal(x)", "expected a string in quotes at column 11, found 'x)'"),
        ("v.record(v.string())", "expected ',' at column 20, found ')'"),
        ("v.object({a v.any()})", "expected ':' at column 12, found 'v.any()})'"),
        ("v.object({a: v.any() b})", "expected '}' at column 21, found 'b})'"),
        ("v.object(v.any())", "expected '{' at column 10, found 'v.any())'"),
        ("v.union()", "expected v.something( at column 9, found ')'"),
        ("v.any(12345678901234567890123)", "expected ')' at column 7, found "
         "'12345678901234567890'"),
        ("v.array(v.optional(v.any()))", "v.optional() belongs directly on a field"),
        ("v.optional(v.optional(v.any()))", "v.optional() belongs directly on a field"),
        ("v.nullable(v.optional(v.any()))", "v.optional() belongs directly on a field"),
        ("v.record(v.string(), v.optional(v.any()))", "v.optional() belongs directly on a field"),
        ("v.array(" * 65 + "v.any()" + ")" * 65, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_validator_says_where(text: str, message: str) -> None:
    with pytest.raises(ValidatorSyntaxError) as caught:
        parse_validator(text)
    assert str(caught.value) == f"not a Convex validator: {message}"


def test_validators_nest_as_deep_as_is_said() -> None:
    validator, _ = parse_validator("v.array(" * 64 + "v.any()" + ")" * 64)
    assert show_validator(validator).count("v.array(") == 64


@pytest.mark.parametrize(
    "text",
    [
        "v.number()",
        "v.int64()",
        "v.commitTs()",
        "v.function()",
        "v.null()",
        'v.id("a\\"b")',
        'v.literal("é")',
        "v.literal(true)",
        "v.array(v.any())",
        "v.union(v.any(), v.null())",
        "v.object({})",
        "v.object({ a: v.optional(v.any()), b: v.bytes() })",
        "v.record(v.string(), v.boolean())",
        "v.optional(v.string())",
    ],
)
def test_a_validator_is_shown_as_it_is_written(text: str) -> None:
    validator, optional = parse_validator(text)
    assert show_validator(validator, optional=optional) == text


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("v.union(v.any(), v.any())", "v.any()", True),
        ("v.union(v.any(), v.null())", "v.any()", False),
        ("v.record(v.string(), v.any())", "v.record(v.string(), v.null())", False),
        ("v.record(v.string(), v.any())", "v.record(v.id('a'), v.any())", False),
        ("v.object({a: v.any()})", "v.object({b: v.any()})", False),
        ("v.object({a: v.any()})", "v.object({a: v.null()})", False),
        ("v.object({a: v.any()})", "v.object({a: v.any(), b: v.any()})", False),
        ("v.array(v.any())", "v.any()", False),
        ("v.literal('a')", "v.id('a')", False),
        ("v.literal(1)", "v.literal(2)", False),
        ("v.bytes()", "v.string()", False),
    ],
)
def test_what_is_compared(one: str, other: str, equal: bool) -> None:
    same = comparable(parse_validator(one)[0]) == comparable(parse_validator(other)[0])
    assert same is equal
