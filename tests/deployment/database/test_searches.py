"""Searches of texts and vectors, and filter expressions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

TEXTS = """
  const tables = open({ t: { indexes: {}, search: { by_text: { searchField: "text",
    filterFields: ["tag", "o.x"] } } } });
  commit(tables, (it) => { for (const row of args.rows) it.insert("", "t", row); });
  const filters = (text, ...equal) => [{ type: "Search", fieldPath: "text", value: text },
    ...equal.map(([fieldPath, value]) => ({ type: "Eq", fieldPath, value }))];
  const find = (text, ...equal) => search(tables.find("", "t"), "t.by_text", filters(text,
    ...equal)).map(({ n }) => n);
"""


def texts(*some: Any) -> list[dict[str, Any]]:
    return [{"n": n, "text": text} for n, text in enumerate(some)]


SEARCHES: dict[str, tuple[list[Any], str, list[int]]] = {
    "any term": (["red house", "blue car", "green"], "blue red x", [1, 0]),
    "the last one as a prefix": (["household", "house", "mouse"], "hous", [1, 0]),
    "an exact one before one that only begins so": (
        ["cats x", "cat y", "catalogue"],
        "cat",
        [1, 2, 0],
    ),
    "an exact one in a longer text": (["cats y", "cat y z w"], "cat", [1, 0]),
    "twice begun like once whole": (["cats catty", "cat dog", "x y"], "cat", [1, 0]),
    "the others as a whole": (["household", "car"], "house car", [1]),
    "whatever the case": (["RED Ünder", "blue"], "ÜNDER", [0]),
    "letters and digits alone": (["a-b,c", "d"], "c!", [0]),
    "a rare term before a frequent one": (["a", "a b", "a", "a"], "b a", [1, 3, 2, 0]),
    "more often before once": (["x y", "x x"], "x", [1, 0]),
    "short before long": (["x y y y y y", "x y"], "x", [1, 0]),
    "the newest first where they are equal": (["x", "x", "x"], "x", [2, 1, 0]),
    "a rare term in long texts": (["a b", "a c", "a d", "a e b"], "e a", [3, 2, 1, 0]),
    "nothing for nothing": (["x"], "", []),
    "what is no text": ([5, None, ["x"], "x"], "x", [3]),
}


@pytest.mark.parametrize(("some", "text", "found"), SEARCHES.values(), ids=SEARCHES.keys())
def test_a_text_is_found_by_its_words(
    in_server: InServer, some: list[Any], text: str, found: list[int]
) -> None:
    assert in_server(f"{TEXTS} return find(args.text);", rows=texts(*some), text=text) == found


def test_terms_are_cut_and_counted(in_server: InServer) -> None:
    rows = texts("a" * 32 + "b", "sixteen", "seventeen")
    found = in_server(
        f"""{TEXTS}
        const filler = Array.from({{ length: 15 }}, (_, i) => `f${{i}}`).join(" ");
        return [find("a".repeat(40)), find("a".repeat(32)), find("a".repeat(31) + " x"),
          find(`${{filler}} sixteen seventeen`)];
        """,
        rows=rows,
    )
    assert found == [[0], [0], [], [1]]


def test_a_search_is_filtered_by_what_equals(in_server: InServer) -> None:
    rows = [
        {"n": 0, "text": "x", "tag": 1, "o": {"x": "a"}},
        {"n": 1, "text": "x", "tag": 2},
        {"n": 2, "text": "y", "tag": 1},
        {"n": 3, "text": "x"},
    ]
    found = in_server(
        f"""{TEXTS}
        return [find("x", ["tag", 1]), find("x", ["tag", {{ $undefined: null }}]),
          find("x", ["o.x", "a"]),
          find("x", ["tag", 1], ["o.x", "b"]), find("x", ["tag", 1], ["o.x", "a"])];
        """,
        rows=rows,
    )
    assert found == [[0], [3], [0], [], [0]]


SEARCH = "Search query against t.by_text"
REFUSED: dict[str, tuple[str, str]] = {
    "no such index": ('search(table, "t.none", filters("x"))', "Index t.none not found."),
    "no such table": ('search(undefined, "u.none", filters("x"))', "Index u.none not found."),
    "an index of the database": (
        'search(table, "t.by_creation_time", filters("x"))',
        "Index t.by_creation_time is not a search index",
    ),
    "no search": (
        'search(table, "t.by_text", [])',
        f"{SEARCH} does not contain any search filters. You must include a search filter like "
        '`q.search("text", searchText)`.',
    ),
    "equalities alone": (
        'search(table, "t.by_text", filters("x", ["tag", 1]).slice(1))',
        f"{SEARCH} does not contain any search filters. You must include a search filter like "
        '`q.search("text", searchText)`.',
    ),
    "two searches": (
        'search(table, "t.by_text", [...filters("x"), ...filters("y")])',
        f'{SEARCH} contains multiple search filters against "text". Only one is allowed.',
    ),
    "another field": (
        'search(table, "t.by_text", [{ type: "Search", fieldPath: "tag", value: "x" }])',
        f'{SEARCH} contains a search filter against "tag", which doesn\'t match the indexed '
        '`searchField` "text".',
    ),
    "a field that is no filter": (
        'search(table, "t.by_text", filters("x", ["n", 1]))',
        f'{SEARCH} contains an equality filter on "n" but that field isn\'t indexed for '
        "filtering in `filterFields`.",
    ),
    "many filters": (
        'search(table, "t.by_text", filters("x", ...Array(9).fill(["tag", 1])))',
        f"{SEARCH} has too many filter conditions. Max: 8 Actual: 9",
    ),
}


@pytest.mark.parametrize(("work", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_search_is_refused(in_server: InServer, work: str, message: str) -> None:
    found = in_server(
        f"""{TEXTS}
        const table = tables.find("", "t");
        const allowed = await thrown(() => find("x", ...Array(8).fill(["tag", 1])));
        return [allowed, await thrown(() => eval(args.work))];
        """,
        rows=[],
        work=work,
    )
    assert found == [None, message]


def test_a_staged_search_index_can_not_be_searched(in_server: InServer) -> None:
    found = in_server(
        f"""{TEXTS}
        const staged = schema({{ t: {{ indexes: {{}} }} }});
        staged.tables[0].stagedSearchIndexes = [{{ indexDescriptor: "by_text",
          searchField: "text", filterFields: [] }}];
        tables.useSchemas(new Map([["", staged]]));
        return await thrown(() => find("x"));
        """,
        rows=[],
    )
    assert found == (
        "Index t.by_text is currently staged and not available to query until it is enabled."
    )


def test_a_search_is_read_in_pages_and_ends_with_the_1024th(in_server: InServer) -> None:
    found = in_server(
        f"""{TEXTS}
        const it = begin(tables);
        const query = {{ source: {{ type: "Search", indexName: "t.by_text",
          filters: filters("x") }}, operators: [] }};
        const page = (cursor, pageSize) => readPage(it, "", {{ query, cursor, pageSize }});
        const first = page(null, 2);
        const second = page(first.continueCursor, 2);
        const until = readPage(it, "", {{ query, cursor: null, endCursor: first.continueCursor,
          pageSize: 1 }});
        commit(tables, (it) => {{ for (let n = 0; n < 1020;
          n++) it.insert("", "t", {{ n, text: "x" }}); }});
        const collect = (operators = []) => {{
          const stream = new QueryStream(it, "", {{ ...query, operators }});
          let n = 0;
          while (stream.next() !== null) n += 1;
          return n;
        }};
        const exact = page(null, 1024);
        const taken = collect([{{ limit: 1024 }}]);
        const tooMany = [await thrown(() => collect()),
          await thrown(() => page(exact.continueCursor, 1)),
          await thrown(() => collect([{{ limit: 1025 }}]))];
        commit(tables, (it) => it.remove("", {{ id: rows(tables, "t")[0]._id }}));
        return [[first, second, until].map(({{ page, isDone }}) => [page.map(({{ n }}) => n),
          isDone]), exact.page.length, taken, tooMany, collect(), [...it.reads]];
        """,
        rows=texts("x", "x", "x", "x"),
    )
    pages, exact, taken, too_many, fewer, reads = found
    assert pages == [[[3, 2], False], [[1, 0], False], [[3, 2], False]]
    assert (exact, taken, fewer) == (1024, 1024, 1023)
    message = (
        "Search query scanned too many documents (fetched 1024). Consider using a smaller limit, "
        "paginating the query, or using a filter field to limit the number of documents pulled "
        "from the search index."
    )
    assert too_many == [message] * 3
    assert reads == ["/t"]


VECTORS = """
  const tables = open({ t: { indexes: {}, vector: { by_own: { vectorField: "v", dimensions: 2,
    filterFields: ["tag"] } } } });
  commit(tables, (it) => { for (const row of args.rows) it.insert("", "t", row); });
  const table = tables.find("", "t");
  const names = new Map([...table.documents].map(([id, { n }]) => [id, n]));
  const query = (more) => ({ indexName: "t.by_own", vector: [1, 0], expressions: null, ...more });
  const find = (more = {}) => vectorSearch(table, query(more)).map(({ _id, _score }) =>
    [names.get(_id), Math.round(_score * 1000) / 1000]);
