"""Queries at a timestamp: the database as it was."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import SERVER, EmbeddedDeployment
from tests.deployment.fixtures import Ask, Bundle, PushOnce
from tests.patience import HANG_SECONDS

APP = """
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const write = mutation({ args: { key: v.string(), n: v.union(v.number(), v.null()) },
  handler: async (ctx, { key, n }) => {
    const row = await ctx.db.query("rows").withIndex("by_key", (q) => q.eq("key", key)).unique();
    if (row === null) { if (n !== null) await ctx.db.insert("rows", { key, n }); }
    else if (n === null) await ctx.db.delete(row._id);
    else await ctx.db.patch(row._id, { n });
  } });
export const read = query({ args: {}, handler: async (ctx) => {
  const byKey = await ctx.db.query("rows").withIndex("by_key").collect();
  const byTime = await ctx.db.query("rows").collect();
  return [byKey.map((row) => `${row.key}${row.n}`), byTime.map((row) => row.key).join("")];
} });
export const slow = query({ args: {}, handler: async () => { for (;;) {} } });
export const snapshot = query({ args: {}, handler: (ctx) => ctx.meta.getSnapshotTs() });
"""
SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ rows: defineTable({ key: v.string(), n: v.number() })
  .index("by_key", ["key"]) });
"""
FILES = {"convex/a.ts": APP, "convex/schema.ts": SCHEMA}


class Read(Protocol):
    def __call__(self, ts: str, path: str = "a:read") -> Any: ...


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once(FILES)


@pytest.fixture
def now(ask_once: Ask) -> Callable[[], str]:
    """A timestamp of the present."""

    def timestamp() -> str:
        found: str = ask_once("POST", "/api/query_ts").body["ts"]
        return found

    return timestamp


@pytest.fixture
def read_at(ask_once: Ask) -> Read:
    """The answer of `a:read` at a timestamp: what it returns, or the whole of an error."""

    def read(ts: str, path: str = "a:read") -> Any:
        answer = ask_once("POST", "/api/query_at_ts", {"path": path, "args": [{}], "ts": ts})
        return answer.body["value"] if answer.body.get("status") == "success" else answer.body

    return read


def nanoseconds(ts: str) -> int:
    return int.from_bytes(base64.b64decode(ts), "little")


def encoded(timestamp: int) -> str:
    return base64.b64encode(timestamp.to_bytes(8, "little")).decode()


def write(live: EmbeddedDeployment, key: str, n: int | None) -> None:
    assert live.mutation("a:write", {"key": key, "n": n}).error is None


def test_each_state_of_the_past_can_be_seen(
    live: EmbeddedDeployment, now: Callable[[], str], read_at: Read
) -> None:
    states = [(now(), live.query("a:read").value)]
    for key, n in [("b", 1), ("a", 2), ("b", 3), ("a", None), ("c", 4), ("a", 5), ("b", None)]:
        write(live, key, n)
        states.append((now(), live.query("a:read").value))
    assert states[3][1] == [["a2", "b3"], "ba"]
    assert states[-1][1] == [["a5", "c4"], "ca"]
    for ts, value in [*states, *reversed(states)]:
        assert read_at(ts) == value
    assert live.query("a:read").value == states[-1][1]


def test_what_is_written_later_builds_on_the_present(
    live: EmbeddedDeployment, now: Callable[[], str], read_at: Read
) -> None:
    write(live, "a", 1)
    before = now()
    write(live, "a", 2)
    assert read_at(before) == [["a1"], "a"]
    write(live, "b", 3)
    assert live.query("a:read").value == [["a2", "b3"], "ab"]
    assert read_at(before) == [["a1"], "a"]


def test_a_query_that_is_cut_off_in_the_past_leaves_the_present_alone(
    live: EmbeddedDeployment, now: Callable[[], str], read_at: Read
) -> None:
    write(live, "a", 1)
    before = now()
    write(live, "a", 2)
    assert "timed out" in read_at(before, "a:slow")["errorMessage"]
    assert live.query("a:read").value == [["a2"], "a"]


