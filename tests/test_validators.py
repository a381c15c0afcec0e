"""Validators as text, as the backend's JSON, and compared."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.validators import (
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
