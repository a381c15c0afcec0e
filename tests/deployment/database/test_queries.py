"""Ranges of indexes, limits, filters and pages, where they end and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

READ = """
  const tables = open({ t: { by_ab: ["a", "b"], by_deep: ["o.x"] } });
  commit(tables, (it) => { for (const row of args.rows) it.insert("", "t", row); });
  const it = begin(tables);
  const query = (range, order = "asc", operators = [], indexName = "t.by_ab") =>
    ({ source: { type: "IndexRange", indexName, range, order }, operators });
  const all = (stream) => {
    const found = [];
    for (let row = stream.next(); row !== null; row = stream.next()) found.push(row);
    return plain(found);
  };
  const range = (...parts) => parts.map(([type, fieldPath, value]) => ({ type, fieldPath, value }));
"""
PAIRS = [{"a": a, "b": b} for a in (1, 2, 3) for b in (1, 2, 3)]

RANGES: dict[str, tuple[list[list[Any]], list[tuple[int, int]]]] = {
    "eq": ([["Eq", "a", 2]], [(2, 1), (2, 2), (2, 3)]),
    "gt": ([["Gt", "a", 2]], [(3, 1), (3, 2), (3, 3)]),
    "gte": ([["Gte", "a", 3]], [(3, 1), (3, 2), (3, 3)]),
    "lt": ([["Lt", "a", 2]], [(1, 1), (1, 2), (1, 3)]),
    "lte": ([["Lte", "a", 1]], [(1, 1), (1, 2), (1, 3)]),
    "eq gt": ([["Eq", "a", 2], ["Gt", "b", 1]], [(2, 2), (2, 3)]),
    "eq gte": ([["Eq", "a", 2], ["Gte", "b", 2]], [(2, 2), (2, 3)]),
    "eq lt": ([["Eq", "a", 2], ["Lt", "b", 2]], [(2, 1)]),
    "eq lte": ([["Eq", "a", 2], ["Lte", "b", 2]], [(2, 1), (2, 2)]),
    "eq eq": ([["Eq", "a", 2], ["Eq", "b", 3]], [(2, 3)]),
    "gt lt": ([["Eq", "a", 1], ["Gt", "b", 1], ["Lt", "b", 3]], [(1, 2)]),
    "gte lte": ([["Eq", "a", 1], ["Lte", "b", 3], ["Gte", "b", 3]], [(1, 3)]),
    "gt lt of none": ([["Eq", "a", 1], ["Gt", "b", 2], ["Lt", "b", 2]], []),
    "equalities turned round": ([["Eq", "b", 3], ["Eq", "a", 2]], [(2, 3)]),
    "an equality after the bound on the next": (
        [["Gt", "b", 1], ["Eq", "a", 2]],
        [(2, 2), (2, 3)],
    ),
    "an equality between the bounds on the next": (
        [["Gte", "b", 2], ["Eq", "a", 2], ["Lt", "b", 3]],
        [(2, 2)],
    ),
    "turned round": ([["Gt", "a", 2], ["Lt", "a", 2]], []),
    "none": ([["Eq", "a", 9]], []),
    "of another type": ([["Gt", "a", "1"]], []),
    "below another type": ([["Lt", "a", "1"]], [(a, b) for a in (1, 2, 3) for b in (1, 2, 3)]),
}


@pytest.mark.parametrize(("parts", "found"), RANGES.values(), ids=RANGES.keys())
def test_a_range_has_exactly_what_is_in_it_in_both_orders(
    in_server: InServer, parts: list[list[Any]], found: list[tuple[int, int]]
) -> None:
    up, down = in_server(
        f"""{READ}
        return ["asc", "desc"].map((order) => all(new QueryStream(it, "",
          query(range(...args.parts), order))));
        """,
        rows=PAIRS,
        parts=parts,
    )
    assert [(row["a"], row["b"]) for row in up] == found
    assert [(row["a"], row["b"]) for row in down] == found[::-1]


def test_a_field_that_is_not_there_has_a_place_of_its_own(in_server: InServer) -> None:
    rows: list[dict[str, Any]] = [
        {"a": None},
        {},
        {"a": 0},
        {"o": {"x": 1}},
        {"o": {"x": None}},
        {"o": 1},
    ]
    found = in_server(
        f"""{READ}
        const read = (parts, indexName) => all(new QueryStream(it, "", query(range(...parts),
          "asc", [], indexName)));
        return [read([["Eq", "a", {{ $undefined: null }}]]), read([["Eq", "a", null]]),
          read([["Gt", "a", {{ $undefined: null }}]]), read([["Eq", "o.x", null]], "t.by_deep"),
          read([["Gt", "o.x", null]], "t.by_deep"), read([["Lt", "o.x", null]],
            "t.by_deep").length];
        """,
        rows=rows,
    )
    missing = [row for row in rows if "a" not in row]
    assert found == [missing, [{"a": None}], [{"a": None}, {"a": 0}], [rows[4]], [rows[3]], 4]


def test_a_range_of_ids_ends_where_it_says(in_server: InServer) -> None:
    found = in_server(
        f"""{READ}
        const ids = rows(tables, "t", "by_id").map(({{ _id }}) => _id);
        const read = (type, order) => all(new QueryStream(it, "",
          query([{{ type, fieldPath: "_id", value: ids[1] }}], order, [],
          "t.by_id"))).length;
        return ["Lt", "Lte", "Gt", "Gte", "Eq"].map((type) => [read(type, "asc"),
          read(type, "desc")]);
        """,
        rows=[{}, {}, {}, {}],
    )
    assert found == [[1, 1], [2, 2], [2, 2], [3, 3], [1, 1]]


ORDER = (
    "Tried to query index t.by_ab but the query didn't use the index fields in order.\n"
    'Index fields: ["a", "b", "_creationTime"]\nQuery fields: [{}]\nFirst incorrect field: {}\n'
    "For more information see https://docs.convex.dev/using/indexes."
)
TWICE = "Already defined {} bound in index range. Can't add {}."
REFUSED: dict[str, tuple[str, str]] = {
    "not the first field": ('query(range(["Eq", "b", 1]))', ORDER.format('"b"', '"b"')),
    "a bound on another than the next": (
        'query(range(["Eq", "a", 1], ["Gt", "_creationTime", 1]))',
        ORDER.format('"a", "_creationTime"', '"_creationTime"'),
    ),
    "a bound on the first and an equality on the second": (
        'query(range(["Gt", "a", 1], ["Eq", "b", 1]))',
        ORDER.format('"b", "a"', '"b"'),
    ),
    "equalities that leave one out": (
        'query(range(["Eq", "b", 1], ["Eq", "_creationTime", 1]))',
        ORDER.format('"_creationTime", "b"', '"_creationTime"'),
    ),
    "equal twice": (
        'query(range(["Eq", "a", 1], ["Eq", "a", "x"]))',
        TWICE.format("equality", '"a" == "x"'),
    ),
    "a bound after an equality": (
        'query(range(["Eq", "a", 1], ["Gt", "a", "x"]))',
        TWICE.format("equality", '"a" > "x"'),
    ),
    "equal after a lower bound": (
        'query(range(["Gt", "a", 1], ["Eq", "a", 1]))',
        TWICE.format("inequality", '"a" == 1.0'),
    ),
    "equal after an upper bound": (
        'query(range(["Lte", "a", 1], ["Eq", "a", { $undefined: null }]))',
        TWICE.format("inequality", '"a" == undefined'),
    ),
    "two lower bounds": (
        'query(range(["Gt", "a", 1], ["Gte", "a", "b"]))',
        TWICE.format("lower", '"a" >= "b"'),
    ),
    "two upper bounds": (
        'query(range(["Lte", "a", 1], ["Lt", "a", integer(1n)]))',
        TWICE.format("upper", '"a" < 1'),
    ),
    "two upper bounds with a lower": (
        'query(range(["Lt", "a", 1], ["Gt", "a", 0], ["Lte", "a", 1]))',
        TWICE.format("upper", '"a" <= 1.0'),
    ),
    "bounds on two fields": (
        'query(range(["Gt", "a", 1], ["Lt", "b", 1]))',
        "Upper and lower bounds in `range` can only be applied to a single index field. This query "
        'against index t.by_ab attempted to set a range bound on both "a" and "b". Consider using '
        "`filter` instead.",
    ),
    "a field of no index": (
        'query(range(["Eq", "a", 1], ["Eq", "nope", 1]))',
        'The index range included a comparison with "nope", but t.by_ab with fields ["a", "b", '
        '"_creationTime"] doesn\'t index this field.',
    ),
    "no such index": ('query([], "asc", [], "t.by_none")', "Index t.by_none not found."),
    "no index": ('query([], "asc", [], "t")', "Index t. not found."),
    "an index of no table": ('query([], "asc", [], "none.by_a")', "Index none.by_a not found."),
    "a range of ids by another field": (
        'query(range(["Eq", "a", 1]), "asc", [], "t.by_id")',
        'The index range included a comparison with "a", but t.by_id with fields ["_id"] '
        "doesn't index this field.",
    ),
    "no table's name": (
        'query([], "asc", [], "a-b.by_id")',
        "Invalid argument `table` for `db.query`: Identifier a-b has invalid character '-': "
        "Identifiers can only contain alphanumeric characters or underscores",
    ),
}


@pytest.mark.parametrize(("made", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_range_of_an_index_is_refused(
    in_server: InServer, made: str, message: str
) -> None:
    found = in_server(
        f"{READ} return await thrown(() => new QueryStream(it, '', eval(args.made)));",
        rows=[],
        made=made,
    )
    assert found == message


def test_an_index_of_another_kind_is_no_database_index(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { search: { s: { searchField: "x", filterFields: [] } }, vector: {
        v: { vectorField: "x", dimensions: 2, filterFields: [] } } } });
      const read = (name) => thrown(() => new QueryStream(begin(tables), "", { source: { type:
        "IndexRange", indexName: name, range: [], order: null }, operators: [] }));
      return [await read("t.s"), await read("t.v"), await read("t.none")];
    """)
    assert found == [
        "Index t.s is not a database index",
        "Index t.v is not a database index",
        "Index t.none not found.",
    ]


