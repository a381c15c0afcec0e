"""Pages of a query that others write to meanwhile, against the list of what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import PushOnce

PROPERTY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  rows: defineTable({ a: v.number(), n: v.number() }).index("by_a", ["a"]),
});
"""
APP = """
import { query, mutation } from "./_generated/server";
import { v } from "convex/values";

export const page = query({
  args: { index: v.boolean(), order: v.any(), from: v.number(), even: v.boolean(), opts: v.any() },
  handler: async (ctx, { index, order, from, even, opts }) => {
    const table = ctx.db.query("rows");
    const ranged = index ? table.withIndex("by_a", (q) => q.gte("a", from)) : table;
    const ordered = ranged.order(order);
    const filtered = even ? ordered.filter((q) => q.eq(q.mod(q.field("n"), 2), 0)) : ordered;
    return await filtered.paginate(opts);
  },
});
export const edit = mutation({
  args: { insert: v.array(v.any()), remove: v.array(v.id("rows")), touch: v.array(v.id("rows")) },
  handler: async (ctx, { insert, remove, touch }) => {
    for (const id of remove) await ctx.db.delete(id);
    for (const id of touch) await ctx.db.patch(id, { n: (await ctx.db.get(id))!.n + 2 });
    const made = [];
    for (const row of insert) made.push(await ctx.db.insert("rows", row));
    return made;
  },
});
"""
Row: TypeAlias = tuple[int, int, str]
"""A document by what orders it, and its id: `a` (0 without an index), which insertion it was."""

PAIR = st.tuples(st.integers(0, 4), st.integers(0, 3))
PAIRS = st.lists(PAIR, max_size=4)
PLACES = st.lists(st.integers(0, 30), max_size=3)
EDITS = st.lists(st.tuples(PAIRS, PLACES, PLACES), max_size=8)
"""What is written before each page: inserted, deleted, changed without being moved."""
START = st.one_of(st.just([]), *[st.lists(PAIR, min_size=5, max_size=12)] * 3)
QUERIES = st.fixed_dictionaries(
    {
        "index": st.booleans(),
        "order": st.sampled_from(["asc", "desc"]),
        "from": st.integers(0, 3),
        "even": st.booleans(),
    }
)


@dataclass
class Table:
    """The table `rows`, and a list of what is in it."""

    app: EmbeddedDeployment
    query: Mapping[str, JsonValue]
    rows: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """`a`, which insertion it was, `n`; by id."""
    made: int = 0

    def edit(
        self, insert: Sequence[tuple[int, int]], remove: Sequence[int], touch: Sequence[int] = ()
    ) -> None:
        """Writes in one mutation. Documents to remove and to touch by their place."""
        ids = sorted(self.rows)
        gone = {ids[at] for at in remove if at < len(ids)}
        touched = sorted({ids[at] for at in touch if at < len(ids)} - gone)
        args: dict[str, JsonValue] = {
            "insert": [{"a": a, "n": n} for a, n in insert],
            "remove": list[JsonValue](sorted(gone)),
            "touch": list[JsonValue](touched),
        }
        result = self.app.mutation("a:edit", args)
        assert isinstance(result.value, list), result.error
        for each in gone:
            del self.rows[each]
        for each in touched:
            a, number, n = self.rows[each]
            self.rows[each] = (a, number, n + 2)
        for (a, n), each in zip(insert, map(str, result.value), strict=True):
            self.made += 1
            self.rows[each] = (a, self.made, n)

    def listed(self, *, all_of_range: bool = False) -> list[Row]:
        """What the query gives; with `all_of_range` also what its filter leaves out."""
        index, order, even = (self.query[name] for name in ("index", "order", "even"))
        found: list[Row] = [
            (a if index else 0, number, each)
            for each, (a, number, n) in self.rows.items()
            if not (index and a < int(str(self.query["from"])))
            and (all_of_range or not even or n % 2 == 0)
        ]
        return sorted(found, reverse=order == "desc")

    def page(self, **options: JsonValue) -> Page:
        result = self.app.query("a:page", {**self.query, "opts": {"cursor": None, **options}})
        value = result.value
        assert isinstance(value, dict), result.error
        assert isinstance(value["page"], list)
        assert result.usage is not None
        ids = [str(each["_id"]) for each in value["page"] if isinstance(each, dict)]
        split, status = value["splitCursor"], value["pageStatus"]
        return Page(
            rows=[self.row(each) for each in ids],
            is_done=value["isDone"] is True,
            cursor=str(value["continueCursor"]),
            split=None if split is None else str(split),
            status=None if status is None else str(status),
            documents_read=result.usage.documents_read,
        )

    def row(self, each: str) -> Row:
        a, number, _ = self.rows[each]
        return (a if self.query["index"] else 0, number, each)


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    is_done: bool
    cursor: str
    split: str | None
    status: str | None
    documents_read: int


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/schema.ts": SCHEMA, "convex/a.ts": APP})


def filled(
    app: EmbeddedDeployment, query: Mapping[str, JsonValue], start: Sequence[tuple[int, int]]
) -> Table:
    app.reset_data()
    table = Table(app, query)
    table.edit(start, [])
    return table


