"""How mismatches, differences and values are put into words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import JsonValue

from pytest_convex_eval.behaviour.differences import difference
from pytest_convex_eval.behaviour.durations import seconds_of
from pytest_convex_eval.behaviour.failures import StepFailedError, compare, log_block
from pytest_convex_eval.behaviour.matching import assign, check_matcher, mismatches
from pytest_convex_eval.behaviour.references import ReferenceFailedError
from pytest_convex_eval.behaviour.scope import Scope, identity_of
from pytest_convex_eval.behaviour.values import ABSENT, Verbatim, int64_of, same, show, type_of

FIVE: JsonValue = {"$integer": "BQAAAAAAAAA="}


def ids_of(table: str) -> tuple[str, ...]:
    return ("p1", "p2") if table == "posts" else ()


def told(expected: Any, actual: JsonValue) -> list[str]:
    return [f"{each.path}: {each.message}" for each in mismatches(expected, actual, ids_of)]


@pytest.mark.parametrize(
    ("expected", "actual", "messages"),
    [
        (1, 2, [": expected 1, got 2"]),
        ("a", None, [': expected "a", got null']),
        (Verbatim(FIVE), 5, [': expected "5n", got 5']),
        ({"a": 1, "b": 2}, {"a": 2},
         ["a: expected 1, got 2", "b: expected 2, and it is not there"]),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, ["a.b[0]: expected 1, got 2"]),
        ({"a": 1}, [1], [": expected an object, got [1]"]),
        ({"a": 1}, FIVE, [': expected an object, got "5n"']),
        ({}, FIVE, [': expected an object, got "5n"']),
        ([1], {"a": 1}, [': expected a list, got {"a": 1}']),
        ([1], "1", [': expected a list, got "1"']),
        ([1, 2], [3], [": expected 2 items, got 1", "[0]: expected 1, got 3"]),
        ([[1]], [[2, 3]], ["[0]: expected 1 item, got 2", "[0][0]: expected 1, got 2"]),
        ({"a": {"$any": True}}, {}, ['a: expected {"$any": true}, and it is not there']),
        ({"a": {"$absent": True}}, {"a": None}, ["a: must not be there, and is null"]),
        ({"a": {"$not": 1}}, {"a": 1}, ["a: must not be 1, and is 1"]),
        ({"a": {"$not": {"$absent": True}}}, {},
         ['a: must not be {"$absent": true}, and is nothing']),
        ({"$type": "string"}, 1, [': expected {"$type": "string"}, got 1']),
        ({"$id": "posts"}, "u1", [': expected {"$id": "posts"}, got "u1"']),
        ({"$id": "posts"}, ["p1"], [': expected {"$id": "posts"}, got ["p1"]']),
        ({"$int64": 6}, FIVE, [': expected {"$int64": 6}, got "5n"']),
        ({"$matches": "^b"}, "ab", [': expected {"$matches": "^b"}, got "ab"']),
        ({"$one_of": [1, 2]}, 3, [': expected {"$one_of": [1, 2]}, got 3']),
        ({"$approx": 1}, 2, [': expected {"$approx": 1}, got 2']),
        ({"$gt": 1, "$lt": 0}, 1, [': expected {"$gt": 1}, got 1', ': expected {"$lt": 0}, got 1']),
        ({"$exact": {"a": 1}}, {"a": 2, "b": {"c": 3}},
         ["a: expected 1, got 2", 'b: is not expected, and is {"c": 3}']),
        ({"x": {"$exact": {}}}, {"x": {"b": 3}}, ["x.b: is not expected, and is 3"]),
        ({"$exact": {"a": 1}}, 5, [": expected an object, got 5"]),
        ({"$unordered": [1, 2]}, [2, 3, 4], [": expected 2 items, got 3", ": no item matches 1"]),
        ({"$unordered": [1]}, 1, [": expected a list, got 1"]),
        ({"$contains": [1, {"a": 2}]}, [{"a": 3}],
         [": no item matches 1", ': no item matches {"a": 2}']),
        ({"$contains": {"a": 2}}, [2], [': no item matches {"a": 2}']),
        ({"$contains": "ab"}, ["abc"], [': no item matches "ab"']),
        ({"$contains": "ab"}, "cab?", []),
        ({"$contains": Verbatim("ab")}, "ba", [': expected a text with "ab", got "ba"']),
        ({"$contains": 1}, 1, [": expected a list, got 1"]),
        ({"$each": {"a": 1}}, [{"a": 1}, {"a": 2}, {}],
         ["[1].a: expected 1, got 2", "[2].a: expected 1, and it is not there"]),
        ({"$each": 1}, {"a": 1}, [': expected a list, got {"a": 1}']),
        ({"x": {"$length": 2}}, {"x": "abc"}, ["x: length: expected 2, got 3"]),
        ({"$length": 2}, {"a": 1}, [': expected a list or a text, got {"a": 1}']),
        ({}, {"a": 1}, []),
    ],
)  # fmt: skip
def test_what_differs_is_told_at_its_place(
    expected: Any, actual: JsonValue, messages: list[str]
) -> None:
    assert told(expected, actual) == messages


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        ({"$gt": 1}, [1.5], [1, 0, True]),
        ({"$gte": 1}, [1, 1.0, 2], [0.9]),
        ({"$lt": 1}, [0, -5], [1, 2]),
        ({"$lte": "b"}, ["a", "b"], ["c", "ba", 0]),
        ({"$gte": Verbatim("b")}, ["b", "c"], ["a"]),
        ({"$gt": True}, [], [2, False]),
        ({"$approx": 1.5}, [1.5, 1.5000005], [1.500002, "1.5", True]),
        ({"$approx": 10, "$within": 2}, [8, 12], [7.9, 12.1]),
        ({"$approx": Verbatim(1), "$within": Verbatim(1)}, [0, 2], [3]),
        ({"$approx": "1"}, [], [1, "1"]),
        ({"$approx": 1, "$within": "1"}, [], [1]),
        ({"$type": "number"}, [0, -0.5, {"$float": "AAAAAAAAAIA="}], [FIVE]),
        ({"$type": "boolean"}, [True, False], [1, "true"]),
        ({"$type": "list"}, [[], [1]], [{}, "[]"]),
        ({"$type": "object"}, [{}, {"a": 1}, {"$bytes": "", "a": 1}], [[], FIVE, {"$bytes": ""}]),
        ({"$type": "bytes"}, [{"$bytes": ""}], ["", {"bytes": ""}]),
        ({"$type": "string"}, ["", "1"], [1, None]),
        ({"$int64": Verbatim(5)}, [FIVE], [5]),
        ({"$id": "posts"}, ["p1", "p2"], ["p3"]),
        ({"$not": {"$one_of": [1, "a"]}}, [2, "b"], [1, "a"]),
        ({"a": {"$not": 1}}, [{"a": 2}, {}], [{"a": 1}]),
        ({"a": {"$any": True}}, [{"a": None}], [{}]),
        (None, [None], [0, False, "", [], {}]),
        ([], [[]], [[1], {}, ""]),
    ],
)
def test_what_operators_let_through(
    expected: Any, good: list[JsonValue], bad: list[JsonValue]
) -> None:
    check_matcher(expected)
    assert bad
    assert [bool(told(expected, value)) for value in good] == [False] * len(good)
    assert [bool(told(expected, value)) for value in bad] == [True] * len(bad)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True), (0, -0.0, True), (1, True, False), (0, False, False), (True, True, True),
        ([1, [2]], [1.0, [2]], True), ([1], [1, 2], False), ([True], [1], False),
        ({"a": 1}, {"a": 1.0}, True), ({"a": 1}, {"b": 1}, False), ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False), ("1", 1, False), (None, None, True),
    ],
)  # fmt: skip
def test_one_number_is_one_number_and_no_truth(one: object, other: object, equal: bool) -> None:
    assert same(one, other) is equal


def test_as_many_items_as_possible_find_their_own() -> None:
    # The third takes the second's place, which takes the first's.
    expected: list[Any] = [{"$lt": 9}, {"$lt": 3}, {"$lt": 2}]
    assert assign(expected, [1, 2, 8], ids_of) == [2, 1, 0]
    assert assign(expected, [1], ids_of).count(None) == 2
    assert assign([], [1], ids_of) == []


@pytest.mark.parametrize(
    ("matcher", "message"),
    [
        ({"$zzzzzz": 1}, "unknown operator '$zzzzzz'; known: $any, $absent, $type, $id, $exact, "
         "$unordered, $contains, $each, $length, $matches, $approx, $within, $gt, $gte, $lt, $lte, "
         "$not, $one_of, $int64, $equal, $repeat"),
        ({"a": {"b": [1, {"$gtt": 1}]}}, "a.b[1]: unknown operator '$gtt'; did you mean '$gt'?"),
        ({"a": 1, "$gt": 1}, "$gt stands among plain fields; use it alone"),
        ({"$absent": False}, "write $absent: true"),
        ({"$type": "int"}, "$type is one of string, number, boolean, null, list, object, int64, "
         "bytes"),
        ({"$one_of": {}}, "$one_of takes a list"),
        ({"$exact": 5}, "$exact takes a mapping"),
        ({"$id": 5}, "$id takes a text"),
        ({"$matches": 5}, "$matches takes a text"),
        ({"x": {"$matches": "["}},
         "x: $matches: not a pattern: unterminated character set at position 0"),
        ({"$not": {"$any": 1}}, "$not: write $any: true"),
        ({"x": {"$within": 1, "$gt": 0}}, "x: $within goes with $approx"),
        ({"$equal": False}, "write $equal: true"),
        ({"$repeat": ["x"]}, "$repeat takes a text and how often it stands there"),
        ({"$repeat": ["x", True]}, "$repeat takes a text and how often it stands there"),
        ([{2: 1}], "[0]: the key 2 must be a text"),
    ],
)  # fmt: skip
def test_a_matcher_that_is_none_is_told_whole(matcher: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_matcher(matcher)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "shown", "kind"),
    [
        (FIVE, '"5n"', "int64"),
        ({"$integer": "x"}, '{"$integer": "x"}', "int64"),
        ({"$integer": "BQ=="}, '{"$integer": "BQ=="}', "int64"),
        ({"$integer": "BQAAAAAAAAA=", "a": 1}, '{"$integer": "BQAAAAAAAAA=", "a": 1}', "object"),
        ({"a": [FIVE, "é"]}, '{"a": ["5n", "é"]}', "object"),
        ({"other": 1}, '{"other": 1}', "object"),
        ("x" * 198, f'"{"x" * 198}"', "string"),
        ("x" * 199, f'"{"x" * 196}...', "string"),
    ],
)
def test_values_as_people_read_them(value: JsonValue, shown: str, kind: str) -> None:
    assert show(value) == show(Verbatim(value)) == shown
    assert type_of(value) == kind


def test_what_is_not_there_is_nothing() -> None:
    assert show(ABSENT) == "nothing"
    assert int64_of({"$integer": "//////////8="}) == -1
    assert int64_of({}) is None
    assert int64_of([FIVE]) is None


DIFFERENCES: list[tuple[Any, JsonValue, str]] = [
    # What matches is shown as it came.
    ({"a": {"$any": True}, "b": 1}, {"b": 2, "a": 5, "c": 6},
     ' {\n-  "b": 1,\n+  "b": 2,\n   "a": 5,\n   "c": 6\n }'),
    ({"a": {"$absent": True}}, {"a": 1},
     ' {\n-  "a": {\n-    "$absent": true\n-  }\n+  "a": 1\n }'),
    ({"a": {"$absent": True}, "b": 1}, {"b": 2}, ' {\n-  "b": 1\n+  "b": 2\n }'),
    ({"a": 1}, {}, '-{\n-  "a": 1\n-}\n+{}'),
    ({"a": Verbatim(FIVE)}, {"a": 5}, ' {\n-  "a": "5n"\n+  "a": 5\n }'),
    ([1, {"$any": True}, 3], [1, 2], " [\n   1,\n-  2,\n-  3\n+  2\n ]"),
    ([1], [2, 3], " [\n-  1\n+  2,\n+  3\n ]"),
    ({"$unordered": [3, {"$gt": 8}, 1]}, [1, 2, 3],
     ' [\n   1,\n-  3,\n-  {\n-    "$gt": 8\n-  }\n+  2,\n+  3\n ]'),
    ({"$unordered": [1]}, {"a": 1}, ' {\n-  "$unordered": [\n-    1\n-  ]\n+  "a": 1\n }'),
    ({"$length": 1}, [], '-{\n-  "$length": 1\n-}\n+[]'),
    ("é", ["é"], '-"é"\n+[\n+  "é"\n+]'),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "actual", "lines"), DIFFERENCES)
def test_a_difference_shows_only_what_differs(expected: Any, actual: JsonValue, lines: str) -> None:
    assert difference(expected, actual, ids_of) == lines


@pytest.mark.parametrize(("items", "last"), [(37, "+]"), (38, "... and 1 more lines")])
def test_a_long_difference_is_cut(items: int, last: str) -> None:
    lines = difference([], [*range(items)], ids_of).splitlines()
    assert lines[-1] == last
    assert len(lines) == min(items + 3, 41)


@pytest.mark.parametrize(("count", "more"), [(6, []), (7, ["... and 1 more differences"])])
def test_a_comparison_tells_the_first_difference_and_a_few_more(
    count: int, more: list[str]
) -> None:
    wanted: dict[str, JsonValue] = {f"k{number}": 1 for number in range(count)}
    with pytest.raises(StepFailedError) as raised:
        compare("returns", "it", Scope({}, 0, 0).expected(wanted), {}, ids_of, ["sent"])
    error = raised.value
    assert error.code == "returns"
    assert str(error) == error.summary == "it.k0: expected 1, and it is not there"
    listed = [f"it.k{number}: expected 1, and it is not there" for number in range(1, 6)]
    assert list(error.lines[: 7 + len(more)]) == ["sent", *listed, *more, "- expected  + got"]


def test_a_failure_stays_at_the_innermost_place() -> None:
    error = StepFailedError("error", "no")
    assert (error.lines, error.location) == ((), ())
    assert error.at(("a", 1)) is error
    assert error.at(("b",)).location == ("a", 1)


def test_the_last_of_many_log_lines_are_shown() -> None:
    assert log_block([]) == []
    assert log_block(["a"]) == ["it logged:", "  a"]
    assert log_block([str(number) for number in range(22)])[:2] == ["it logged:", "  2"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("61s", 61), ("1.5m", 90), ("2h", 7200), ("1d12h", 129_600), ("1s1ms", 1.001)],
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "-1s", "1s ", "1w", "1.s", "x1s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        seconds_of(text)
    assert str(caught.value) == f"{text!r} is no duration; write it like 500ms, 61s, 2h or 1d12h"


def test_who_calls() -> None:
    issuer = "https://auth.example.com"
    assert identity_of(None) is None
    assert identity_of("ada") == {"subject": "ada", "issuer": issuer}
    assert identity_of({"a": 1}) == {"a": 1, "issuer": issuer}
    assert identity_of({"issuer": "x"}) == {"issuer": "x"}
    whole = {"subject": "a", "issuer": issuer, "tokenIdentifier": f"{issuer}|a"}
    assert Scope({}, 0, 0).given("${identity.a}") == whole


def test_saved_values_stand_for_themselves_and_texts_for_what_they_say() -> None:
    scope = Scope({"s": "http://x"}, 0, 7, {"op": {"$any": True}, "n": 5})
    assert scope.expected(["${op}", {"a": "${n}"}, "at ${n}", 3, None]) == [
        Verbatim({"$any": True}),
        {"a": Verbatim(5)},
        "at 5",
        3,
        None,
    ]
    assert scope.text("${n}") == "5"
    assert scope.given("${services}") == {"s": "http://x"}
    assert scope.given("${start}") == 7
    # A saved name hides what the harness knows, and a loop's names hide saved ones.
    scope.saved.update(start=1, each=2, index=3)
    assert scope.given(["${start}", "${each}"]) == [1, 2]
    each = scope.inner(each="e", index=0)
    assert each.given(["${each}", "${index}", "${n}"]) == ["e", 0, 5]
    assert each.inner(each="f", index=1).given(["${each}", "${index}"]) == ["f", 1]
    # What is repeated has a number, and the value of the loop around it.
    assert each.inner(index=7).given(["${each}", "${index}"]) == ["e", 7]
    del scope.saved["each"]
    with pytest.raises(ReferenceFailedError):
        scope.inner(index=7).given("${each}")
