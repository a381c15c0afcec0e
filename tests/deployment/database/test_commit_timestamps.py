"""The timestamp of a commit in what it writes (https://docs.convex.dev/database/advanced/commit-timestamp)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

OPEN = """
  const tables = open({ t: { by_at: ["at"] } });
  const at = { $commitTs: null };
  const [early, late] = commit(tables, (it) => [integer(1n), integer(2n ** 62n)].map((at, n) =>
    it.insert("", "t", { n, at })));
  const it = begin(tables);
  const order = (range = []) => rows(tables, "t", "by_at", range).map(({ n }) => n);
  const stored = (n) => rows(tables, "t").find((row) => row.n === n).at;
"""
WRITES = {
    "insert": 'it.insert("", "t", { n: 2, at })',
    "patch": 'it.patch("", { id: early, value: { n: 2, at } })',
    "replace": 'it.replace("", { id: early, value: { n: 2, at } })',
}


@pytest.mark.parametrize("work", WRITES.values(), ids=WRITES.keys())
def test_it_is_the_greatest_while_it_is_pending_and_then_in_its_place(
    in_server: InServer, work: str
) -> None:
    found = in_server(
        f"""{OPEN}
        eval(args.work);
        const before = [order().at(-1), stored(2), it.isPending];
        const same = order([{{ type: "Eq", fieldPath: "at", value: at }}]);
        const below = order([{{ type: "Lt", fieldPath: "at", value: at }}]);
        it.resolve(5n);
        const known = [order().at(-1), stored(2), it.isPending];
        it.commit();
        return [before, same, below.includes(2), known,
          order([{{ type: "Eq", fieldPath: "at", value: integer(5n) }}])];
        """,
        work=work,
    )
    five = {"$integer": "BQAAAAAAAAA="}
    assert found == [[2, {"$commitTs": None}, True], [2], False, [1, five, False], [2]]


def test_it_may_stand_deep_in_a_document(in_server: InServer) -> None:
    found = in_server(f"""{OPEN}
      it.insert("", "t", {{ n: 2, deep: [{{ at }}, at], other: {{ $bytes: "AQ==" }} }});
      it.resolve(5n);
      return plain(rows(tables, "t")).at(-1);
    """)
    five = {"$integer": "BQAAAAAAAAA="}
    assert found == {"n": 2, "deep": [{"at": five}, five], "other": {"$bytes": "AQ=="}}


TAKEN_BACK: dict[str, tuple[str, list[int]]] = {
    "rolled back": (
        'const place = it.savepoint(); it.insert("", "t", { n: 2, at }); it.rollBack(place)',
        [0, 1],
    ),
    "deleted again": ('it.remove("", { id: it.insert("", "t", { n: 2, at }) })', [0, 1]),
    "written over": (
        'const id = it.insert("", "t", { n: 2, at });'
        'it.patch("", { id, value: { at: integer(3n) } })',
        [0, 2, 1],
    ),
    "begun anew": ('it.insert("", "t", { n: 2, at }); it.restart()', [0, 1]),
}


@pytest.mark.parametrize(("work", "order"), TAKEN_BACK.values(), ids=TAKEN_BACK.keys())
def test_what_is_taken_back_is_not_resolved(
    in_server: InServer, work: str, order: list[int]
) -> None:
    found = in_server(
        f"{OPEN} eval(args.work); it.resolve(5n); it.commit(); return order();", work=work
    )
    assert found == order


def test_a_transaction_that_ends_after_it_was_resolved_leaves_everything_as_it_was(
    in_server: InServer,
) -> None:
    found = in_server(f"""{OPEN}
      const state = () => JSON.stringify([...tables.find("", "t").documents]);
      const before = state();
      it.patch("", {{ id: early, value: {{ at }} }});
      it.insert("", "t", {{ n: 2, at }});
      it.resolve(5n);
      it.abort();
      return [state() === before, order()];
    """)
    assert found == [True, [0, 1]]


@pytest.mark.parametrize("path", [".a", ".list[0]"])
def test_a_validator_of_integers_does_not_take_what_is_not_known_yet(
    in_server: InServer, path: str
) -> None:
    """`v.commitTs()` does."""
    placeholder: Any = {"$commitTs": None}
    value = {"a": placeholder} if path == ".a" else {"list": [placeholder]}
    found = in_server(
        """
        const { parseValidator } = await load("values/validators");
        const of = (type) => parseValidator({ type: "object", value: {
          a: { fieldType: { type }, optional: true },
          list: { fieldType: { type: "array", value: { type } }, optional: true } } });
        return ["commitTs", "bigint"].map((type) => mismatch(of(type), args.value, { tableOf: () =>
          null }));
        """,
        value=value,
    )
    assert found == [
        None,
        f"Value does not match validator.\nPath: {path}\nValue: [unresolved commit timestamp]\n"
        "Validator: v.int64()\n",
    ]


def test_a_reserved_timestamp_is_after_all_that_was_told_and_nobody_is_told_a_later_one(
    in_server: InServer,
) -> None:
    found = in_server("""
      stopTime();
      const history = new server.History();
      const told = history.now();
      const reserved = history.reserve();
      const meanwhile = [history.now(), history.reserve()];
      const tables = open({ t: {} });
      const it = begin(tables);
      it.insert("", "t", {});
      history.add(it);
      const after = [history.timestamp, history.now()];
      const again = history.reserve();
      history.release();
      const released = history.now();
      const empty = history.reserve();
      history.add(begin(tables));
      return [reserved > told, meanwhile[0] === told, meanwhile[1] === reserved,
        after[0] === reserved, after[1] === reserved, again > reserved, released === reserved,
        history.timestamp === empty];
    """)
    assert found == [True] * 8
