"""Transactions against a serial model: what concurrent calls return, throw and leave behind is what
some order of theirs, one after another, gives."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import FunctionResult
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
  cells: defineTable({ key: v.string(), n: v.number() }).index("by_key", ["key"]),
  history: defineTable({ name: v.string(), reads: v.array(v.any()) }),
});
"""
APP = """
import { action, internalMutation, mutation, query } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { ConvexError, v } from "convex/values";

async function find(ctx: any, key: string) {
  return await ctx.db.query("cells").withIndex("by_key", (q: any) => q.eq("key", key)).unique();
}
async function perform(ctx: any, steps: any[], reads: any[]) {
  for (const [what, ...rest] of steps) {
    const [key, n] = rest;
    const cell = typeof key === "string" ? await find(ctx, key) : null;
    switch (what) {
      case "read":
        reads.push(cell?.n ?? null);
        break;
      case "ask":
        reads.push(await ctx.runQuery(api.a.cell, { key }));
        break;
      case "set":
        if (cell === null) await ctx.db.insert("cells", { key, n });
        else await ctx.db.patch(cell._id, { n });
        break;
      case "replace":
        if (cell !== null) await ctx.db.replace(cell._id, { key, n });
        break;
      case "add":
        reads.push(cell?.n ?? null);
        if (cell === null) await ctx.db.insert("cells", { key, n });
        else await ctx.db.patch(cell._id, { n: cell.n + n });
        break;
      case "delete":
        if (cell !== null) await ctx.db.delete(cell._id);
        break;
      case "sum":
        reads.push(0);
        for (const row of await ctx.db.query("cells").collect()) reads[reads.length - 1] += row.n;
        break;
      case "drain":
        for await (const row of ctx.db.query("cells").withIndex("by_key")) {
          reads.push(row.n);
          await ctx.db.patch(row._id, { n: row.n - 1 });
        }
        break;
      case "try":
        try { reads.push(...(await ctx.runMutation(api.a.part, { steps: rest[0] }))); }
        catch { reads.push("caught"); }
        break;
      case "begin":
        void ctx.runMutation(api.a.part, { steps: rest[0] }).catch(() => {});
        break;
      case "together": {
        const parts = rest.map((steps: any) => ctx.runMutation(api.a.part, { steps }));
        for (const part of await Promise.allSettled(parts)) {
          if (part.status === "fulfilled") reads.push(...part.value);
          else reads.push("caught");
        }
        break;
      }
      case "drop":
        if ((await ctx.db.system.get(key)) === null) reads.push("gone");
        else await ctx.storage.delete(key);
        break;
      case "later":
        await ctx.scheduler.runAfter(1000 * rest[0], internal.a.late,
          { name: rest[1], steps: rest[2] });
        break;
      case "throw":
        throw new ConvexError(reads);
    }
  }
  return reads;
}
const handler = async (ctx: any, { name, steps }: { name: string, steps: any[] }) => {
  const reads = await perform(ctx, steps, []);
  await ctx.db.insert("history", { name, reads });
  return reads;
};
const args = { name: v.string(), steps: v.array(v.any()) };
export const run = mutation({ args, handler });
export const late = internalMutation({ args, handler });
export const part = mutation({ args: { steps: v.array(v.any()) },
  handler: async (ctx, { steps }) => await perform(ctx, steps, []) });
export const cell = query({ args: { key: v.string() },
  handler: async (ctx, { key }) => (await find(ctx, key))?.n ?? null });
export const cells = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("cells").withIndex("by_key").collect()).map(({ key, n }) => [key, n]) });
export const history = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("history").collect()).map(({ name, reads }) => [name, reads]) });
export const rest = query({ args: {}, handler: async (ctx) => ({
  files: (await ctx.db.system.query("_storage").collect()).map(({ _id }) => _id),
  jobs: (await ctx.db.system.query("_scheduled_functions").collect())
    .map(({ args, state }) => [(args[0] as any).name, state.kind]),
}) });
export const act = action({ args: { calls: v.array(v.any()) }, handler: async (ctx, { calls }) => {
  const seen = [];
  for (const call of calls) {
    seen.push(await ctx.runMutation(api.a.run, call).catch((error) => error.data));
  }
  return seen;
} });
export const store = action({ args: { count: v.number() }, handler: async (ctx, { count }) => {
  const ids = [];
  for (let i = 0; i < count; i++) ids.push(await ctx.storage.store(new Blob([`file ${i}`])));
  return ids;
} });
"""

Steps: TypeAlias = list[Any]
"""What a transaction does: `[what, ...]` each."""