def test_a_page_without_a_cursor_is_the_first(in_server: InServer) -> None:
    found = in_server(
        f"""{PAGES}
        return [undefined, null].map((cursor) => of(page({{ cursor }})));
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3)],
    )
    assert found == [[[1, 2], False, None]] * 2


def test_a_table_that_is_not_there_yet_is_empty_and_a_query_depends_on_it(
    in_server: InServer,
) -> None:
    found = in_server(
        f"""{READ}
        const found = ["by_id", "by_creation_time"].map((name) =>
          all(new QueryStream(it, "", query([], "asc", [], `none.${{name}}`))));
        const scan = {{ source: {{ type: "FullTableScan", tableName: "none", order: "desc" }},
          operators: [] }};
        return [found, all(new QueryStream(it, "", scan)), [...it.reads], it.used.databaseQueries];
        """,
        rows=[],
    )
    assert found == [[[], []], [], ["/none"], 3]


@pytest.mark.parametrize(
    ("order", "first"),
    [("asc", [0, 1, 2]), ("desc", [4, 3, 2]), (None, [0, 1, 2])],
)
def test_a_limit_ends_the_reading(in_server: InServer, order: str | None, first: list[int]) -> None:
    found = in_server(
        f"""{READ}
        const scan = (operators) => ({{ source: {{ type: "FullTableScan", tableName: "t",
          order: args.order }}, operators }});
        const seen = [0, 3, 9].map((limit) => {{
          const it = begin(tables);
          return [all(new QueryStream(it, "", scan([{{ limit }}]))).map(({{ n }}) => n),
            it.used.documentsRead];
        }});
        return seen;
        """,
        rows=[{"n": n} for n in range(5)],
        order=order,
    )
    assert found[0] == [[], 0]
    assert found[1] == [first, 3], "and no document more"
    assert len(found[2][0]) == 5


def test_operators_are_applied_in_their_order(in_server: InServer) -> None:
    found = in_server(
        f"""{READ}
        const odd = {{ filter: {{ $eq: [{{ $mod: [{{ $field: "n" }}, {{ $literal: 2 }}] }},
          {{ $literal: 1 }}] }} }};
        const many = {{ filter: {{ $gt: [{{ $field: "n" }}, {{ $literal: 2 }}] }} }};
        return [[odd], [odd, {{ limit: 2 }}], [{{ limit: 2 }}, odd], [odd, many],
          [odd, {{ limit: 2 }}, many]].map((operators) => {{
          const stream = new QueryStream(it, "", query([], "asc", operators, "t.by_creation_time"));
          return [all(stream).map(({{ n }}) => n), stream.rows];
        }});
        """,
        rows=[{"n": n} for n in range(8)],
    )
    assert found == [[[1, 3, 5, 7], 8], [[1, 3], 4], [[1], 2], [[3, 5, 7], 8], [[3], 4]]


def test_a_stream_that_goes_back_reads_again_and_counts_once(in_server: InServer) -> None:
    found = in_server(
        f"""{READ}
        const stream = new QueryStream(it, "", query([], "asc", [{{ limit: 4 }}],
          "t.by_creation_time"));
        const first = stream.next().n;
        const place = stream.place();
        const usage = () => [it.used.documentsRead, it.used.bytesRead > 0, stream.rows,
          stream.bytes === it.used.bytesRead];
        const [more, used] = [[stream.next().n, stream.next().n], usage()];
        stream.backTo(place);
        const back = usage();
        const again = all(stream).map(({{ n }}) => n);
        return [first, more, used, back, again, usage(), place.remaining];
        """,
        rows=[{"n": n} for n in range(6)],
    )
    assert found == [
        *(0, [1, 2], [3, True, 3, True], [1, True, 1, True]),
        *([1, 2, 3], [4, True, 4, True], [3]),
    ]


def test_a_stream_sees_what_is_written_while_it_reads(in_server: InServer) -> None:
    found = in_server(
        f"""{READ}
        const stream = new QueryStream(it, "", query([], "asc", [], "t.by_ab"));
        const seen = [stream.next()];
        it.patch("", {{ id: seen[0]._id, value: {{ a: 9 }} }});
        it.insert("", "t", {{ a: 0, b: 0 }});
        it.insert("", "t", {{ a: 2, b: 5 }});
        it.remove("", {{ id: rows(tables, "t", "by_ab").find(({{ a }}) => a === 3)._id }});
        for (let row = stream.next(); row !== null; row = stream.next()) seen.push(row);
        return seen.map(({{ a }}) => a);
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3, 4)],
    )
    assert found == [1, 2, 2, 4, 9]