@PROPERTY
@given(QUERIES, START, EDITS, st.integers(1, 4))
def test_a_walk_finds_once_and_in_order_what_was_there_throughout(
    app: EmbeddedDeployment,
    query: dict[str, JsonValue],
    start: list[tuple[int, int]],
    edits: list[Any],
    size: int,
) -> None:
    table = filled(app, query, start)
    walked: list[Row] = []
    throughout = set(table.listed())
    cursor: JsonValue = None
    pages = 0
    while True:
        page = table.page(cursor=cursor, numItems=size)
        now = table.listed()
        behind = walked[-1] if walked else None
        left = [row for row in now if behind is None or follows(row, behind, query)]
        # Exactly those that come next, as things are now.
        assert page.rows == left[:size]
        assert page.is_done is (len(left) < size)
        throughout &= set(now)
        walked += page.rows
        if page.is_done:
            break
        cursor = page.cursor
        if pages < len(edits):
            table.edit(*edits[pages])
            throughout &= set(table.listed())
        pages += 1
    assert len(set(walked)) == len(walked)
    assert walked == sorted(walked, reverse=query["order"] == "desc")
    assert throughout <= set(walked)


def follows(row: Row, other: Row, query: Mapping[str, JsonValue]) -> bool:
    return row < other if query["order"] == "desc" else row > other


@PROPERTY
@given(QUERIES, START, EDITS, st.integers(1, 4))
def test_pages_that_stay_open_are_the_list_without_gaps(
    app: EmbeddedDeployment,
    query: dict[str, JsonValue],
    start: list[tuple[int, int]],
    edits: list[Any],
    size: int,
) -> None:
    """As React's usePaginatedQuery has them: each page is read again from its cursor to its end
    whenever something was written, one is loaded more, and those that grew are split."""
    table = filled(app, query, start)
    first = table.page(numItems=size)
    assert first.rows == table.listed()[: len(first.rows)]
    cursors: list[str | None] = [None, first.cursor]
    is_done = first.is_done
    for edit in edits:
        table.edit(*edit)
        if not is_done:
            more = table.page(cursor=cursors[-1], numItems=size)
            cursors.append(more.cursor)
            is_done = more.is_done
        pages = []
        split: list[str | None] = [None]
        for begin, end in pairwise(cursors):
            page = table.page(cursor=begin, endCursor=end, numItems=size)
            assert page.cursor == end
            pages.append(page)
            if len(page.rows) > 2 * size:
                assert page.split is not None
                halves = [
                    table.page(cursor=begin, endCursor=page.split, numItems=size),
                    table.page(cursor=page.split, endCursor=end, numItems=size),
                ]
                # The middle is that of all documents looked at, which a filter may leave out.
                assert query["even"] or all(half.rows for half in halves)
                assert halves[0].rows + halves[1].rows == page.rows
                split.append(page.split)
            split.append(end)
        cursors = split
        open_ = [row for page in pages for row in page.rows]
        now = table.listed()
        assert open_ == (now if is_done else now[: len(open_)])
        assert [page.is_done for page in pages] == [False] * (len(pages) - 1) + [is_done]


@PROPERTY
@given(QUERIES, START, EDITS, st.integers(1, 5), st.integers(1, 6))
def test_a_page_reads_no_more_than_it_may(
    app: EmbeddedDeployment,
    query: dict[str, JsonValue],
    start: list[tuple[int, int]],
    edits: list[Any],
    size: int,
    most: int,
) -> None:
    table = filled(app, query, start)
    throughout = set(table.listed())
    walked: list[Row] = []
    cursor: JsonValue = None
    pages = 0
    while True:
        page = table.page(cursor=cursor, numItems=size, maximumRowsRead=most)
        assert page.documents_read <= most
        assert len(page.rows) <= size
        if page.status == "SplitRequired":
            assert page.documents_read == most
            assert not page.is_done
            assert page.split is not None
            halves = [
                table.page(cursor=begin, endCursor=end, numItems=size, maximumRowsRead=most)
                for begin, end in ((cursor, page.split), (page.split, page.cursor))
            ]
            assert halves[0].rows + halves[1].rows == page.rows
            assert [half.cursor for half in halves] == [page.split, page.cursor]
            assert all(half.status is None for half in halves)
        else:
            assert page.status is None
            assert page.is_done or len(page.rows) == size
        walked += page.rows
        throughout &= set(table.listed())
        if page.is_done:
            break
        assert page.documents_read > 0, "it gets on"
        cursor = page.cursor
        if pages < len(edits):
            table.edit(*edits[pages])
            throughout &= set(table.listed())
        pages += 1
        assert pages <= len(edits) + len(table.listed(all_of_range=True)) + 1
    assert len(set(walked)) == len(walked)
    assert walked == sorted(walked, reverse=query["order"] == "desc")
    assert throughout <= set(walked)


@PROPERTY
@given(QUERIES, START, st.integers(1, 200))
def test_a_page_ends_with_the_document_that_takes_the_last_byte(
    app: EmbeddedDeployment, query: dict[str, JsonValue], start: list[tuple[int, int]], most: int
) -> None:
    table = filled(app, query, start)
    walked: list[Row] = []
    cursor: JsonValue = None
    while True:
        page = table.page(cursor=cursor, numItems=100, maximumBytesRead=most)
        walked += page.rows
        if page.is_done:
            break
        assert page.status == "SplitRequired"
        # The ids are equally long: 32 characters.
        document = 2 + (4 + 34) + (14 + 9) + 2 * (2 + 9)
        assert page.documents_read == -(-most // document)
        cursor = page.cursor
    assert walked == table.listed()
