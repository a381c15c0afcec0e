"""Values, their order, ids, and transactions: the server's JavaScript against naive models."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import SERVER, EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOverHttp
from tests.patience import HANG_SECONDS

FOLDER = SERVER.parent
PROGRAM = Path(__file__).parent / "values_server.mjs"
PROPERTY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Server(Protocol):
    def __call__(self, command: str, **args: Any) -> Any: ...


@pytest.fixture(scope="module")
def ask_server(node: Path) -> Iterator[Server]:
    with processes.running(
        [node, PROGRAM, f"{FOLDER.as_uri()}/"],
        cwd=FOLDER,
        env=processes.environment(home=FOLDER),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        stdin, stdout = child.stdin, child.stdout

        def ask(command: str, **args: Any) -> Any:
            stdin.write(json.dumps([command, args]).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
            assert line, child.stderr.read() if child.stderr else ""
            return json.loads(line)

        yield ask


def integer(value: int) -> dict[str, str]:
    return {"$integer": base64.b64encode(struct.pack("<q", value)).decode()}


def number(value: float) -> Any:
    if math.isfinite(value) and not (value == 0 and math.copysign(1, value) < 0):
        return value
    return {"$float": base64.b64encode(struct.pack("<d", value)).decode()}


INTEGERS = st.integers(-(2**63), 2**63 - 1).map(integer)
NUMBERS = st.floats().map(number)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
BYTES = st.binary(max_size=5).map(lambda raw: {"$bytes": base64.b64encode(raw).decode()})
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4).filter(
    lambda name: not name.startswith("$")
)
SCALARS = st.one_of(st.none(), INTEGERS, NUMBERS, st.booleans(), TEXTS, BYTES)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


def model_key(value: Any) -> tuple[Any, ...]:
    """The order of section "Values" of Convex's documentation, by Python's own comparison."""
    if value is None:
        return (1,)
    if isinstance(value, bool):
        return (4, value)
    if isinstance(value, int | float):
        return (3, float_order(float(value)))
    if isinstance(value, str):
        return (5, value.encode())
    if isinstance(value, list):
        return (7, tuple(model_key(each) for each in value))
    if "$integer" in value:
        return (2, struct.unpack("<q", base64.b64decode(value["$integer"]))[0])
    if "$float" in value:
        return (3, float_order(struct.unpack("<d", base64.b64decode(value["$float"]))[0]))
    if "$bytes" in value:
        return (6, base64.b64decode(value["$bytes"]))
    return (9, tuple((name.encode(), model_key(value[name])) for name in sorted(value)))


def float_order(value: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits if bits >= 0 else -(bits & (2**63 - 1)) - 1)


@PROPERTY
@given(st.lists(VALUES, min_size=2, max_size=2))
def test_keys_sort_as_values_do(ask_server: Server, pair: list[Any]) -> None:
    a, b = pair
    left, right = model_key(a), model_key(b)
    expected = -1 if left < right else 1 if left > right else 0
    assert ask_server("compare", a=a, b=b) == expected
    assert ask_server("compare", a=b, b=a) == -expected
    assert ask_server("compare", a={"$undefined": None}, b=a) == -1


@PROPERTY
@given(VALUES)
def test_a_value_is_parsed_to_itself(ask_server: Server, value: Any) -> None:
    parsed = ask_server("parse", value=value)["ok"]
    assert model_key(parsed) == model_key(value)


STORING = {
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  values: defineTable({ at: v.number(), value: v.any() }).index("by_value", ["value", "at"]),
});
""",
    "convex/a.ts": """
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const put = mutation({
  args: { values: v.array(v.any()) },
  handler: async (ctx, { values }) => {
    for (const [at, value] of values.entries()) await ctx.db.insert("values", { at, value });
    return values;
  },
});
export const sorted = query({
  args: {},
  handler: async (ctx) => {
    const rows = await ctx.db.query("values").withIndex("by_value").collect();
    return rows.map(({ at, value }) => [at, value]);
  },
});
""",
}