KEYS = st.sampled_from(["a", "b", "c"])
AMOUNTS = st.integers(-3, 3)
FILES = 2
SIMPLE: st.SearchStrategy[Steps] = st.one_of(
    st.tuples(st.sampled_from(["read", "ask", "delete"]), KEYS).map(list),
    st.tuples(st.sampled_from(["set", "replace", "add", "add"]), KEYS, AMOUNTS).map(list),
    st.sampled_from([["sum"], ["drain"]]).map(list),
    st.tuples(st.just("drop"), st.integers(0, FILES - 1)).map(list),
)
PART = st.lists(st.one_of(SIMPLE, SIMPLE, st.just(["throw"])), max_size=3)
NESTED = st.one_of(
    st.tuples(st.sampled_from(["try", "begin"]), PART).map(list),
    st.tuples(st.just("together"), PART, PART).map(list),
)
LATER = st.tuples(st.just("later"), st.sampled_from([0, 1000, 2000]), PART).map(list)
"""After so many seconds: at once, or when the clock is moved."""
DEEP_PART = st.lists(st.one_of(SIMPLE, NESTED, LATER, st.just(["throw"])), max_size=3)
STEPS = st.lists(
    st.one_of(SIMPLE, NESTED, LATER, st.tuples(st.just("try"), DEEP_PART).map(list)), max_size=4
).flatmap(lambda steps: st.sampled_from([steps, steps, [*steps, ["throw"]]]))
KINDS = st.sampled_from(["mutation", "mutation", "action", "query"])
CLIENTS = st.lists(
    st.lists(st.tuples(KINDS, STEPS, STEPS), min_size=1, max_size=3), min_size=1, max_size=3
)
"""What each of some clients calls, one after another; an action runs two mutations."""


class ThrownError(Exception):
    pass


@dataclass
class State:
    """What is there between two transactions. `jobs`: the scheduled ones, by name."""

    files: set[str]
    cells: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, Steps] = field(default_factory=dict)

    def take(self, other: State) -> None:
        self.files, self.cells, self.jobs = other.files, other.cells, other.jobs

    def perform(self, steps: Steps, reads: list[Any]) -> None:
        """All of `steps`, or some of them and ThrownError."""
        for what, *rest in steps:
            match what:
                case "read" | "ask":
                    reads.append(self.cells.get(rest[0]))
                case "set":
                    self.cells[rest[0]] = rest[1]
                case "replace" if rest[0] in self.cells:
                    self.cells[rest[0]] = rest[1]
                case "add":
                    reads.append(self.cells.get(rest[0]))
                    self.cells[rest[0]] = self.cells.get(rest[0], 0) + rest[1]
                case "delete":
                    self.cells.pop(rest[0], None)
                case "sum":
                    reads.append(sum(self.cells.values()))
                case "drain":
                    reads += [self.cells[key] for key in sorted(self.cells)]
                    self.cells = {key: n - 1 for key, n in self.cells.items()}
                case "try" | "together":
                    for part in rest:
                        reads += self.attempt(part)
                case "begin":
                    self.attempt(rest[0])
                case "drop" if rest[0] in self.files:
                    self.files.remove(rest[0])
                case "drop":
                    reads.append("gone")
                case "later":
                    self.jobs[rest[1]] = rest[2]
                case "throw":
                    raise ThrownError
                case _:
                    assert what == "replace"

    def attempt(self, steps: Steps) -> list[Any]:
        """All of `steps` or nothing; what they read."""
        draft = copy.deepcopy(self)
        reads: list[Any] = []
        try:
            draft.perform(steps, reads)
        except ThrownError:
            return ["caught"]
        self.take(draft)
        return reads


@dataclass(frozen=True)
class Call:
    """A transaction as its client saw it; `seen` is what it read, or None if nobody was told."""

    name: str
    steps: Steps
    kind: Literal["mutation", "look"]
    started: float
    ended: float
    seen: Any

    @property
    def throws(self) -> bool:
        return ["throw"] in self.steps

    def seen_in(self, state: State) -> bool:
        """Whether it read what is there to read in `state`."""
        draft = copy.deepcopy(state)
        if self.kind == "look":
            return bool(self.seen == [[key, draft.cells[key]] for key in sorted(draft.cells)])
        reads: list[Any] = []
        try:
            draft.perform(self.steps, reads)
        except ThrownError:
            assert self.throws
        return bool(self.seen == reads)


def with_names(steps: Steps, name: str, files: Sequence[str]) -> Steps:
    """`steps`, with a name for each function that they schedule and ids for places of files."""
    made: Steps = []
    for i, (what, *rest) in enumerate(steps):
        own = f"{name}.{i}"
        if what in ("try", "begin", "together"):
            parts = [with_names(part, f"{own}.{j}", files) for j, part in enumerate(rest)]
            made.append([what, *parts])
        elif what == "later":
            made.append([what, rest[0], own, with_names(rest[1], own, files)])
        elif what == "drop":
            made.append([what, files[rest[0]]])
        else:
            made.append([what, *rest])
    return made


