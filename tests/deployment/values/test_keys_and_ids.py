"""Names, timestamps, ids and handles, and the one order of all values."""

from __future__ import annotations

from typing import Any

from tests.deployment.server_modules import InServer

FIRST = "Identifiers must start with an alphabetic character or underscore"
REST = "Identifiers can only contain alphanumeric characters or underscores"
IDENTIFIERS: dict[str, str | None] = {
    **dict.fromkeys(("a", "Z_9", "_a", "_", "__proto__", "a" * 64)),
    "a" * 65: "Identifier is too long (65 > maximum 64)",
    "": "Identifiers can't be empty",
    "9a": f"Invalid first character '9' in 9a: {FIRST}",
    "-": f"Invalid first character '-' in -: {FIRST}",
    "éa": f"Invalid first character 'é' in éa: {FIRST}",
    "\U0001f600": f"Invalid first character '\U0001f600' in \U0001f600: {FIRST}",
    "a-b": f"Identifier a-b has invalid character '-': {REST}",
    "a b.c": f"Identifier a b.c has invalid character ' ': {REST}",
    "aé": f"Identifier aé has invalid character 'é': {REST}",
    "a\n": f"Identifier a\n has invalid character '\n': {REST}",
    "a$": f"Identifier a$ has invalid character '$': {REST}",
}


def test_an_identifier_says_what_is_wrong_with_it(in_server: InServer) -> None:
    found = in_server(
        """
        return args.names.map((name) => [identifierProblem(name), fieldPathProblem(`x.${name}`)]);
        """,
        names=list(IDENTIFIERS),
    )
    expected = [[each, each] for each in IDENTIFIERS.values()]
    dotted = list(IDENTIFIERS).index("a b.c")
    expected[dotted][1] = f"Identifier a b has invalid character ' ': {REST}"
    assert found == expected


def test_what_is_pushed_begins_with_a_letter(in_server: InServer) -> None:
    found = in_server("""
      return ["a", "Z_9", "a".repeat(64), "a".repeat(65), "", "_a", "9a", "a-b",
        "é"].map(pushedNameProblem);
    """)
    invalid = (
        "Identifiers must start with a letter and can only contain letters, digits, and "
        "underscores."
    )
    assert found == [None, None, None, "Identifier is too long (65 > maximum 64).", *[invalid] * 5]


def test_timestamps_are_read_back(in_server: InServer) -> None:
    found = in_server("""
      const round = [0n, 1n, 2n ** 64n - 1n].map((each) =>
        decodeTimestamp(encodeTimestamp(each)) === each);
      return [round, encodeTimestamp(258n), ["", "AAAA", "AAAAAAAAAAA", "AAAAAAAAAAAA",
        "AAAAAAAAA*A=", 5].map(decodeTimestamp)];
    """)
    assert found == [[True] * 3, "AgEAAAAAAAA=", [None] * 6]


HANDLES = {
    "function://;a:f": {"component": "", "path": "a:f"},
    "function://;dir/a.js:f": {"component": "", "path": "dir/a.js:f"},
    "function://;a": {"component": "", "path": "a"},
    "function://one/two;a:f": {"component": "one/two", "path": "a:f"},
    **dict.fromkeys(
        (
            *("", "a:f", "function://", "function://a:f", "function://;", "function://;a:", "x;a"),
            *("function://;a:f:g", "function://a b;c:d", "function://;a:f ", " function://;a:f"),
            *("FUNCTION://;a:f", "function:/;a:f", "function://;a-b:f"),
        )
    ),
}


def test_a_function_handle_is_read_back_and_nothing_else_is(in_server: InServer) -> None:
    found = in_server(
        """
        const parsed = args.texts.map(parseFunctionHandle);
        return [parsed, parsed.flatMap((each) => (each === null ? [] : [functionHandle(each)]))];
        """,
        texts=list(HANDLES),
    )
    valid = [text for text, parts in HANDLES.items() if parts is not None]
    assert found == [list(HANDLES.values()), valid]


def test_ids_have_one_text_and_what_is_near_is_none(in_server: InServer) -> None:
    found = in_server("""
      const internal = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
      const ids = [1, 127, 128, 10001, 2 ** 32 - 1].map((table) => encodeId(table, internal));
      const back = ids.map((id) => [decodeId(id).table, Buffer.from(decodeId(id).internal).equals(
        internal)]);
      const near = [ids[3].slice(1), `${ids[3]}0`, `0${ids[3]}`, ids[3].toUpperCase(),
        ids[3].slice(0, -1) + "z", "", "i".repeat(32),
        "z".repeat(31), 5];
      return [ids, back, near.map(decodeId)];
    """)
    ids, back, near = found
    assert ids == [
        "040020g30g2gc1r81450p30d1r7qker",
        "fw0020g30g2gc1r81450p30d1r7ze8g",
        "g00g00820c20a1g7104gm2rc1m70zye4",
        "j57000820c20a1g7104gm2rc1m70yp0t",
        "zzzzzzrf000g40r40m30e209185gr38e1y3tm",
    ]
    assert back == [[table, True] for table in (1, 127, 128, 10001, 2**32 - 1)]
    assert near == [None] * 9


ORDERED: list[Any] = [
    {"$undefined": None},
    None,
    {"$integer": "AAAAAAAAAIA="},
    {"$integer": "//////////8="},
    {"$integer": "AAAAAAAAAAA="},
    {"$integer": "AAEAAAAAAAA="},
    {"$integer": "/v///////38="},
    {"$commitTs": None},
    {"$float": "AAAAAAAA+P8="},
    {"$float": "AAAAAAAA8P8="},
    -1.5,
    {"$float": "AAAAAAAAAIA="},
    0,
    1,
    256,
    {"$float": "AAAAAAAA8H8="},
    {"$float": "AAAAAAAA+H8="},
    False,
    True,
    "",
    "\x00",
    "\x00a",
    "a",
    "a\x00",
    "a\x00b",
    "aa",
    "é",
    "\uffff",
    "\U0001f600",
    {"$bytes": ""},
    {"$bytes": "AA=="},
    {"$bytes": "AAA="},
    {"$bytes": "/w=="},
    [],
    [None],
    [None, None],
    [1],
    ["a"],
    {},
    {"a": 1},
    {"a": 1, "b": 1},
    {"a": 2},
    {"b": 0},
]


def test_values_of_all_types_have_one_order(in_server: InServer) -> None:
    found = in_server(
        """
        const keys = args.values.map(keyOf);
        const wrong = [];
        for (const [i, a] of args.values.entries()) for (const [j, b] of args.values.entries()) {
          if (Math.sign(compareValues(a, b)) !== Math.sign(i - j)) wrong.push([i, j]);
          if (i !== j && keys[j].startsWith(keys[i])) wrong.push(["prefix", i, j]);
          if (keys[j] >= keys[i] + LAST && j <= i) wrong.push(["last", i, j]);
        }
        return [wrong, keyOf(undefined) === keys[0], keys.length];
        """,
        values=ORDERED,
    )
    assert found == [[], True, len(ORDERED)]
