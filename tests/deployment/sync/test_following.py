"""What a client is told of the queries that it follows, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, PushOnce
from tests.deployment.sync.messages import PROBE, add, call, follow, modify, remove, told, values
from tests.deployment.sync_socket import SyncSocket

APP = """
import { action, internalMutation, mutation, query } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { ConvexError, v } from "convex/values";
const sum = (rows: { n: number }[]) => rows.reduce((all, row) => all + row.n, 0);
export const total = query({ args: {}, handler: async (ctx) =>
  sum(await ctx.db.query("rows").collect() as any) });
export const least = query({ args: { than: v.number() }, handler: async (ctx, { than }) =>
  (await ctx.db.query("rows").collect()).filter((row) => row.n > than).length });
export const strict = query({ args: {}, handler: async (ctx): Promise<number> => {
  if (await ctx.db.query("flags").first() !== null) {
    const limit = await ctx.db.query("limits").first();
    if (limit === null) { console.warn("no limit"); throw new ConvexError({ missing: "limit" }); }
    if (limit.n < 0) throw new ConvexError({ wrong: limit.n });
    return limit.n;
  }
  return 0;
} });
export const through = query({ args: {}, handler: async (ctx): Promise<number> =>
  await ctx.runQuery(api.app.total, {}) });
export const slow = query({ args: {}, handler: async (ctx): Promise<number> => {
  const found = sum(await ctx.db.query("rows").collect() as any);
  let spent = 0;
  for (let i = 0; i < 5e7; i++) spent += i;
  return spent > 0 ? found : -1;
} });
export const one = query({ args: { id: v.string() }, handler: async (ctx, { id }) =>
  (await ctx.db.get(id as any) as any)?.n ?? null });
export const aside = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("aside").collect()).length });
export const planned = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.system.query("_scheduled_functions").collect()).map((job) => job.state.kind) });
export const put = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) =>
  await ctx.db.insert("rows", { n }) });
export const putAndFail = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("rows", { n: 1 }); throw new Error("no"); } });
export const putTwice = action({ args: {}, handler: async (ctx): Promise<void> => {
  await ctx.runMutation(api.app.put, { n: 1 });
  await ctx.runMutation(api.app.put, { n: 2 });
} });
export const later = internalMutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("rows", { n: 100 }); } });
export const plan = mutation({ args: {}, handler: async (ctx) => {
  await ctx.scheduler.runAfter(60_000, internal.app.later, {}); } });