PAGES = f"""{READ}
  const page = (request) => readPage(it, "", {{ query: query([], args.order ?? "asc", [],
    "t.by_ab"), cursor: null,
    pageSize: 2, ...request }});
  const of = ({{ page, isDone, pageStatus }}) => [page.map(({{ a }}) => a), isDone, pageStatus];
"""


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_follow_each_other_across_writes(in_server: InServer, order: str) -> None:
    found = in_server(
        f"""{PAGES}
        const first = page({{}});
        const ids = new Map(rows(tables, "t").map(({{ _id, a }}) => [a, _id]));
        // What a cursor names may be gone, and what lies behind it is not seen again.
        it.remove("", {{ id: ids.get(args.order === "asc" ? 2 : 5) }});
        it.insert("", "t", {{ a: 0, b: 0 }}), it.insert("", "t", {{ a: 9, b: 0 }}), it.insert("",
          "t", {{ a: 3.5, b: 0 }});
        const second = page({{ cursor: first.continueCursor }});
        const third = page({{ cursor: second.continueCursor, pageSize: 9 }});
        const end = page({{ cursor: third.continueCursor }});
        const whole = page({{ pageSize: 9, endCursor: second.continueCursor }});
        return [first, second, third, end, whole].map(of).concat([[end.splitCursor,
          end.continueCursor === third.continueCursor]]);
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3, 4, 5, 6)],
        order=order,
    )
    up = [[1, 2], [3, 3.5], [4, 5, 6, 9], [], [0, 1, 3, 3.5]]
    down = [[6, 5], [4, 3.5], [3, 2, 1, 0], [], [9, 6, 4, 3.5]]
    pages = up if order == "asc" else down
    done = [False, False, True, True, False]
    assert found == [
        *([rows, end, None] for rows, end in zip(pages, done, strict=True)),
        [None, True],
    ]


def test_a_page_with_an_end_has_what_lies_between(in_server: InServer) -> None:
    """However many there are by now: a followed page stays the page that it was."""
    found = in_server(
        f"""{PAGES}
        const first = page({{ pageSize: 3 }});
        const last = page({{ cursor: first.continueCursor, pageSize: 9 }});
        it.insert("", "t", {{ a: 1.5, b: 0 }}), it.insert("", "t", {{ a: 9, b: 0 }});
        const again = page({{ endCursor: first.continueCursor, pageSize: 1 }});
        const rest = page({{ cursor: first.continueCursor, endCursor: last.continueCursor,
          pageSize: 1 }});
        const half = page({{ endCursor: page({{ endCursor: first.continueCursor }}).splitCursor }});
        const none = page({{ cursor: first.continueCursor, endCursor: first.continueCursor }});
        return [...[again, rest, half, none].map(of),
          again.continueCursor === first.continueCursor,
            rest.continueCursor === last.continueCursor];
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3, 4)],
    )
    assert found == [
        [[1, 1.5, 2, 3], False, None],
        [[4, 9], True, None],
        [[1, 1.5], False, None],
        [[], False, None],
        *(True, True),
    ]