"""
POINTS: list[dict[str, Any]] = [
    {"n": 0, "v": [0, 1], "tag": "a"},
    {"n": 1, "v": [3, 0], "tag": "b"},
    {"n": 2, "v": [-1, 0]},
    {"n": 3, "v": [1, 1], "tag": "a"},
    {"n": 4, "v": [0, 0]},
    {"n": 5, "v": [1, 0, 0]},
    {"n": 6, "v": ["1", 0]},
    {"n": 7},
]


def test_vectors_are_ranked_by_their_angle(in_server: InServer) -> None:
    found = in_server(
        f"""{VECTORS}
        const tag = (value) => ({{ $eq: [{{ $field: "tag" }}, {{ $literal: value }}] }});
        return [find(), find({{ limit: 2 }}), find({{ expressions: tag("a") }}),
          find({{ vector: [0, 0] }}),
          find({{ expressions: {{ $or: [tag("b"), tag("c")] }} }}), find({{ limit: 256 }}).length];
        """,
        rows=POINTS,
    )
    every = [[1, 1], [3, 0.707], [0, 0], [4, 0], [2, -1]]
    assert found == [
        *(every, every[:2], [[3, 0.707], [0, 0]], [[n, 0] for n in range(5)], [[1, 1]], 5),
    ]


def test_ten_vectors_are_found_where_nobody_says_how_many(in_server: InServer) -> None:
    rows = [{"n": n, "v": [1, n]} for n in range(12)]
    assert in_server(
        f"{VECTORS} return [find().length, find({{ limit: null }}).length, find({{ limit: 1 }})];",
        rows=rows,
    ) == [10, 10, [[0, 1]]]


FIELD = '{ $eq: [{ $field: "FIELD" }, { $literal: { $field: "literal" } }] }'
NO_VECTORS: dict[str, tuple[str, str]] = {
    "no such index": (
        'vectorSearch(table, query({ indexName: "t.none" }))',
        "Index t.none not found.",
    ),
    "no such table": ("vectorSearch(undefined, query())", "Index t.by_own not found."),
    "an index of the database": (
        'find({ indexName: "t.by_creation_time" })',
        "Index t.by_creation_time is not a vector index",
    ),
    "too many": (
        "find({ limit: 257 })",
        "Vector queries can fetch at most 256 results, requested 257.",
    ),
    "too few": (
        "find({ limit: 0 })",
        "Vector queries must fetch at least 1 result, requested 0.",
    ),
    "no number": (
        "find({ limit: NaN })",
        "Vector queries must fetch at least 1 result, requested NaN.",
    ),
    "other dimensions": (
        "find({ vector: [1, 2, 3] })",
        "Expected a vector with dimensions 2, received 3.",
    ),
    "no vector": (
        'find({ vector: ["1", "2"] })',
        "Expected a vector with dimensions 2, received 0.",
    ),
    "no filter": (
        f"find({{ expressions: {FIELD.replace('FIELD', 'n')} }})",
        'Vector query against t.by_own contains a filter on "n" but that field isn\'t indexed for '
        "filtering in `filterFields`.",
    ),
    "many filters": (
        f"find({{ expressions: {{ $or: Array(65).fill({FIELD.replace('FIELD', 'tag')}) }} }})",
        "Vector query against t.by_own has too many filter conditions. Max: 64 Actual: 65",
    ),
}


@pytest.mark.parametrize(("work", "message"), NO_VECTORS.values(), ids=NO_VECTORS.keys())
def test_what_is_no_search_of_vectors_is_refused(
    in_server: InServer, work: str, message: str
) -> None:
    found = in_server(
        f"""{VECTORS}
        const most = await thrown(() => find({{ expressions: {{ $or: Array(64).fill(
          {FIELD.replace("FIELD", "tag")}) }} }}));
        return [most, await thrown(() => eval(args.work))];
        """,
        rows=[],
        work=work,
    )
    assert found == [None, message]


INT = "{{ $literal: integer({}n) }}"
LEAST = "{ $literal: integer(-(2n ** 63n)) }"
EXPRESSIONS: dict[str, Any] = {
    '{ $field: "a" }': 1,
    '{ $field: "o.x" }': 2,
    '{ $field: "o.none" }': None,
    '{ $field: "l.length" }': None,
    '{ $field: "a.x" }': None,
    '{ $field: "o.constructor" }': None,
    '{ $eq: [{ $field: "a" }, { $literal: 1 }] }': True,
    '{ $eq: [{ $field: "none" }, { $literal: { $undefined: null } }] }': True,
    '{ $eq: [{ $field: "none" }, { $literal: null }] }': False,
    '{ $neq: [{ $field: "a" }, { $literal: 1 }] }': False,
    '{ $lt: [{ $field: "a" }, { $literal: 1 }] }': False,
    '{ $lt: [{ $field: "a" }, { $literal: 2 }] }': True,
    '{ $lte: [{ $field: "a" }, { $literal: 1 }] }': True,
    '{ $lte: [{ $field: "a" }, { $literal: 0 }] }': False,
    '{ $gt: [{ $field: "a" }, { $literal: 1 }] }': False,
    '{ $gt: [{ $field: "a" }, { $literal: 0 }] }': True,
    '{ $gte: [{ $field: "a" }, { $literal: 1 }] }': True,
    '{ $gte: [{ $field: "a" }, { $literal: 2 }] }': False,
    "{ $add: [{ $literal: 7 }, { $literal: 2 }] }": 9,
    "{ $sub: [{ $literal: 7 }, { $literal: 2 }] }": 5,
    "{ $mul: [{ $literal: 7 }, { $literal: 2 }] }": 14,
    "{ $div: [{ $literal: 7 }, { $literal: 2 }] }": 3.5,
    "{ $mod: [{ $literal: 7 }, { $literal: 2 }] }": 1,
    "{ $neg: { $literal: 7 } }": -7,
    "{ $neg: { $div: [{ $literal: 1 }, { $literal: 0 }] } }": {"$float": "AAAAAAAA8P8="},
    f"{{ $add: [{INT.format(7)}, {INT.format(2)}] }}": {"$integer": "CQAAAAAAAAA="},
    f"{{ $sub: [{INT.format(7)}, {INT.format(2)}] }}": {"$integer": "BQAAAAAAAAA="},
    f"{{ $mul: [{INT.format(7)}, {INT.format(2)}] }}": {"$integer": "DgAAAAAAAAA="},
    f"{{ $div: [{INT.format(7)}, {INT.format(2)}] }}": {"$integer": "AwAAAAAAAAA="},
    f"{{ $mod: [{INT.format(7)}, {INT.format(2)}] }}": {"$integer": "AQAAAAAAAAA="},
    f"{{ $neg: {INT.format(1)} }}": {"$integer": "//////////8="},
    f"{{ $neg: {LEAST} }}": {"$integer": "AAAAAAAAAIA="},
    f"{{ $sub: [{LEAST}, {INT.format(1)}] }}": {"$integer": "/////////38="},
    "{ $not: { $literal: true } }": False,
    "{ $and: [{ $literal: true }, { $literal: false }] }": False,
    "{ $and: [{ $literal: true }, { $literal: true }] }": True,
    "{ $and: [{ $literal: false }, { $literal: 1 }] }": False,
    "{ $or: [{ $literal: false }, { $literal: true }] }": True,
    "{ $or: [{ $literal: true }, { $literal: 1 }] }": True,
    "{ $or: [{ $literal: false }, { $literal: false }] }": False,
    "{ $or: 1 }": False,
}


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS.items(), ids=EXPRESSIONS.keys())
def test_an_expression_has_a_value(in_server: InServer, expression: str, value: Any) -> None:
    document = {"a": 1, "o": {"x": 2}, "l": [1]}
    found = in_server(
        "return evaluate(eval(`(${args.expression})`), args.document);",
        expression=expression,
        document=document,
    )
    assert (found, type(found)) == (value, type(value))


NO_EXPRESSIONS = {
    "{}": "Invalid filter expression {}",
    "1": "Invalid filter expression 1",
    "null": "Invalid filter expression null",
    "{ $none: 1 }": "Unknown filter expression $none",
    "{ $eq: 1 }": "Invalid filter expression null",
}


TYPED = {
    "null": "null (type Null)",
    "1": "1.0 (type Float64)",
    "{ $float: 'AAAAAAAA8H8=' }": "inf (type Float64)",
    "integer(2n)": "2 (type Int64)",
    "{ $commitTs: null }": "[unresolved commit timestamp] (type Int64)",
    "true": "true (type Boolean)",
    "'a'": '"a" (type String)',
    "{ $bytes: 'AQID' }": 'b"AQID" (type Bytes)',
    "[1]": "[1.0] (type Array)",
    "{ a: 1 }": "{a: 1.0} (type Object)",
    "{ $undefined: null }": "undefined (type undefined)",
}
"""Values of all types, as errors of filters show them."""
VERBS = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "mod": "mod"}


@pytest.mark.parametrize(("value", "typed"), TYPED.items(), ids=TYPED.keys())
def test_operations_say_which_types_they_do_not_take(
    in_server: InServer, value: str, typed: str
) -> None:
    """With a text at their side: no operation takes two types."""
    found = in_server(
        """
        const value = { $literal: eval(`(${args.value})`) };
        const text = { $literal: "x" };
        const why = async (expression) => (await thrown(() => evaluate(expression, {}))) ?? null;
        return [await why({ $neg: value }), ...await Promise.all(args.verbs.flatMap((verb) =>
          [why({ [`$${verb}`]: [value, text] }), why({ [`$${verb}`]: [text, value] })]))];
        """,
        value=value,
        verbs=list(VERBS),
    )
    is_number = "Float64" in typed or ("Int64" in typed and "commit" not in typed)
    expected = [None if is_number else f"Cannot negate {typed}"]
    for verb in VERBS.values():
        expected += [f'Cannot {verb} {typed} and "x" (type String)']
        expected += [f'Cannot {verb} "x" (type String) and {typed}']
    assert found == expected


@pytest.mark.parametrize(("value", "typed"), TYPED.items(), ids=TYPED.keys())
def test_only_a_boolean_is_a_boolean(in_server: InServer, value: str, typed: str) -> None:
    found = in_server(
        """
        const value = { $literal: eval(`(${args.value})`) };
        const ask = async (work) => (await thrown(work)) ?? work();
        const of = (expression) => ask(() => evaluate(expression, {}));
        const [no, yes] = [{ $literal: false }, { $literal: true }];
        return [await ask(() => passes(value, {})), await of({ $not: value }),
          await of({ $and: [yes, value] }), await of({ $or: [no, value] }),
          await of({ $and: [no, value] }), await of({ $or: [yes, value] })];
        """,
        value=value,
    )
    wrong = f"Cannot use value {typed} as a Boolean"
    whole = [True, False, True, True] if typed.startswith("true") else [wrong] * 4
    assert found == [*whole, False, True]


def test_operations_do_not_mix_numbers_nor_divide_integers_by_zero(in_server: InServer) -> None:
    found = in_server("""
      const [one, two, zero] = [1, integer(2n), integer(0n)].map(($literal) => ({ $literal }));
      const why = (operator, a, b) => thrown(() => evaluate({ [operator]: [a, b] }, {}));
      return [await why("$mul", one, two), await why("$sub", two, one),
        await why("$div", two, zero), await why("$mod", two, zero),
        await why("$div", one, { $literal: 0 })];
    """)
    assert found == [
        "Cannot multiply 1.0 (type Float64) and 2 (type Int64)",
        "Cannot subtract 2 (type Int64) and 1.0 (type Float64)",
        "Cannot divide 2 by zero",
        "Cannot mod 2 by zero",
        None,
    ]


@pytest.mark.parametrize(
    ("expression", "message"), NO_EXPRESSIONS.items(), ids=NO_EXPRESSIONS.keys()
)
def test_what_has_no_value_is_told(in_server: InServer, expression: str, message: str) -> None:
    found = in_server(
        "return await thrown(() => evaluate(eval(`(${args.expression})`), {}));",
        expression=expression,
    )
    assert found == message
