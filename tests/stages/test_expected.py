"""What is deployed held against what is expected, where the two nearly agree; nothing is pushed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytest_convex_eval.deployment.model import (
    Cron,
    Deployed,
    Function,
    Index,
    Route,
    SearchIndex,
    Table,
    VectorIndex,
)
from pytest_convex_eval.expectations.deployed_matches import compare
from pytest_convex_eval.expectations.model import Expectations

STRING: Mapping[str, Any] = {"type": "string"}


def of_fields(**fields: bool) -> dict[str, Any]:
    """An object of strings; whether each is optional."""
    return {
        "type": "object",
        "value": {name: {"fieldType": STRING, "optional": each} for name, each in fields.items()},
    }


TABLE = Table(
    "notes",
    of_fields(author=False, text=True),
    (Index("by_author", ("author", "text"), False), Index("later", ("text",), True)),
    (SearchIndex("search", "text", ("author", "kind")),),
    (VectorIndex("near", "place", 8, ("author",)),),
)
LIST = Function("notes:list", "query", "public", of_fields(author=False, limit=True), None, None)


def codes(expect: Mapping[str, Any], deployed: Deployed) -> list[str]:
    findings = compare(Expectations.model_validate(expect), deployed)
    assert {finding.severity for finding in findings} <= {"error"}
    return [finding.code.removeprefix("deploy/") for finding in findings]


def of_table(wanted: Mapping[str, Any], table: Table = TABLE) -> list[str]:
    return codes({"tables": {"notes": wanted}}, Deployed(tables=(table,)))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"indexes": [["author"]]}, []),
        ({"indexes": [["author", "text"]]}, []),
        # An index that is staged can't be used.
        ({"indexes": [["text"]]}, ["index-missing"]),
        ({"indexes": [["text", "author"]]}, ["index-missing"]),
        ({"search_indexes": [{"field": "text"}]}, []),
        ({"search_indexes": [{"field": "text", "filters": ["kind"]}]}, []),
        ({"search_indexes": [{"field": "text", "filters": ["kind", "author"]}]}, []),
        ({"search_indexes": [{"field": "text", "filters": ["kind", "x"]}]},
         ["search-index-missing"]),
        ({"vector_indexes": [{"field": "place"}]}, []),
        ({"vector_indexes": [{"field": "place", "dimensions": 8, "filters": ["author"]}]}, []),
        ({"vector_indexes": [{"field": "place", "dimensions": 8, "filters": ["kind"]}]},
         ["vector-index-missing"]),
        ({"vector_indexes": [{"field": "text", "dimensions": 8}]}, ["vector-index-missing"]),
        ({"fields": {"author": "v.string()", "text": "v.optional(v.string())"}}, []),
        ({"fields": {"author": "v.optional(v.string())"}}, ["field-validator"]),
        ({"fields": {"text": "v.string()"}}, ["field-validator"]),
        ({"absent_fields": ["author", "other", "text"]}, ["field-forbidden", "field-forbidden"]),
        ({"fields": {"a": "v.any()", "b": "v.any()"}, "indexes": [["z"]]},
         ["field-missing", "field-missing", "index-missing"]),
    ],
)  # fmt: skip
def test_each_part_of_a_table(wanted: Mapping[str, Any], expected: list[str]) -> None:
    assert of_table(wanted) == expected


def test_a_table_without_a_validator_holds_anything_and_has_no_fields() -> None:
    anything = replace(TABLE, document=None)
    assert of_table({"document": "v.any()"}, anything) == []
    assert of_table({"fields": {"author": "v.string()"}}, anything) == ["field-missing"]


def test_a_field_of_a_union_is_that_of_all_members() -> None:
    number = {"fieldType": {"type": "number"}, "optional": False}
    members: list[Any] = [
        {"type": "object", "value": {"kind": {"fieldType": STRING, "optional": False}}},
        {"type": "object", "value": {"kind": number, "size": number}},
    ]
    table = replace(TABLE, document={"type": "union", "value": members})
    kind = "v.union(v.string(), v.number())"
    assert of_table({"fields": {"kind": kind, "size": "v.optional(v.number())"}}, table) == []
    assert of_table({"fields": {"size": "v.number()"}}, table) == ["field-validator"]
    # One that is optional in a member is optional.
    members[0]["value"]["kind"] = {"fieldType": STRING, "optional": True}
    assert of_table({"fields": {"kind": kind}}, table) == ["field-validator"]


def test_a_table_that_is_not_there_is_told_once_and_the_others_are_looked_at() -> None:
    wanted = {"xyzzy": {"indexes": [["a"]]}, "notes": {"indexes": [["b"]]}}
    found = compare(Expectations.model_validate({"tables": wanted}), Deployed(tables=(TABLE,)))
    assert [finding.message for finding in found] == [
        "no table 'xyzzy'",
        "table 'notes' has no index that begins with [b] (it has: by_author on author, text; "
        "later on text (staged))",
    ]


def of_function(wanted: Mapping[str, Any], function: Function = LIST) -> list[str]:
    expect = {"functions": {"notes:list": {"kind": "query", **wanted}}}
    return codes(expect, Deployed(functions=(function,)))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["author"], []),
        (["author", "limit"], []),
        (["author", "limit?"], []),
        (["author?"], ["function-args"]),
        (["limit"], ["function-args"]),
        (["author", "more"], ["function-args"]),
        (["author", "more?"], ["function-args"]),
        ([], ["function-args"]),
        (None, []),
    ],
)
def test_each_argument(args: list[str] | None, expected: list[str]) -> None:
    assert of_function({} if args is None else {"args": args}) == expected


def test_a_function_without_validators_takes_anything_and_returns_nothing_known() -> None:
    anything = replace(LIST, args={"type": "any"})
    assert of_function({"args": ["author"]}, anything) == []
    assert of_function({"returns": "v.string()"}, anything) == ["function-returns"]
    assert of_function({"returns": "v.string()"}, replace(LIST, returns=STRING)) == []
    assert of_function({"returns": "v.number()"}, replace(LIST, returns=STRING)) == [
        "function-returns"
    ]


def test_everything_that_is_wrong_with_a_function_is_told() -> None:
    wrong = replace(LIST, kind="mutation", visibility="internal")
    wanted = {"args": [], "returns": "v.null()"}
    assert of_function(wanted, wrong) == [
        *("function-kind", "function-visibility", "function-args", "function-returns")
    ]


def of_cron(wanted: Mapping[str, Any], *schedules: Mapping[str, Any]) -> list[str]:
    crons = tuple(Cron(f"c{n}", "a:f", (), each) for n, each in enumerate(schedules))
    return codes({"crons": [{"function": "a:f", **wanted}]}, Deployed(crons=crons))


DAILY = {"type": "daily", "hourUTC": 3, "minuteUTC": 15}
WEEKLY = {"type": "weekly", "dayOfWeek": 1, "hourUTC": 3, "minuteUTC": 15}
MONTHLY = {"type": "monthly", "day": 2, "hourUTC": 3, "minuteUTC": 15}
HOUR = {"type": "interval", "seconds": 3600}


def expression(text: str) -> dict[str, Any]:
    return {"type": "cron", "cronExpr": text}


@pytest.mark.parametrize(
    ("wanted", "schedule", "met"),
    [
        ({}, DAILY, True),
        ({"daily": {"hour": 3}}, DAILY, True),
        ({"daily": {"minute": 15}}, DAILY, True),
        ({"daily": {"hour": 3, "minute": 16}}, DAILY, False),
        ({"daily": {"hour": 4, "minute": 15}}, DAILY, False),
        ({"daily": {"hour": 3}}, WEEKLY, False),
        ({"weekly": {"day": "monday"}}, WEEKLY, True),
        ({"weekly": {"day": "tuesday"}}, WEEKLY, False),
        ({"weekly": {"day": "monday", "minute": 16}}, WEEKLY, False),
        ({"monthly": {"day": 2}}, MONTHLY, True),
        ({"monthly": {"day": 2, "hour": 4}}, MONTHLY, False),
        ({"monthly": {"day": 3}}, MONTHLY, False),
        ({"every": {"hours": 1}}, HOUR, True),
        ({"every": {"hours": 1}}, {"type": "hourly", "minuteUTC": 5}, True),
        ({"every": {"hours": 24}}, DAILY, True),
        ({"every": {"hours": 168}}, WEEKLY, True),
        ({"every": {"hours": 1}}, expression("5 * * * *"), True),
        ({"every": {"hours": 1}}, expression("0 */1 * * *"), True),
        ({"every": {"minutes": 5}}, expression("*/5 * * * *"), True),
        ({"every": {"minutes": 7}}, expression("*/7 * * * *"), False),
        ({"every": {"hours": 5}}, expression("0 */5 * * *"), False),
        ({"every": {"minutes": 5}}, expression("*/5 6 * * *"), False),
        ({"every": {"hours": 24}}, expression("0 6 * * *"), True),
        ({"daily": {"hour": 6}}, expression("0 6 * 1 *"), False),
        ({"weekly": {"day": "saturday"}}, expression("0 6 * * 6"), True),
        ({"weekly": {"day": "saturday"}}, expression("0 6 * * saturday"), True),
        ({"weekly": {"day": "saturday"}}, expression("0 6 * * 1-5"), False),
        ({"monthly": {"day": 1}}, expression("0 6 1 * 1"), False),
        ({"monthly": {"day": 1}}, expression("0 6 1 * *"), True),
        ({"cron": "0 6 * * *"}, expression("0 6 * * *"), True),
        ({"cron": "0 6 * * *"}, {"type": "daily", "hourUTC": 6, "minuteUTC": 0}, False),
    ],
)
def test_each_schedule(wanted: Mapping[str, Any], schedule: Mapping[str, Any], met: bool) -> None:
    assert of_cron(wanted, schedule) == ([] if met else ["cron-schedule"])


def test_any_of_several_crons_of_a_function_will_do() -> None:
    assert of_cron({"daily": {"hour": 3}}, HOUR, DAILY) == []
    assert of_cron({"name": "c1", "daily": {"hour": 3}}, HOUR, DAILY) == []
    assert of_cron({"name": "c0", "daily": {"hour": 3}}, HOUR, DAILY) == ["cron-schedule"]
    assert of_cron({"name": "c2"}, HOUR, DAILY) == of_cron({}) == ["cron-missing"]


def test_a_route_is_its_method_and_its_path_or_prefix() -> None:
    deployed = Deployed(routes=(Route("GET", "/a", None), Route("POST", None, "/b/")))

    def routes(**route: str) -> list[str]:
        return codes({"http": [route]}, deployed)

    assert routes(method="GET", path="/a") == routes(method="POST", path_prefix="/b/") == []
    for wrong in (
        {"method": "POST", "path": "/a"},
        {"method": "GET", "path": "/b/"},
        {"method": "POST", "path": "/b/"},
        {"method": "GET", "path_prefix": "/a/"},
    ):
        assert routes(**wrong) == ["route-missing"]