def test_a_page_whose_end_was_deleted_ends_before_it_and_reads_no_more(
    in_server: InServer,
) -> None:
    found = in_server(
        f"""{PAGES}
        const first = page({{ pageSize: 2 }});
        it.remove("", {{ id: rows(tables, "t").find(({{ a }}) => a === 2)._id }});
        const before = it.used.documentsRead;
        const again = page({{ endCursor: first.continueCursor }});
        return [...of(again), it.used.documentsRead - before];
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3, 4)],
    )
    assert found == [[1], False, None, 1]


def test_a_page_ends_with_what_it_may_read(in_server: InServer) -> None:
    found = in_server(
        f"""{PAGES}
        const bytes = sizeOf(rows(tables, "t")[0]);
        const three = page({{ pageSize: 9, maximumRowsRead: 3 }});
        const every = page({{ pageSize: 9, maximumRowsRead: 5 }});
        const more = page({{ pageSize: 9, maximumRowsRead: 6 }});
        const two = page({{ pageSize: 9, maximumBytesRead: 2 * bytes }});
        const over = page({{ pageSize: 9, maximumBytesRead: 2 * bytes + 1 }});
        const until = page({{ endCursor: more.continueCursor, maximumRowsRead: 2 }});
        const rest = page({{ cursor: until.continueCursor, pageSize: 9 }});
        return [three, every, more, two, over, until, rest].map(of);
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3, 4, 5)],
    )
    split = "SplitRequired"
    assert found == [
        [[1, 2, 3], False, split],
        [[1, 2, 3, 4, 5], False, split],
        [[1, 2, 3, 4, 5], True, None],
        [[1, 2], False, split],
        [[1, 2, 3], False, split],
        [[1, 2], False, split],
        [[3, 4, 5], True, None],
    ]


