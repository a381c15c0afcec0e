"""Steps beside calls: documents, time, variables, loops, many at once; and what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from pydantic import JsonValue

from pytest_convex_eval.behaviour.interpreter import BlockFailure
from pytest_convex_eval.deployment.model import Deployed, FunctionResult, HttpAnswer, Table
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.behaviour.conftest import ScriptedDeployment

Take: TypeAlias = Callable[[object], list[BlockFailure]]


def failed(take: Take, steps: list[dict[str, Any]]) -> tuple[str, str, tuple[str, ...]]:
    """Of the one failure: its code, its summary, its lines."""
    (failure,) = take(steps)
    return failure.error.code, failure.error.summary, failure.error.lines


def args_sent(scripted: ScriptedDeployment) -> list[object]:
    return [each[3] for each in scripted.named("call")]


def test_documents_are_inserted_as_written_and_their_ids_saved(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    steps: list[dict[str, Any]] = [
        {"insert": {"users": [{"n": 1}, {"n": 2}]}, "save": "users"},
        {"insert": {"posts": [{"by": "${users[1]}", "all": ["${users}"]}]}},
        {"delete": ["${users[0]}", "x${users[1]}"]},
    ]
    assert take_scripted(steps) == []
    assert scripted.done[1:] == [
        ("insert", "users", [{"n": 1}, {"n": 2}]),
        ("insert", "posts", [{"by": "users1", "all": [["users0", "users1"]]}]),
        ("delete", ["users0", "xusers1"]),
    ]


REFUSED = "it does not match the schema: Value\nPath: .n\nValue: 5"


@pytest.mark.parametrize(
    ("throws", "end"),
    [
        (None, ("insert", "the table refuses the documents: it does not match the schema: Value",
                ("Path: .n", "Value: 5", 'inserted [{"n": 5}]'))),
        (True, None),
        ("SchemaValidationError", None),
        ("Path: .n", None),
        ({"error": "SchemaValidationError", "message": "Value: 5"}, None),
        ("ConvexError", ("other-error", f"the table refuses it: {REFUSED}", ())),
        ("Path: .m", ("other-error",
                      f'the error must say "Path: .m", and says: {REFUSED}', ())),
    ],
)  # fmt: skip
def test_documents_that_are_refused(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    throws: JsonValue,
    end: tuple[str, str, tuple[str, ...]] | None,
) -> None:
    scripted.raises["insert"] = ValueError(REFUSED)
    step: dict[str, Any] = {"insert": {"users": [{"n": 5}]}}
    if throws is not None:
        step["throws"] = throws
    if end is None:
        assert take_scripted([step]) == []
    else:
        assert failed(take_scripted, [step]) == end


def test_documents_that_should_be_refused_and_are_not(take_scripted: Take) -> None:
    step = {"insert": {"users": [{"n": 5}]}, "throws": True}
    lines = ('inserted [{"n": 5}]',)
    assert failed(take_scripted, [step]) == ("no-error", "the table must refuse it", lines)


def test_a_document_that_cannot_be_deleted_is_a_wrong_reference(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.raises["delete"] = ValueError("no such document\nand more")
    assert failed(take_scripted, [{"delete": ["u"]}]) == ("reference", "no such document", ())


DOCUMENTS: list[dict[str, JsonValue]] = [
    {"_id": "u1", "n": 1, "of": "a"},
    {"_id": "u2", "n": 2, "of": "a"},
    {"_id": "u3", "n": 3},
]


@pytest.mark.parametrize(
    "step",
    [
        {"count": 3},
        {"count": {"$gt": 2}},
        {"where": {"of": "a"}, "count": 2},
        {"where": {"of": {"$absent": True}}, "documents": [{"n": 3}]},
        {"documents": [{"n": 3}, {"n": 1}, {"n": 2}]},
        {"where": {"n": "${three}"}, "documents": [{"_id": "u3"}]},
        {"contains": [{"of": "a"}, {"of": "a", "n": 1}]},
        {"where": {"n": 9}, "count": 0, "documents": []},
        {"contains": [{"_id": {"$id": "users"}}]},
    ],
)
def test_a_table_that_is_as_expected_passes(
    take_scripted: Take, scripted: ScriptedDeployment, step: dict[str, Any]
) -> None:
    scripted.tables["users"] = DOCUMENTS
    scripted.results["a:three"] = [FunctionResult(3)]
    assert take_scripted([{"query": "a:three", "save": "three"}, {"table": "users", **step}]) == []


ALL = (
    'documents of users: [{"_id": "u1", "n": 1, "of": "a"}, {"_id": "u2", "n": 2, "of": "a"}, '
    '{"_id": "u3", "n": 3}]'
)


@pytest.mark.parametrize(
    ("step", "summary", "lines"),
    [
        ({"count": 2}, "count: expected 2, got 3", (ALL,)),
        ({"count": None}, "count: expected null, got 3", (ALL,)),
        ({"where": {"n": 3}, "count": 2}, "count: expected 2, got 1",
         ('documents of users: [{"_id": "u3", "n": 3}]',)),
        ({"contains": [{"n": 1}, {"n": 1}]}, 'no document matches {"n": 1}', (ALL,)),
        ({"contains": [{"n": 1}, {"n": 4}]}, 'no document matches {"n": 4}', (ALL,)),
        ({"where": {"n": 9}, "documents": [{"n": 1}]}, "documents of users: expected 1 item, got 0",
         ("documents of users: []", 'documents of users: no item matches {"n": 1}',
          "- expected  + got", "-[", "-  {", '-    "n": 1', "-  }", "-]", "+[]")),
    ],
)  # fmt: skip
def test_a_table_that_differs_is_told(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    step: dict[str, Any],
    summary: str,
    lines: tuple[str, ...],
) -> None:
    scripted.tables["users"] = DOCUMENTS
    told = failed(take_scripted, [{"table": "users", **step}])
    assert told == ("table", summary, lines)


def test_the_documents_that_are_looked_at_are_saved(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.tables["users"] = DOCUMENTS
    steps: list[dict[str, Any]] = [
        {"table": "users", "where": {"of": "a"}, "save": "few"},
        {"query": "a:b", "args": {"x": "${few}"}},
    ]
    assert take_scripted(steps) == []
    assert args_sent(scripted) == [{"x": DOCUMENTS[:2]}]


def test_ids_are_looked_up_once_a_step_and_anew_in_the_next(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.tables = {"users": DOCUMENTS[:1], "posts": []}
    ids: JsonValue = ["u1", "u1"]
    scripted.results["a:ids"] = [FunctionResult(ids)]
    both = {"query": "a:ids", "returns": {"$each": {"$id": "users"}}}
    assert take_scripted([both]) == []
    assert scripted.named("documents") == [("documents", "users")]

    def lose() -> None:
        scripted.tables = {"users": []}

    scripted.on_call = lose
    look = {"table": "users", "contains": [{"_id": {"$id": "users"}}]}
    code, summary, _ = failed(take_scripted, [look, both])
    assert (code, summary) == ("returns", 'returns[0]: expected {"$id": "users"}, got "u1"')


def test_time_moves_for_the_deployment_and_for_references(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    call: dict[str, Any] = {"query": "a:b", "args": {"now": "${now}", "start": "${start}"}}
    steps: list[dict[str, Any]] = [
        call,
        {"advance": "1d"},
        call,
        {"repeat": 1, "steps": [{"advance": "1d1ms"}, call]},
        call,
    ]
    block = {"name": "a block", "at": "2030-01-01T00:00:00Z", "steps": steps}
    assert take_scripted([block]) == []
    assert scripted.named("advance") == [("advance", 86400.0), ("advance", 86400.001)]
    start = 1893456000000
    times: list[Any] = args_sent(scripted)
    assert [each["start"] for each in times] == [start] * 4
    # Hours are left for the slowest of machines.
    days = [(each["now"] - start) / 86_400_000 for each in times]
    assert [int(day) for day in days] == [0, 1, 2, 2]
    assert days == sorted(days)


def test_a_scheduled_function_that_fails_is_told_unless_it_may(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.scheduled = [
        "a:may: Uncaught Error: fine",
        "a:not: Uncaught Error: a: b\n    at x (../convex/a.ts:1:1)\n"
        "    at y (../node_modules/z/q.js:1:1)",
    ]
    assert take_scripted([{"advance": "1s", "fails": ["a:not", "a:may"]}]) == []
    (failure,) = take_scripted([{"advance": "1s", "fails": ["a:may"]}])
    assert failure.step == "advance 1s"
    assert failure.error.code == "scheduled"
    assert failure.error.summary == "a scheduled function failed: a:not: Uncaught Error: a: b"
    assert failure.error.lines == ("    at x (convex/a.ts:1:1)",)
    summary = failed(take_scripted, [{"advance": "1s", "fails": ["a:not"]}])[1]
    assert summary == "a scheduled function failed: a:may: Uncaught Error: fine"


def test_loops_count_name_and_nest(take_scripted: Take, scripted: ScriptedDeployment) -> None:
    call: dict[str, Any] = {"query": "a:b", "args": {"at": "${index}"}}
    named = {"query": "a:b", "args": {"it": "${each}", "at": "${index}"}, "save": "last"}
    scripted.results["a:b"] = [FunctionResult(number) for number in range(8)]
    steps: list[dict[str, Any]] = [
        {"repeat": 2, "steps": [{**call, "save": "first"}]},
        {
            "each": ["${first}", {"deep": ["${first}"]}],
            "steps": [{"repeat": 1, "steps": [call]}, named],
        },
        {"query": "a:b", "args": {"last": "${last}"}},
    ]
    assert take_scripted(steps) == []
    assert args_sent(scripted) == [
        {"at": 0},
        {"at": 1},
        {"at": 0},
        {"it": 1, "at": 0},
        {"at": 0},
        {"it": {"deep": [1]}, "at": 1},
        {"last": 5},
    ]


@pytest.mark.parametrize(
    ("returns", "summary"),
    [
        ([1, 2, 1, 2], None),
        ({"$unordered": [2, 2, 1, 1]}, None),
        ({"$equal": True}, "returns[1]: expected the same as the first, 1, got 2"),
        ([1, 2], "returns: expected 2 items, got 4"),
    ],
)
def test_what_calls_at_once_return_can_be_looked_at_together(
    take_scripted: Take, scripted: ScriptedDeployment, returns: object, summary: str | None
) -> None:
    scripted.results = {"a:one": [FunctionResult(1)], "a:two": [FunctionResult(2)]}
    calls = [{"query": "a:one"}, {"query": "a:two"}]
    failures = take_scripted([{"parallel": calls, "times": 2, "returns": returns}])
    assert [failure.error.summary for failure in failures] == [summary] * (summary is not None)


@pytest.mark.parametrize(
    ("name", "schema", "summary"),
    [
        ("nosuch", True, "there is no table 'nosuch' (deployed: users)"),
        ("users", True, None),
        ("_storage", True, None),
        ("_scheduled_functions", True, None),
        # Without a schema a table is there from its first document on.
        ("nosuch", False, None),
    ],
)
def test_a_table_that_is_not_there_has_not_no_documents(
    take_scripted: Take,
    scripted: ScriptedDeployment,
    name: str,
    schema: bool,
    summary: str | None,
) -> None:
    tables = (Table("users", None, (), (), ()),) if schema else ()
    scripted.schema = Deployed(has_schema=schema, tables=tables)
    failures = take_scripted([{"table": name, "count": 0}])
    found = [(failure.error.code, failure.error.summary) for failure in failures]
    assert found == [("table", summary)] * (summary is not None)


def test_calls_at_once_are_all_made_before_any_is_judged(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    together = threading.Barrier(4)

    def meet() -> None:
        together.wait(HANG_SECONDS)

    scripted.on_call = meet
    scripted.results = {
        "a:no": [FunctionResult(error="Uncaught Error: no")],
        "a:yes": [FunctionResult("yes")],
    }
    steps: list[dict[str, Any]] = [
        {
            "parallel": [
                {"mutation": "a:no", "throws": "no"},
                {"query": "a:yes", "save": "said", "returns": "yes"},
            ],
            "times": 2,
        },
        {"table": "t"},
    ]
    assert take_scripted(steps) == []
    assert sorted(str(each[2]) for each in scripted.named("call")) == [
        "a:no",
        "a:no",
        "a:yes",
        "a:yes",
    ]


def test_what_calls_at_once_return_is_saved(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results = {"a:one": [FunctionResult(1)], "a:sum": [FunctionResult(3)]}
    scripted.answers = [HttpAnswer(200, (), b"[2]")]
    steps: list[dict[str, Any]] = [
        {
            "parallel": [
                {"action": "a:one", "save": "one"},
                {"http": {"path": "/two"}, "save": "two"},
            ]
        },
        {"query": "a:sum", "args": {"one": "${one}", "two": "${two}"}},
    ]
    assert take_scripted(steps) == []
    assert args_sent(scripted)[-1] == {"one": 1, "two": [2]}


def test_the_first_of_several_calls_that_fails_is_told_at_its_place(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.answers = [HttpAnswer(500, (), b"")]
    calls = [{"query": "a:b"}, {"http": {"method": "POST", "path": "/x"}, "status": 200}]
    (failure,) = take_scripted([{"parallel": calls, "times": 2}])
    assert failure.step == "POST /x"
    assert failure.location == ("behaviour", 0, "steps", 0, "parallel", 1)
    assert failure.error.summary == "status: expected 200, got 500"


@pytest.mark.parametrize(("succeed", "passes"), [(2, True), ({"$gte": 2}, True), (3, False)])
def test_how_many_of_several_calls_succeed_is_counted_and_their_ends_told(
    take_scripted: Take, scripted: ScriptedDeployment, succeed: JsonValue, passes: bool
) -> None:
    scripted.results = {
        "a:no": [
            FunctionResult(error="[Request ID: 1] Server Error\nUncaught Error: no\n    at b")
        ],
        "a:yes": [FunctionResult({"a": 1})],
    }
    scripted.answers = [
        HttpAnswer(399, (), b""),
        HttpAnswer(400, (), b""),
        HttpAnswer(400, (), b""),
    ]
    calls: list[dict[str, Any]] = [
        {"mutation": "a:no"},
        {"query": "a:yes"},
        *({"http": {"path": "/x"}} for _ in range(3)),
    ]
    steps = [{"parallel": calls, "succeed": succeed}]
    if passes:
        assert take_scripted(steps) == []
        return
    code, summary, lines = failed(take_scripted, steps)
    assert (code, summary) == ("race", "succeed: expected 3, got 2")
    assert lines == (
        "2 answered 400",
        "1 failed: Uncaught Error: no",
        '1 returned {"a": 1}',
        "1 answered 399",
    )


def test_no_more_than_ten_ends_of_a_race_are_told(
    take_scripted: Take, scripted: ScriptedDeployment
) -> None:
    scripted.results["a:b"] = [FunctionResult(number) for number in range(12)]
    steps = [{"parallel": [{"query": "a:b"}], "times": 11, "succeed": 0}]
    assert len(failed(take_scripted, steps)[2]) == 10


@pytest.mark.parametrize(
    ("step", "title"),
    [
        ({"query": "a:b", "args": {"x": "${no}"}}, "query a:b"),
        ({"mutation": "a:b", "args": {"x": "${no}"}}, "mutation a:b"),
        ({"action": "a:b", "args": {"x": "${no}"}}, "action a:b"),
        ({"paginate": "a:b", "args": {"x": "${no}"}}, "paginate a:b"),
        ({"http": {"method": "PUT", "path": "/${no}"}}, "PUT /${no}"),
        ({"http": {"url": "${no}"}}, "GET ${no}"),
        ({"insert": {"users": [{"x": "${no}"}]}}, "insert into users"),
        ({"table": "users", "where": {"x": "${no}"}}, "table users"),
        ({"delete": ["${no}"]}, "delete"),
        ({"upload": {"to": "${no}", "text": ""}}, "upload"),
        ({"env": {"X": "${no}"}}, "env"),
        ({"each": ["${no}"], "steps": [{"query": "a:b"}]}, "each"),
        ({"parallel": [{"query": "a:b", "args": {"x": "${no}"}}]}, "parallel"),
    ],
)
def test_each_kind_of_step_is_named_where_it_fails(
    take_scripted: Take, step: dict[str, Any], title: str
) -> None:
    (failure,) = take_scripted([{"query": "a:b"}, step])
    assert (failure.step, failure.error.code) == (title, "reference")
    assert failure.location == ("behaviour", 0, "steps", 1)
    assert failure.error.summary == "${no}: nothing is saved as 'no'"
