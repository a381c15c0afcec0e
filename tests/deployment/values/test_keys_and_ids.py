"""Names, timestamps and ids, and the one order of all values."""

from __future__ import annotations

from typing import Any

from tests.deployment.server_modules import InServer


def test_names_and_timestamps(in_server: InServer) -> None:
    found = in_server("""
      const names = ["a", "Z_9", "a".repeat(64), "a".repeat(65), "", "_a", "9a", "a-b",
        "é"].map(identifierProblem);
      const round = [0n, 1n, 2n ** 64n - 1n].map((each) =>
        decodeTimestamp(encodeTimestamp(each)) === each);
      return [names, round, encodeTimestamp(258n), ["", "AAAA", "AAAAAAAAAAA", "AAAAAAAAAAAA",
        "AAAAAAAAA*A=", 5].map(decodeTimestamp)];
    """)
    invalid = (
        "Identifiers must start with a letter and can only contain letters, digits, and "
        "underscores."
    )
    assert found == [
        [None, None, None, "Identifier is too long (65 > maximum 64).", *[invalid] * 5],
        [True] * 3,
        "AgEAAAAAAAA=",
        [None] * 6,
    ]


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