@pytest.fixture
def storing(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> EmbeddedDeployment:
    answer = push_over_http(bundle(STORING))
    assert answer.status == 200, answer.body
    return deployment


def one_nan(value: Any) -> Any:
    """`value` with one NaN for all: code does not see its sign nor its other bits."""
    if isinstance(value, list):
        return [one_nan(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value and math.isnan(struct.unpack("<d", base64.b64decode(value["$float"]))[0]):
        return number(math.nan)
    return {name: one_nan(each) for name, each in value.items()}


@PROPERTY
@given(st.lists(VALUES, max_size=8))
def test_values_come_back_from_functions_and_in_their_order(
    storing: EmbeddedDeployment, values: list[Any]
) -> None:
    storing.reset_data()
    returned = storing.mutation("a:put", {"values": values}).value
    assert model_key(one_nan(returned)) == model_key(one_nan(values))
    found: Any = storing.query("a:sorted").value
    keys = [(model_key(value), at) for at, value in found]
    assert keys == sorted(keys)
    stored = [value for _, value in sorted(found, key=lambda row: row[0])]
    assert model_key(one_nan(stored)) == model_key(one_nan(values))


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth > 0 else None


WRONG = {
    "reserved name": ({"$a": 1, "b": 2}, "reserved"),
    "unknown encoding": ({"$other": "x"}, "reserved"),
    "a set": ({"$set": "x"}, "no longer supported"),
    "control character": ({"a\n": 1}, "non-control ASCII"),
    "not ASCII": ({"ä": 1}, "non-control ASCII"),
    "short integer": ({"$integer": "AAAA"}, "3 bytes, expected 8"),
    "long array": ([0] * 8193, "Array length is too long (8193 > maximum length 8192)"),
    "many fields": ({f"f{i}": 0 for i in range(1025)}, "too many fields"),
    "deep": (nested(65), "too nested"),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_value_is_refused(ask_server: Server, value: Any, message: str) -> None:
    assert message in ask_server("parse", value=value)["error"]


def test_sizes_and_texts_of_values(ask_server: Server) -> None:
    value = {"a": [1, integer(2), None, "é"], "b": True}
    assert ask_server("size", value=value) == 2 + (2 + 2 + 9 + 9 + 1 + 4) + (2 + 1)
    assert ask_server("display", value=value) == '{a: [1.0, 2, null, "é"], b: true}'


@PROPERTY
@given(st.integers(1, 2**32 - 1), st.binary(min_size=16, max_size=16))
def test_ids_are_read_back(ask_server: Server, table: int, internal: bytes) -> None:
    text = ask_server("encode", table=table, internal=internal.hex())
    # A varint, 16 bytes and a checksum of two, 5 bits a letter.
    varint = max(1, -(-table.bit_length() // 7))
    assert len(text) == -(-(varint + 16 + 2) * 8 // 5)
    assert ask_server("decode", id=text) == {"table": table, "internal": internal.hex()}


def test_ids_of_a_users_tables_have_32_letters(ask_server: Server) -> None:
    lengths = {
        table: len(ask_server("encode", table=table, internal="00" * 16))
        for table in (1, 127, 128, 10_001, 16_383, 16_384, 2**32 - 1)
    }
    assert list(lengths.values()) == [31, 31, 32, 32, 32, 34, 37]


@PROPERTY
@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 31),
    st.sampled_from("0123456789abcdefghjkmnpqrstvwxyz"),
)
def test_a_changed_id_is_none(ask_server: Server, internal: bytes, at: int, character: str) -> None:
    text = ask_server("encode", table=10001, internal=internal.hex())
    changed = text[:at] + character + text[at + 1 :]
    found = ask_server("decode", id=changed)
    # Fletcher's sums do not tell a byte of 0 from one of 255: no letter makes one of the other.
    assert (found is None) == (changed != text)
    assert ask_server("decode", id=text.upper()) is None
    assert ask_server("decode", id=text[:-1]) is None


SMALL = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"]), st.none())
ROWS = st.lists(st.fixed_dictionaries({"a": SMALL}, optional={"b": SMALL}).map(dict), max_size=12)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "Gt": lambda x, y: x > y,
    "Gte": lambda x, y: x >= y,
    "Lt": lambda x, y: x < y,
    "Lte": lambda x, y: x <= y,
}


def field_key(row: dict[str, Any], name: str) -> tuple[Any, ...]:
    return model_key(row[name]) if name in row else (0,)


@PROPERTY
@given(
    ROWS,
    SMALL,
    st.sampled_from([None, "Gt", "Gte", "Lt", "Lte"]),
    SMALL,
    st.sampled_from(["asc", "desc"]),
)
def test_a_range_of_an_index_is_what_a_filter_and_a_sort_give(
    ask_server: Server,
    rows: list[dict[str, Any]],
    a: Any,
    bound: str | None,
    b: Any,
    order: str,
) -> None:
    bounds = [] if bound is None else [{"type": bound, "fieldPath": "b", "value": b}]
    range_ = [{"type": "Eq", "fieldPath": "a", "value": a}, *bounds]
    found = ask_server("range", documents=rows, range=range_, order=order)
    expected = [
        row
        for row in rows
        if model_key(row["a"]) == model_key(a)
        and (bound is None or COMPARE[bound](field_key(row, "b"), model_key(b)))
    ]
    expected.sort(key=lambda row: field_key(row, "b"))
    # Equal fields are in order of creation, which is turned around too.
    assert found == (expected if order == "asc" else expected[::-1])


@PROPERTY
@given(ROWS, st.integers(1, 5), st.sampled_from(["asc", "desc"]))
def test_pages_are_the_whole_in_pieces(
    ask_server: Server, rows: list[dict[str, Any]], size: int, order: str
) -> None:
    pages = ask_server("page", documents=rows, size=size, order=order)
    assert [row for page in pages for row in page] == (rows if order == "asc" else rows[::-1])
    assert all(len(page) == size for page in pages[:-1])


OPS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["insert", "insert", "patch", "remove", "sub"]),
        "at": st.integers(0, 9),
        "value": st.integers(0, 99),
    }
)
STEPS = st.lists(
    st.fixed_dictionaries({"ops": st.lists(OPS, max_size=6), "fails": st.booleans()}),
    min_size=1,
    max_size=6,
)


@PROPERTY
@given(STEPS)
def test_transactions_are_all_or_nothing(ask_server: Server, steps: list[dict[str, Any]]) -> None:
    states = ask_server("transactions", steps=steps)
    assert len(states) == len(steps) > 0
    model: dict[int, dict[str, Any]] = {}
    ids: list[int] = []
    made = 0
    for step, state in zip(steps, states, strict=True):
        draft = {key: dict(row) for key, row in model.items()}
        new = []
        for op in step["ops"]:
            target = ids[op["at"] % len(ids)] if ids else None
            if op["op"] == "insert":
                made += 1
                draft[made] = {"a": op["value"]}
                new.append(made)
            elif op["op"] == "patch" and target in draft:
                draft[target]["b"] = op["value"]
            elif op["op"] == "remove" and target in draft:
                del draft[target]
        if not step["fails"]:
            model = draft
            ids += new
        assert state["rows"] == [model[key] for key in sorted(model)]
        assert state["indexed"] == len(model)