def run_client(
    app: EmbeddedDeployment, files: Sequence[str], name: str, plan: Sequence[Any]
) -> list[Call]:
    """Makes the calls of one client."""
    made = []
    for i, (kind, *plans) in enumerate(plan):
        names = [f"{name}-{i}-{j}" for j in range(2)]
        steps = [with_names(each, own, files) for each, own in zip(plans, names, strict=True)]
        started = time.monotonic()
        if kind == "query":
            found = app.query("a:cells")
            assert found.error is None
            made.append(Call(names[0], [], "look", started, time.monotonic(), found.value))
        elif kind == "mutation":
            done = app.mutation("a:run", {"name": names[0], "steps": steps[0]})
            ended, seen = time.monotonic(), seen_by(done, steps[0])
            made.append(Call(names[0], steps[0], "mutation", started, ended, seen))
        else:
            both: list[JsonValue] = [
                {"name": n, "steps": s} for n, s in zip(names, steps, strict=True)
            ]
            done = app.action("a:act", {"calls": both})
            ended = time.monotonic()
            assert done.error is None
            assert isinstance(done.value, list)
            for own, each, seen in zip(names, steps, done.value, strict=True):
                made.append(Call(own, each, "mutation", started, ended, seen))
    return made


def seen_by(result: FunctionResult, steps: Steps) -> Any:
    assert result.ok is (["throw"] not in steps), result.error
    return result.value if result.ok else result.error_data


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/schema.ts": SCHEMA, "convex/a.ts": APP})


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as threads:
        yield threads


@PROPERTY
@given(CLIENTS)
def test_concurrent_calls_are_as_some_order_of_them(
    app: EmbeddedDeployment, pool: ThreadPoolExecutor, plans: list[Any]
) -> None:
    app.reset_data()
    files = [str(each) for each in as_list(app.action("a:store", {"count": FILES}).value)]
    clients = [pool.submit(run_client, app, files, f"c{i}", plan) for i, plan in enumerate(plans)]
    calls = [call for client in clients for call in client.result()]
    app.advance(3000)
    told = as_list(app.query("a:history").value)
    history = [(str(name), reads) for name, reads in map(as_list, told)]

    states, scheduled = replay(history, {call.name: call for call in calls}, State(set(files)))
    order = {name: place for place, (name, _) in enumerate(history)}
    check_real_time(history, calls)
    for call in calls:
        if call.kind == "look" or call.throws:
            assert call.name not in order
            check_unwritten(call, calls, order, states)
        else:
            assert call.name in order
            assert call.seen == history[order[call.name]][1]
    # What is left is what the committed ones made of it, and nothing of those that threw.
    final = states[-1]
    assert app.query("a:cells").value == [[key, final.cells[key]] for key in sorted(final.cells)]
    rest = app.query("a:rest").value
    assert isinstance(rest, dict)
    assert {str(each) for each in as_list(rest["files"])} == final.files
    ended = {name: "success" if name in order else "failed" for name in scheduled}
    assert {str(name): kind for name, kind in map(as_list, as_list(rest["jobs"]))} == ended
    assert all(["throw"] in scheduled[name] for name in ended if ended[name] == "failed")


def as_list(value: Any) -> list[Any]:
    assert isinstance(value, list)
    return value


def replay(
    history: Sequence[tuple[str, Any]], calls: dict[str, Call], first: State
) -> tuple[list[State], dict[str, Steps]]:
    """The states before, between and after the transactions of `history`, and all that was
    scheduled. Each has read what was there at its place."""
    states = [first]
    for name, reads in history:
        state = copy.deepcopy(states[-1])
        steps = calls[name].steps if name in calls else state.jobs[name]
        own: list[Any] = []
        state.perform(steps, own)
        assert own == reads, f"{name} is out of order"
        states.append(state)
    return states, states[-1].jobs


def check_real_time(history: Sequence[tuple[str, Any]], calls: Sequence[Call]) -> None:
    """Nothing comes before what had ended when it began."""
    by_name = {call.name: call for call in calls}
    latest = 0.0
    for name, _ in history:
        if (call := by_name.get(name)) is not None:
            assert call.ended >= latest
            latest = max(latest, call.started)


def check_unwritten(
    call: Call, calls: Sequence[Call], order: dict[str, int], states: Sequence[State]
) -> None:
    """What a query or a mutation that threw has read was there at one moment while it ran."""
    written = [other for other in calls if other.name in order]
    before = [order[other.name] + 1 for other in written if other.ended < call.started]
    after = [order[other.name] for other in written if other.started > call.ended]
    moments = states[max(before, default=0) : min(after, default=len(states) - 1) + 1]
    assert any(call.seen_in(state) for state in moments), f"{call.name} read {call.seen}"