def test_a_page_is_split_in_its_middle(in_server: InServer) -> None:
    found = in_server(
        f"""{PAGES}
        return [1, 2, 3, 4].map((pageSize) => {{
          const {{ splitCursor }} = page({{ pageSize }});
          return of(page({{ endCursor: splitCursor }}))[0];
        }});
        """,
        rows=[{"a": a, "b": 0} for a in (1, 2, 3, 4, 5)],
    )
    assert found == [[1], [1], [1, 2], [1, 2]]


def test_a_large_page_is_better_split(in_server: InServer) -> None:
    found = in_server(
        f"""{PAGES}
        commit(tables, (it) => {{ for (let a = 0; a < 6145;
          a++) it.insert("", "t", {{ a, b: 0 }}); }});
        const by = (pageSize) => page({{ pageSize }}).pageStatus;
        const wide = open({{ t: {{ by_ab: ["a", "b"] }} }});
        const text = "x".repeat(1024 * 1024 - 200);
        commit(wide, (it) => {{ for (let a = 0; a < 14; a++) it.insert("", "t", {{ a, text }}); }});
        const heavy = (pageSize) => readPage(begin(wide), "", {{ query: query([]), cursor: null,
          pageSize }}).pageStatus;
        return [by(6144), by(6145), heavy(12), heavy(13)];
        """,
        rows=[],
    )
    assert found == [None, "SplitRecommended", None, "SplitRecommended"]


