"""`${...}`: what it stands for, and that nothing it can hold raises anything unexpected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from pytest_convex_eval.behaviour.references import ReferenceFailedError, resolve, roots_in
from pytest_convex_eval.behaviour.scope import Scope

SAVED: dict[str, JsonValue] = {
    "post": "id1",
    "users": ["u1", {"_id": "u2", "tags": ["a", "b"]}],
    "count": 3,
    "big": {"$integer": "BQAAAAAAAAA="},
}


def lookup(root: str) -> JsonValue:
    return SAVED[root]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${post}", "id1"),
        ("${users[0]}", "u1"),
        ("${users[-1]._id}", "u2"),
        ("${users[1].tags[1]}", "b"),
        ("${ count + 1 }", 4),
        ("${count - 2s}", 3 - 2000),
        ("${count+1h30m}", 3 + 5_400_000),
        ("is ${post} and ${count}", "is id1 and 3"),
        ("$${post}", "${post}"),
        ("${users}", SAVED["users"]),
        ("no reference", "no reference"),
    ],
)
def test_what_a_text_stands_for(text: str, value: JsonValue) -> None:
    assert resolve(text, lookup) == value
    assert resolve({"a": [text]}, lookup) == {"a": [value]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${nobody}", "nothing is saved as 'nobody'"),
        ("${users[7]}", "users has no [7]"),
        ("${post.title}", "post has no title"),
        ("${users[1].tags[9]}", "users[1].tags has no [9]"),
        ("${post + 1}", "post is no number"),
        ("${count + 1x}", "is no duration"),
        ("${}", "is no reference"),
        ("${a b}", "is no reference"),
    ],
)
def test_what_leads_to_nothing_says_where_it_ended(text: str, message: str) -> None:
    with pytest.raises(ReferenceFailedError) as caught:
        resolve(text, lookup)
    assert message in str(caught.value)


@given(st.text("${}abc[]0.+-1 users", max_size=20))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        resolve(text, lookup)
        list(roots_in(text))
    except (ReferenceFailedError, ValueError):
        pass
    with pytest.raises(ReferenceFailedError, match="nothing is saved as 'nobody'"):
        resolve(text.replace("$", "") + "${nobody}", lookup)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${seven * 3}", 21),
        ("${seven / 2}", 3.5),
        ("${seven / 7}", 1),
        ("${seven % 4}", 3),
        ("${seven - 8}", -1),
        ("row ${seven % 2}", "row 1"),
    ],
)
def test_numbers_are_counted_with(text: str, value: object) -> None:
    found = resolve(text, {"seven": 7}.__getitem__)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("sign", ["/", "%"])
def test_nothing_is_divided_by_zero(sign: str) -> None:
    with pytest.raises(ReferenceFailedError, match="a division by zero"):
        resolve(f"${{seven {sign} 0}}", {"seven": 7}.__getitem__)


def test_a_text_can_be_repeated_in_what_is_sent_and_in_what_is_expected() -> None:
    scope = Scope({}, 0.0, 0, {"x": "ab", "n": 3})
    value: dict[str, Any] = {"text": {"$repeat": ["${x}", "${n}"]}}
    assert scope.given(value) == {"text": "ababab"}
    assert scope.expected(value) == {"text": "ababab"}


@pytest.mark.parametrize("given", [["x"], ["x", -1], [5, 5], ["x", 20_000_001], ["x", "y"], "x"])
def test_what_can_t_be_repeated_is_told(given: Any) -> None:
    with pytest.raises(ReferenceFailedError, match=r"^\$repeat takes a text and how often"):
        resolve({"$repeat": given}, lookup)


def test_the_deployment_s_addresses_have_names() -> None:
    scope = Scope({}, 0.0, 0, deployment={"url": "http://a", "site": "http://b"})
    assert scope.given("${deployment.url} ${deployment.site}") == "http://a http://b"
    assert scope.inner(each=1, index=1).given("${deployment.site}/hook") == "http://b/hook"


def test_the_roots_of_a_step_are_found_wherever_they_stand() -> None:
    step: dict[str, Any] = {"a": ["${post}", {"b": "x ${users[0]}"}], "c": ("${now + 1h}", 5)}
    assert list(roots_in(step)) == ["post", "users", "now"]


def test_what_was_saved_stands_for_itself_when_it_is_compared() -> None:
    scope = Scope({}, 0.0, 0, dict(SAVED))
    from pytest_convex_eval.behaviour.matching import mismatches

    assert not mismatches(scope.expected("${big}"), SAVED["big"], lambda _: ())


def test_identities_and_loops() -> None:
    scope = Scope({"weather": "http://127.0.0.1:1"}, 0.0, 5, {})
    assert scope.given("${identity.ada.tokenIdentifier}") == "https://auth.example.com|ada"
    assert scope.given("${services.weather}/today") == "http://127.0.0.1:1/today"
    assert scope.given("${start}") == 5
    inner = scope.inner(each={"x": 1}, index=2)
    assert inner.given(["${each.x}", "${index + 1}"]) == [1, 3]
    inner.saved["later"] = "seen"
    assert scope.given("${later}") == "seen"
    before = scope.given("${now}")
    inner.advance(3600)
    after = scope.given("${now}")
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after - before >= 3_600_000
