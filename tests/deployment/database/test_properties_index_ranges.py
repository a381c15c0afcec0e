"""What queries read through indexes, against lists that are sorted and filtered naively."""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import FunctionResult
from tests.deployment.fixtures import PushOnce

PROPERTY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Document: TypeAlias = Mapping[str, JsonValue]

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  rows: defineTable(v.any())
    .index("by_a", ["a"]).index("by_abn", ["a", "b", "n.x"]).index("by_ba", ["b", "a"]),
});
"""
APP = """
import { query } from "./_generated/server";
import { v } from "convex/values";

const bare = (value: any) => (value === "missing" ? undefined : value.value);
function expression(q: any, [what, ...operands]: any): any {
  switch (what) {
    case "field": return q.field(operands[0]);
    case "value": return bare(operands[0]);
    default: return q[what](...operands.map((each: any) => expression(q, each)));
  }
}
export const read = query({
  args: { index: v.any(), range: v.any(), order: v.any(), filters: v.any(), end: v.any() },
  handler: async (ctx, { index, range, order, filters, end }) => {
    let query: any = ctx.db.query("rows");
    if (index !== null) query = query.withIndex(index, (q: any) =>
      range.reduce((q: any, [operator, field, value]: any) => q[operator](field, bare(value)), q));
    if (order !== null) query = query.order(order);
    for (const filter of filters) query = query.filter((q: any) => expression(q, filter));
    const [method, ...args] = end;
    if (method !== "break") return await query[method](...args);
    const rows = [];
    for await (const row of query) {
      rows.push(row);
      if (rows.length === args[0]) break;
    }
    return rows;
  },
});
"""


def integer(value: int) -> JsonValue:
    return {"$integer": base64.b64encode(struct.pack("<q", value)).decode()}


def special(value: float) -> JsonValue:
    return {"$float": base64.b64encode(struct.pack("<d", value)).decode()}


def octets(value: bytes) -> JsonValue:
    return {"$bytes": base64.b64encode(value).decode()}


MISSING = "missing"
LISTS: list[JsonValue] = [[], [None], [None, None], [0], [[0]], [{}]]
NAMED: list[dict[str, JsonValue]] = [
    {},
    {"a": None},
    {"a": None, "b": None},
    {"a": 1},
    {"aa": None},
]
RANKED: list[JsonValue] = [
    *(MISSING, None, integer(-(2**63)), integer(-1), integer(0), integer(2), integer(2**62)),
    *(special(float("-inf")), -2.5, -1, special(-0.0), 0, 5e-324, 1, 2**53, special(float("inf"))),
    *(special(float("nan")), False, True),
    *("", "\0", "\0a", "1", "A", "a", "a\0", "aa", "b", "é", "\uffff", "\U0001f600"),
    *map(octets, (b"", b"\0", b"\0\xff", b"\x01", b"\xff")),
    *LISTS,
    *NAMED,
]
"""Values in their order (https://docs.convex.dev/database/types#convex-values), the smallest first;
the first stands for a field that is not there."""
RANKS = st.integers(0, len(RANKED) - 1)
FEW = st.sampled_from([0, 1, 4, 9, 11, 17, 18, 24])
"""Ranks that come up often enough to be equal."""
RANK = st.one_of(FEW, FEW, RANKS)
ROWS = st.lists(st.fixed_dictionaries({"a": RANK, "b": RANK, "n.x": RANK}), max_size=14)
INDEXES: dict[str | None, list[str]] = {
    "by_a": ["a"],
    "by_abn": ["a", "b", "n.x"],
    "by_ba": ["b", "a"],
    "by_creation_time": [],
    "by_id": [],
    None: [],
}
ENDS = st.one_of(
    st.just(["collect"]),
    st.just(["first"]),
    st.just(["unique"]),
    st.tuples(st.just("take"), st.integers(0, 5)).map(list),
    st.tuples(st.just("break"), st.integers(1, 5)).map(list),
)
ORDERS = st.sampled_from([None, "asc", "desc"])
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda x, y: bool(x == y),
    "neq": lambda x, y: bool(x != y),
    "gt": lambda x, y: bool(x > y),
    "gte": lambda x, y: bool(x >= y),
    "lt": lambda x, y: bool(x < y),
    "lte": lambda x, y: bool(x <= y),
}
SIGNS = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
SYSTEM = ("_creationTime", "_id")
LOWER, UPPER = ("gt", "gte"), ("lt", "lte")
FIELDS = st.sampled_from(["a", "b", "n.x"])
COMPARISONS = st.tuples(
    st.sampled_from([*COMPARE]),
    FIELDS.map(lambda name: ("field", name)),
    st.one_of(FIELDS.map(lambda name: ("field", name)), RANK.map(lambda rank: ("value", rank))),
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=3,
)


Rows: TypeAlias = list[dict[str, int]]
Bound: TypeAlias = tuple[str, str, int]


@st.composite
def rows_and_ranges(draw: st.DrawFn) -> tuple[Rows, str, list[Bound]]:
    """Rows, an index, and a range of it that is allowed. Fields are given by the rank of their
    values, a document's creation time and id by its place among the others'."""
    rows = draw(ROWS)
    index = draw(st.sampled_from([name for name in INDEXES if name is not None]))
    fields = fields_of(index)
    places = {} if not rows else {name: st.integers(0, len(rows) - 1) for name in SYSTEM}
    known = [*INDEXES[index], *(name for name in fields if name in places)]
    equal = draw(st.integers(0, len(known)))
    bounds = [("eq", name, draw(places.get(name, RANK))) for name in known[:equal]]
    for operators in draw(st.permutations([LOWER, UPPER])):
        if equal < len(known) and draw(st.booleans()):
            name = known[equal]
            bounds.append((draw(st.sampled_from(operators)), name, draw(places.get(name, RANK))))
    return rows, index, draw(st.permutations(bounds))


def fields_of(index: str) -> list[str]:
    """Those of the index, with the ones that every index ends with."""
    return ["_id"] if index == "by_id" else [*INDEXES[index], *SYSTEM]


def document(ranks: Mapping[str, int], k: int) -> dict[str, JsonValue]:
    """The document that `ranks` stand for; `k` tells it from others."""
    made: dict[str, JsonValue] = {"k": k}
    for name in ("a", "b"):
        if RANKED[ranks[name]] is not MISSING:
            made[name] = RANKED[ranks[name]]
    if RANKED[ranks["n.x"]] is not MISSING:
        made["n"] = {"x": RANKED[ranks["n.x"]]}
    return made


def given_value(rank: int) -> JsonValue:
    return "missing" if RANKED[rank] is MISSING else {"value": RANKED[rank]}


def passes(filter_: Any, row: Mapping[str, int]) -> bool:
    what, *operands = filter_
    if what == "not":
        return not passes(operands[0], row)
    if what in ("and", "or"):
        return (all if what == "and" else any)(passes(each, row) for each in operands)
    left, right = (row[each] if kind == "field" else each for kind, each in operands)
    return COMPARE[what](left, right)


def as_given(filter_: Any) -> JsonValue:
    what, *operands = filter_
    if what == "field":
        return [what, *operands]
    return [what, given_value(operands[0])] if what == "value" else [what, *map(as_given, operands)]


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/schema.ts": SCHEMA, "convex/a.ts": APP})


def fill(app: EmbeddedDeployment, rows: Sequence[Mapping[str, int]]) -> Sequence[Document]:
    """The documents of `rows`, as they are stored."""
    app.reset_data()
    app.insert("rows", [document(row, k) for k, row in enumerate(rows)])
    return app.documents("rows")


def read(app: EmbeddedDeployment, index: str | None, **args: JsonValue) -> FunctionResult:
    usual: dict[str, JsonValue] = {"range": [], "order": None, "filters": [], "end": ["collect"]}
    return app.query("a:read", {"index": index, **usual, **args})


def numbers(value: JsonValue) -> list[JsonValue]:
    """Which documents they are."""
    found = value if isinstance(value, list) else [] if value is None else [value]
    return [row["k"] for row in found if isinstance(row, dict)]


@PROPERTY
@given(rows_and_ranges(), ORDERS, st.lists(FILTERS, max_size=2), ENDS)
def test_a_query_reads_what_a_sort_and_filters_give(
    app: EmbeddedDeployment,
    table: tuple[Rows, str, list[Bound]],
    order: str | None,
    filters: list[Any],
    end: list[Any],
) -> None:
    rows, index, bounds = table
    stored = fill(app, rows)
    times, ids = ([each[name] for each in stored] for name in SYSTEM)
    by_id = sorted(map(str, ids))
    rows = [
        {**row, "_creationTime": k, "_id": by_id.index(str(ids[k]))} for k, row in enumerate(rows)
    ]
    real: dict[str, Sequence[JsonValue]] = {"_creationTime": times, "_id": by_id}
    sent: list[JsonValue] = [
        [operator, name, {"value": real[name][at]} if name in real else given_value(at)]
        for operator, name, at in bounds
    ]
    result = read(
        app, index, range=sent, order=order, filters=list(map(as_given, filters)), end=end
    )

    ranged = [row for row in rows if all(COMPARE[op](row[name], at) for op, name, at in bounds)]
    ranged.sort(key=lambda row: [row[name] for name in fields_of(index)], reverse=order == "desc")
    found = [row for row in ranged if all(passes(each, row) for each in filters)]
    method, *most = end
    looks_for = {"first": 1, "unique": 2, "collect": None}.get(method, *most)
    if method == "unique" and len(found) > 1:
        assert "unique() query returned more than one result from table rows" in str(result.error)
    else:
        assert result.error is None
        assert numbers(result.value) == [row["_creationTime"] for row in found[:looks_for]]
    # It looks at no document behind the last one that it has to find.
    looked_at = ranged
    if looks_for is not None and len(found) >= looks_for:
        looked_at = ranged[: ranged.index(found[looks_for - 1]) + 1] if looks_for > 0 else []
    assert result.usage is not None
    assert result.usage.documents_read == len(looked_at)


@PROPERTY
@given(ROWS, ORDERS, st.lists(FILTERS, max_size=2))
def test_without_an_index_documents_are_in_order_of_creation(
    app: EmbeddedDeployment, rows: Rows, order: str | None, filters: list[Any]
) -> None:
    fill(app, rows)
    result = read(app, None, order=order, filters=list(map(as_given, filters)))
    found = [k for k, row in enumerate(rows) if all(passes(each, row) for each in filters)]
    assert result.error is None
    assert numbers(result.value) == (found[::-1] if order == "desc" else found)


def test_every_value_has_its_place(app: EmbeddedDeployment) -> None:
    ranks = [rank * 7 % len(RANKED) for rank in range(len(RANKED))]
    assert sorted(ranks) == list(range(len(RANKED)))
    fill(app, [{"a": rank, "b": 0, "n.x": 0} for rank in ranks])
    places = [ranks.index(rank) for rank in range(len(RANKED))]
    assert numbers(read(app, "by_a").value) == places
    assert numbers(read(app, "by_a", order="desc").value) == places[::-1]
    for rank in range(len(RANKED)):
        found = read(app, "by_a", range=[["gte", "a", given_value(rank)]], end=["take", 2])
        assert numbers(found.value) == places[rank : rank + 2]


BOUNDS = st.lists(
    st.tuples(
        st.sampled_from(["eq", *LOWER, *UPPER]),
        st.sampled_from(["a", "b", "n.x", "n", "_creationTime", "_id"]),
        st.integers(0, 20),
    ),
    max_size=4,
)


def problem(index: str, bounds: Sequence[Bound]) -> str | None:
    """What is said of a range that is none of the index, as the rules are: equalities on the first
    fields, in any order, and bounds on the one after them, at most one a side."""
    fields = fields_of(index)
    shown = ", ".join(f'"{name}"' for name in fields if name != "_id" or len(fields) == 1)
    equal: set[str] = set()
    open_: dict[str, str] = {}
    for operator, name, _ in bounds:
        added = f'Can\'t add "{name}" {SIGNS[operator]} '
        sides = {side for side, bounded in open_.items() if bounded == name}
        if name not in fields:
            return (
                f'The index range included a comparison with "{name}", but rows.{index} with '
                f"fields [{shown}] doesn't index this field."
            )
        if name in equal:
            return f"Already defined equality bound in index range. {added}"
        if operator == "eq":
            if sides:
                return f"Already defined inequality bound in index range. {added}"
            equal.add(name)
            continue
        for other in open_.values():
            if other != name:
                return f'attempted to set a range bound on both "{other}" and "{name}".'
        side = "lower" if operator in LOWER else "upper"
        if side in sides:
            return f"Already defined {side} bound in index range. {added}"
        open_[side] = name
    asked = [*sorted(equal), *set(open_.values())]
    first = fields[: len(equal)]
    wrong = [name for name in sorted(equal) if name not in fitting(fields, equal)]
    if not wrong and open_ and fields[len(first)] not in open_.values():
        wrong = [*open_.values()]
    if not wrong:
        return None
    listed = ", ".join(f'"{name}"' for name in asked)
    return f'\nQuery fields: [{listed}]\nFirst incorrect field: "{wrong[0]}"\n'


def fitting(fields: Sequence[str], equal: set[str]) -> list[str]:
    """The fields before the first that no equality is on."""
    return list(itertools.takewhile(lambda name: name in equal, fields))


@PROPERTY
@given(st.sampled_from([name for name in INDEXES if name is not None]), BOUNDS)
def test_a_range_that_is_none_of_the_index_is_refused(
    app: EmbeddedDeployment, index: str, bounds: list[Bound]
) -> None:
    sent: list[JsonValue] = [[operator, name, given_value(at)] for operator, name, at in bounds]
    result = read(app, index, range=sent)
    wrong = problem(index, bounds)
    assert (result.error is None) == (wrong is None)
    if wrong is None:
        assert result.value == []
    else:
        assert wrong in str(result.error)