PAGE = "Invalid arguments for `queryPage`: {}"
INVALID = (
    "InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is "
    "from a different query."
)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("{ pageSize: 0 }", "Must request at least 1 document while paginating"),
        ("{ pageSize: 32001 }", "Requested too many items: 32001"),
        ("{ maximumRowsRead: 0 }", "maximumRowsRead and maximumBytesRead must be greater than 0"),
        ("{ maximumBytesRead: 0 }", "maximumRowsRead and maximumBytesRead must be greater than 0"),
        ('{ cursor: "nonsense" }', INVALID),
        ("{ cursor: 5 }", PAGE.format("cursor must be a string, not 5")),
        ("{ endCursor: {} }", PAGE.format("endCursor must be a string, not {}")),
        ("{ pageSize: 1.5 }", PAGE.format("pageSize must be a natural number, not 1.5")),
        ("{ pageSize: -1 }", PAGE.format("pageSize must be a natural number, not -1")),
        ("{ pageSize: null }", PAGE.format("pageSize must be a natural number, not null")),
        ('{ pageSize: "1" }', PAGE.format('pageSize must be a natural number, not "1"')),
        (
            "{ maximumRowsRead: 0.5 }",
            PAGE.format("maximumRowsRead must be a natural number, not 0.5"),
        ),
        (
            '{ maximumBytesRead: "1" }',
            PAGE.format('maximumBytesRead must be a natural number, not "1"'),
        ),
        ('{ endCursor: "nonsense" }', INVALID),
        ("{ cursor: other }", INVALID),
    ],
)
def test_what_is_no_page_is_refused(in_server: InServer, request_: str, message: str) -> None:
    found = in_server(
        f"""{PAGES}
        const other = readPage(it, "", {{ query: query([], "desc"), cursor: null,
          pageSize: 1 }}).continueCursor;
        try {{ page(eval(`(${{args.request}})`)); }} catch (error) {{ return [error.message,
          error.data ?? null]; }}
        """,
        rows=[{"a": 1}],
        request=request_,
    )
    data = {"isConvexSystemError": True, "paginationError": "InvalidCursor"}
    assert found == [message, data if message == INVALID else None]


def test_the_largest_page_is_one(in_server: InServer) -> None:
    found = in_server(
        f"{PAGES} return of(page({{ pageSize: 32000, maximumRowsRead: 1, maximumBytesRead: 1 }}));",
        rows=[{"a": 1}],
    )
    assert found == [[1], False, "SplitRequired"]