def test_the_present_is_what_no_commit_followed(
    live: EmbeddedDeployment, now: Callable[[], str], read_at: Read
) -> None:
    write(live, "a", 1)
    first, second = now(), now()
    assert nanoseconds(first) <= nanoseconds(second)
    assert abs(nanoseconds(first) / 1e9 - time.time()) < 60
    write(live, "a", 2)
    assert [read_at(first), read_at(second)] == [[["a1"], "a"]] * 2


@pytest.mark.parametrize("ts", [None, "", "AAAA", "AAAAAAAAAAAA", 5, "!AAAAAAAAAA="])
def test_a_timestamp_must_be_one(ts: object, live: EmbeddedDeployment, ask_once: Ask) -> None:
    answer = ask_once("POST", "/api/query_at_ts", {"path": "a:read", "args": {}, "ts": ts})
    assert (answer.status, answer.body["code"]) == (400, "BadRequest")


def test_times_that_are_not_known_are_refused(
    live: EmbeddedDeployment, now: Callable[[], str], read_at: Read
) -> None:
    assert read_at(encoded(1))["code"] == "TimestampOutOfRetention"
    assert "future" in read_at(encoded(nanoseconds(now()) + 10**12))["message"]


def test_one_can_not_go_back_behind_a_reset_or_a_push(
    live: EmbeddedDeployment,
    now: Callable[[], str],
    read_at: Read,
    ask_once: Ask,
    bundle: Bundle,
) -> None:
    before = now()
    live.reset_data()
    assert read_at(before)["code"] == "TimestampOutOfRetention"
    assert read_at(now()) == [[], ""]
    before = now()
    started = ask_once("POST", "/api/deploy2/start_push", bundle(FILES, name="again"))
    finish = {"startPush": started.body, "dryRun": False}
    assert ask_once("POST", "/api/deploy2/finish_push", finish).status == 200
    assert read_at(before)["code"] == "TimestampOutOfRetention"
    before = now()
    live.set_environment({"A": "b"})
    assert read_at(before)["code"] == "TimestampOutOfRetention"
    live.set_environment({"A": None})


def test_a_query_knows_its_own_timestamp(
    live: EmbeddedDeployment, now: Callable[[], str], read_at: Read
) -> None:
    before = now()
    write(live, "a", 1)
    assert read_at(before, "a:snapshot") == {"$integer": before}
    after = live.query("a:snapshot").value
    assert isinstance(after, dict)
    assert nanoseconds(str(after["$integer"])) > nanoseconds(before)


HISTORY = """
import { History } from "./database/history.ts";
import { Tables } from "./database/tables.ts";
import { Transaction } from "./database/transaction.ts";
const tables = new Tables();
tables.useSchemas(new Map([["", null]]));
const commit = (history, work) => {
  const transaction = new Transaction(tables, 1);
  const value = work(transaction);
  history.add(transaction);
  transaction.commit();
  return value;
};
const outcome = async (history, ts) =>
  await history.at(ts, async () => "seen").catch((error) => error.code);
const small = new History({ bytes: 1000 });
const id = commit(small, (transaction) => transaction.insert("", "t", { text: "x".repeat(600) }));
const first = small.now();
commit(small, (transaction) => transaction.patch("", { id, value: { n: 1 } }));
const second = small.now();
const early = await outcome(small, first);
commit(small, (transaction) => transaction.patch("", { id, value: { n: 2 } }));
const brief = new History({ milliseconds: 30 });
const real = performance.now.bind(performance);
performance.now = () => 0;
const before = brief.now();
commit(brief, (transaction) => transaction.patch("", { id, value: { n: 3 } }));
const soon = await outcome(brief, before);
performance.now = real;
while ((await outcome(brief, before)) === "seen") await new Promise((done) => setTimeout(done, 5));
console.log(JSON.stringify({ early, first: await outcome(small, first),
  second: await outcome(small, second), soon, late: await outcome(brief, before) }));
"""


def test_the_past_is_let_go_of_by_size_and_by_age(node: Path) -> None:
    done = processes.run(
        [node, "--input-type=module", "-e", HISTORY],
        cwd=SERVER.parent,
        env=processes.environment(home=SERVER.parent),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stderr
    assert json.loads(done.stdout) == {
        "early": "seen",
        "first": "TimestampOutOfRetention",
        "second": "seen",
        "soon": "seen",
        "late": "TimestampOutOfRetention",
    }