"""


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/app.ts": APP, "convex/probe.ts": PROBE})


@pytest.fixture
def other(live: EmbeddedDeployment) -> Iterator[SyncSocket]:
    with SyncSocket(live.url) as opened:
        yield opened


def test_a_query_that_fails_comes_back_by_a_table_that_it_had_not_read_before(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:strict")) == {1: 0}
    live.insert("flags", [{}])
    (failed,) = sync.receive()["modifications"]
    assert (failed["type"], failed["errorData"]) == ("QueryFailed", {"missing": "limit"})
    live.insert("limits", [{"n": 7}])
    assert told(sync) == [{1: 7}]


def test_a_query_that_fails_at_first_comes_back(sync: SyncSocket, live: EmbeddedDeployment) -> None:
    live.insert("flags", [{}])
    assert follow(sync, add(1, "app:strict")) == {1: "QueryFailed"}
    live.insert("rows", [{"n": 1}])
    assert told(sync) == [], "it fails as before"
    live.insert("limits", [{"n": 7}])
    assert told(sync) == [{1: 7}]
    live.insert("rows", [{"n": 1}])
    assert told(sync) == []


def test_a_failure_says_what_and_with_which_lines_and_another_one_is_told(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    live.insert("flags", [{}])
    sync.send(modify(0, add(1, "app:strict")))
    (failed,) = sync.receive()["modifications"]
    head, _, text = failed.pop("errorMessage").partition("\n")
    assert head.startswith("[Request ID: ")
    assert head.endswith("] Server Error")
    assert text.startswith('Uncaught ConvexError: {"missing":"limit"}\n    at ')
    assert failed == {
        "type": "QueryFailed",
        "queryId": 1,
        "errorData": {"missing": "limit"},
        "logLines": ["[WARN] 'no limit'"],
        "journal": None,
    }
    live.insert("limits", [{"n": -2}])
    (again,) = sync.receive()["modifications"]
    assert (again["errorData"], again["logLines"]) == ({"wrong": -2}, [])


def test_a_second_client_has_the_new_result_by_the_time_of_the_firsts_answer(
    sync: SyncSocket, other: SyncSocket
) -> None:
    assert follow(other, add(1, "app:slow")) == {1: 0}
    sync.send(call("Mutation", 0, "app:put", n=3))
    assert sync.receive()["type"] == "MutationResponse"
    assert not other.quiet(0), "it need not be waited for"
    assert values(other.receive()) == {1: 3}


def test_identical_queries_of_two_clients_are_told_to_each_while_it_follows(
    sync: SyncSocket, other: SyncSocket, live: EmbeddedDeployment
) -> None:
    for each in (sync, other):
        assert follow(each, add(1, "app:total")) == {1: 0}
    live.mutation("app:put", {"n": 1})
    assert [told(each) for each in (sync, other)] == [[{1: 1}], [{1: 1}]]
    sync.send(modify(1, remove(1)))
    assert values(sync.receive()) == {1: "QueryRemoved"}
    live.mutation("app:put", {"n": 1})
    assert [told(each) for each in (sync, other)] == [[], [{1: 2}]]


def test_a_client_that_has_gone_is_told_nothing_and_the_others_are(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    with SyncSocket(live.url) as gone:
        assert follow(gone, add(1, "app:total")) == {1: 0}
    assert follow(sync, add(1, "app:total")) == {1: 0}
    live.mutation("app:put", {"n": 1})
    assert told(sync) == [{1: 1}]


def test_of_two_queries_that_are_the_same_each_can_be_left_alone(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:total"), add(2, "app:total")) == {1: 0, 2: 0}
    sync.send(modify(1, remove(1)))
    assert values(sync.receive()) == {1: "QueryRemoved"}
    live.mutation("app:put", {"n": 4})
    assert told(sync) == [{2: 4}]


def test_a_query_that_is_followed_again_is_told_again(sync: SyncSocket) -> None:
    assert follow(sync, add(1, "app:total")) == {1: 0}
    sync.send(modify(1, remove(1), add(1, "app:total")))
    (removed, shown) = sync.receive()["modifications"]
    assert removed == {"type": "QueryRemoved", "queryId": 1}
    assert (shown["type"], shown["value"]) == ("QueryUpdated", 0)


def test_what_was_not_followed_is_not_removed(sync: SyncSocket) -> None:
    sync.send(modify(0, remove(9), add(1, "app:total")))
    assert values(sync.receive()) == {1: 0}


def test_queries_differ_by_their_arguments(sync: SyncSocket, live: EmbeddedDeployment) -> None:
    assert follow(sync, *(add(n, "app:least", {"than": n}) for n in (1, 5))) == {1: 0, 5: 0}
    live.mutation("app:put", {"n": 3})
    assert told(sync) == [{1: 1}]
    live.mutation("app:put", {"n": 9})
    assert told(sync) == [{1: 2, 5: 1}]


def test_only_what_can_have_changed_is_run_again(
    sync: SyncSocket, live: EmbeddedDeployment, ask_once: Ask
) -> None:
    assert follow(sync, add(1, "app:total"), add(2, "app:aside")) == {1: 0, 2: 0}
    logs = "/api/stream_function_logs?cursor="
    cursor = ask_once("GET", f"{logs}0").body["newCursor"]
    live.mutation("app:put", {"n": 1})
    assert told(sync) == [{1: 1}]
    entries = ask_once("GET", f"{logs}{cursor}").body["entries"]
    # Beside them may run what a client follows whose end the server has not seen yet.
    ran = {each["identifier"] for each in entries}
    assert {"app.js:put", "app.js:total", "probe.js:nothing"} <= ran
    assert "app.js:aside" not in ran
    live.insert("aside", [{}])
    assert told(sync) == [{2: 1}]


@pytest.mark.parametrize("path", ["app:total", "app:through"])
def test_every_way_to_write_is_seen(
    path: str, sync: SyncSocket, other: SyncSocket, live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, path)) == {1: 0}
    (row,) = live.insert("rows", [{"n": 10}])
    assert told(sync) == [{1: 10}]
    live.delete([row])
    assert told(sync) == [{1: 0}]
    live.action("app:putTwice")
    assert told(sync) == [{1: 1}, {1: 3}], "an action's mutations are two"
    other.send(call("Mutation", 0, "app:put", n=4))
    assert other.receive()["success"]
    assert told(sync) == [{1: 7}]
    live.mutation("app:plan")
    assert told(sync) == []
    live.advance(61)
    assert told(sync) == [{1: 107}]
    live.reset_data()
    assert told(sync) == [{1: 0}]


def test_what_is_scheduled_is_followed_to_its_end(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:planned")) == {1: []}
    live.mutation("app:plan")
    assert told(sync) == [{1: ["pending"]}]
    live.advance(61)
    assert told(sync)[-1] == {1: ["success"]}


def test_a_document_that_comes_and_goes_is_followed(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    (row,) = live.insert("rows", [{"n": 1}])
    assert follow(sync, add(1, "app:one", {"id": row})) == {1: 1}
    live.delete([row])
    assert told(sync) == [{1: None}]


def test_a_mutation_that_fails_changes_nothing_for_anybody(
    sync: SyncSocket, other: SyncSocket
) -> None:
    for each in (sync, other):
        assert follow(each, add(1, "app:total")) == {1: 0}
    other.send(call("Mutation", 0, "app:putAndFail"))
    answer = other.receive()
    assert (answer["success"], "ts" in answer) == (False, False)
    assert values(other.receive()) == {}
    assert told(sync) == []


def test_what_others_change_is_told_after_an_own_mutation_that_failed(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:total")) == {1: 0}
    sync.send(call("Mutation", 0, "app:putAndFail"))
    assert [sync.receive()["type"] for _ in range(2)] == ["MutationResponse", "Transition"]
    live.mutation("app:put", {"n": 5})
    assert values(sync.receive()) == {1: 5}


def test_the_versions_of_transitions_follow_each_other(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    sync.send(modify(0, add(1, "app:total")), modify(1, add(2, "app:slow")))
    live.mutation("app:put", {"n": 1})
    sync.send(call("Mutation", 0, "app:put", n=1), modify(2, remove(1)))
    transitions: list[Any] = []
    seen: dict[int, Any] = {}
    while len(transitions) < 4 or seen != {1: "QueryRemoved", 2: 2}:
        message = sync.receive()
        if message["type"] == "Transition":
            transitions.append(message)
            seen |= values(message)
    starts = [each["startVersion"] for each in transitions]
    ends = [each["endVersion"] for each in transitions]
    assert starts[1:] == ends[:-1]
    assert [each["querySet"] for each in ends] == sorted(each["querySet"] for each in ends)
    assert ends[-1]["querySet"] == 3
    assert len({each["ts"] for each in ends}) > 1
