"""Actions, what runs later, HTTP actions, files, and searches."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, Bundle, PushOverHttp
from tests.patience import until

ACTIONS = """
import { action, internalAction, mutation, internalMutation, query } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { v } from "convex/values";

export const note = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => { await ctx.db.insert("notes", { text, at: Date.now() }); },
});
export const list = query({
  args: {}, handler: async (ctx) => (await ctx.db.query("notes").collect()).map((n) => n.text),
});
export const both = action({
  args: {}, handler: async (ctx) => {
    await ctx.runMutation(api.a.note, { text: "from an action" });
    const sub: string = await ctx.runAction(internal.a.inner, {});
    await new Promise((resolve) => setTimeout(resolve, 5));
    return [...(await ctx.runQuery(api.a.list, {})), sub];
  },
});
export const inner = internalAction({ args: {}, handler: async () => "inner" });
export const db = action({ args: {}, handler: async (ctx) => {
  await (ctx as any).db.query("x"); } });
export const net = action({ args: {}, handler: async () => { await fetch("http://10.0.0.1/"); } });
export const later = mutation({
  args: { text: v.string(), ms: v.number() },
  handler: async (ctx, { text, ms }) =>
    await ctx.scheduler.runAfter(ms, internal.a.noteLater, { text, again: 0 }),
});
export const noteLater = internalMutation({
  args: { text: v.string(), again: v.number() },
  handler: async (ctx, { text, again }) => {
    await ctx.db.insert("notes", { text, at: Date.now() });
    if (again > 0) {
      await ctx.scheduler.runAfter(1000, internal.a.noteLater, { text, again: again - 1 });
    }
  },
});
export const chain = mutation({
  args: {}, handler: async (ctx) => {
    await ctx.scheduler.runAfter(1000, internal.a.noteLater, { text: "tick", again: 9 });
  },
});
export const lateAction = internalAction({
  args: {}, handler: async (ctx) => {
    await ctx.scheduler.runAfter(0, internal.a.noteLater, { text: "from a late action", again: 0 });
  },
});
export const startAction = mutation({
  args: {}, handler: async (ctx) => {
    await ctx.scheduler.runAfter(60_000, internal.a.lateAction, {});
  },
});
export const failing = internalMutation({
  args: {}, handler: async () => { throw new Error("late"); },
});
export const startFailing = mutation({
  args: {}, handler: async (ctx) => await ctx.scheduler.runAfter(10, internal.a.failing, {}),
});
export const cancel = mutation({
  args: { id: v.id("_scheduled_functions") },
  handler: async (ctx, { id }) => await ctx.scheduler.cancel(id),
});
export const state = query({
  args: { id: v.id("_scheduled_functions") },
  handler: async (ctx, { id }) => (await ctx.db.system.get(id))?.state ?? null,
});
export const due = query({
  args: { id: v.id("_scheduled_functions") },
  handler: async (ctx, { id }) => (await ctx.db.system.get(id))?.scheduledTime ?? null,
});
export const spin = internalMutation({
  args: {}, handler: async (ctx) => {
    await ctx.db.insert("notes", { text: "too late", at: 0 });
    let sum = 0;
    for (let i = 0; i < 6e8; i++) sum += i;
    return sum;
  },
});
export const startSpinning = mutation({
  args: {}, handler: async (ctx) => await ctx.scheduler.runAfter(0, internal.a.spin, {}),
});
export const abandoned = mutation({
  args: {}, handler: async (ctx) => {
    await ctx.scheduler.runAfter(0, internal.a.noteLater, { text: "never", again: 0 });
    throw new Error("rolled back");
  },
});
export const who = query({
  args: {}, handler: async (ctx) => await ctx.auth.getUserIdentity(),
});
"""


Push: TypeAlias = Callable[[dict[str, str]], EmbeddedDeployment]


@pytest.fixture
def live(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> Push:
    def push(files: dict[str, str]) -> EmbeddedDeployment:
        answer = push_over_http(bundle(files))
        assert answer.status == 200, answer.body
        return deployment

    return push


@pytest.fixture
def app(live: Push) -> EmbeddedDeployment:
    return live({"convex/a.ts": ACTIONS})


def texts(app: EmbeddedDeployment) -> list[Any]:
    return [note["text"] for note in app.documents("notes")]


def test_an_action_calls_functions_of_every_kind(app: EmbeddedDeployment) -> None:
    result = app.action("a:both")
    assert (result.value, result.error) == (["from an action", "inner"], None)


def test_an_action_has_neither_database_nor_network(app: EmbeddedDeployment) -> None:
    assert "Uncaught TypeError: Cannot read properties of undefined" in str(
        app.action("a:db").error
    )
    assert "reaches no other host than itself" in str(app.action("a:net").error)


def test_time_moves_on_command_and_what_is_due_runs_in_order(app: EmbeddedDeployment) -> None:
    far = app.mutation("a:later", {"text": "second", "ms": 120_000}).value
    near = app.mutation("a:later", {"text": "first", "ms": 60_000}).value
    app.mutation("a:later", {"text": "far", "ms": 999_000_000})
    due = [float(str(app.query("a:due", {"id": id}).value)) for id in (near, far)]
    # Half a minute to spare on each side, as real time goes on too.
    assert app.advance(30) == []
    assert texts(app) == []
    app.advance(60)
    assert texts(app) == ["first"]
    app.advance(60)
    assert texts(app) == ["first", "second"]
    at = [float(str(note["at"])) for note in app.documents("notes")]
    assert at == [math.floor(time) for time in due], "each runs at its time"


def test_a_reset_ends_what_runs_for_good(app: EmbeddedDeployment) -> None:
    app.mutation("a:startSpinning")
    app.reset_data()
    # Whatever was under way would have come before these.
    assert app.advance(1) == []
    assert texts(app) == []
    app.mutation("a:later", {"text": "new", "ms": 1000})
    assert app.advance(10) == []
    assert texts(app) == ["new"]


def test_what_becomes_due_on_the_way_runs_too(app: EmbeddedDeployment) -> None:
    app.mutation("a:chain")
    app.mutation("a:startAction")
    app.advance(60.5)
    assert texts(app) == ["tick"] * 10 + ["from a late action"]


def test_without_a_command_time_is_real(app: EmbeddedDeployment) -> None:
    app.mutation("a:later", {"text": "soon", "ms": 50})
    until(lambda: texts(app) == ["soon"])
    assert texts(app) == ["soon"], "it runs once"


def test_a_scheduled_function_can_be_watched_and_cancelled(app: EmbeddedDeployment) -> None:
    job = app.mutation("a:later", {"text": "never", "ms": 600_000}).value
    assert app.query("a:state", {"id": job}).value == {"kind": "pending"}
    app.mutation("a:cancel", {"id": job})
    assert app.query("a:state", {"id": job}).value == {"kind": "canceled"}
    done = app.mutation("a:later", {"text": "done", "ms": 600_000}).value
    failing = app.mutation("a:startFailing").value
    failures = app.advance(1200)
    assert texts(app) == ["done"]
    assert app.query("a:state", {"id": done}).value == {"kind": "success"}
    state = app.query("a:state", {"id": failing}).value
    assert isinstance(state, dict)
    assert state["kind"] == "failed"
    assert str(state["error"]).startswith("Uncaught Error: late\n")
    assert [failure.splitlines()[0] for failure in failures] == ["a:failing: Uncaught Error: late"]


def test_scheduling_is_part_of_the_transaction(app: EmbeddedDeployment) -> None:
    app.mutation("a:abandoned")
    app.advance(10)
    assert texts(app) == []


def test_a_user_is_who_the_caller_says(app: EmbeddedDeployment) -> None:
    assert app.query("a:who").value is None
    identity = {"subject": "s", "issuer": "https://i", "email": "a@b"}
    found = app.query("a:who", identity=identity).value
    assert found == {**identity, "tokenIdentifier": "https://i|s"}


CRONS = """
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
crons.interval("often", { minutes: 1 }, internal.a.noteLater, { text: "often", again: 0 });
crons.daily("daily", { hourUTC: 3, minuteUTC: 30 }, internal.a.noteLater,
  { text: "daily", again: 0 });
crons.cron("leap", "0 0 29 2 *", internal.a.noteLater, { text: "leap", again: 0 });
export default crons;
"""


def test_cron_jobs_run_at_their_times(live: Push, ask: Ask) -> None:
    app = live({"convex/a.ts": ACTIONS, "convex/crons.ts": CRONS})
    app.advance(0)
    assert texts(app) == ["often"], "the first run is when it is deployed"
    app.advance(180)
    assert texts(app).count("often") == 4
    app.advance(24 * 3600)
    notes = app.documents("notes")
    assert texts(app).count("often") == 4 + 24 * 60
    (daily,) = (float(str(note["at"])) for note in notes if note["text"] == "daily")
    at = time.gmtime(daily / 1000)
    assert (at.tm_hour, at.tm_min, at.tm_sec) == (3, 30, 0)
    app.reset_data()
    app.advance(59)
    assert texts(app) == [], "after a reset the first run is an interval later"
    app.advance(1)
    assert texts(app) == ["often"]
    jobs = app.query("_system/frontend/listCronJobs", admin=True).value
    assert isinstance(jobs, list)
    assert [job["name"] for job in jobs if isinstance(job, dict)] == ["often", "daily", "leap"]


HTTP = """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
import { api } from "./_generated/api";
const http = httpRouter();
http.route({ path: "/hello", method: "GET", handler: httpAction(async (ctx, request) => {
  await ctx.runMutation(api.a.note, { text: new URL(request.url).search });
  return Response.json({ notes: await ctx.runQuery(api.a.list, {}) },
    { status: 201, headers: { "X-Own": "yes", "Set-Cookie": "a=b" } });
}) });
http.route({ pathPrefix: "/files/", method: "POST", handler: httpAction(async (ctx, request) =>
  new Response(new Uint8Array([...new Uint8Array(await request.arrayBuffer())].reverse()),
    { headers: { "Content-Type": request.headers.get("Content-Type")! } })) });
http.route({ path: "/boom", method: "GET",
  handler: httpAction(async () => { throw new Error("b"); }) });
export default http;
"""


def test_http_actions_answer_on_both_ports(live: Push, ask: Ask) -> None:
    app = live({"convex/a.ts": ACTIONS, "convex/http.ts": HTTP})
    answer = app.http("GET", "/hello?x=1")
    headers = {name.lower(): value for name, value in answer.headers}
    assert (answer.status, headers["x-own"], headers["set-cookie"]) == (201, "yes", "a=b")
    assert json.loads(answer.body) == {"notes": ["?x=1"]}
    assert ask("GET", "/http/hello").body == {"notes": ["?x=1", ""]}
    answer = app.http("POST", "/files/any", {"Content-Type": "x/y"}, b"\x00\x01\xff")
    headers = {name.lower(): value for name, value in answer.headers}
    assert (answer.body, headers["content-type"]) == (b"\xff\x01\x00", "x/y")
    answer = app.http("GET", "/nowhere")
    assert (answer.status, answer.body) == (404, b"No matching routes found")
    answer = app.http("GET", "/boom", {"Authorization": "Basic abc"})
    assert answer.status == 500
    error = json.loads(answer.body)
    assert error["code"].endswith("] Server Error: Uncaught Error: b")
    assert error["trace"].startswith("Uncaught Error: b\n    at")


def test_without_routes_there_are_no_http_actions(app: EmbeddedDeployment) -> None:
    answer = app.http("GET", "/hello")
    assert answer.status == 404
    assert answer.body == b"This Convex deployment does not have HTTP actions enabled."


NODE = """"use node";
import { createHash } from "node:crypto";
import { action } from "./_generated/server";
import { api } from "./_generated/api";
export const hash = action({ args: {}, handler: async (ctx) => {
  await ctx.runMutation(api.a.note, { text: Buffer.from("node").toString() });
  return createHash("sha256").update("x").digest("hex").slice(0, 8) + process.env.NAME;
} });
import { createRequire } from "node:module";
export const required = action({ args: {}, handler: async () => {
  const require = createRequire(import.meta.url);
  const told = (name: string) => { try { require(name); return "there"; }
    catch (error: any) { return error.code; } };
  return [require("crypto").createHash("md5").update("x").digest("hex").slice(0, 6),
    require("node:path").join("a", "b"), require("process").pid, told("sharp"), told("util"),
    require.resolve("fs"), Object.keys(require("module")).sort()];
} });
export const file = action({ args: {}, handler: async () =>
  (await import("node:fs")).readFileSync("/etc/hostname", "utf8") });
"""


def test_a_node_action_has_node_and_no_files(
    live: Push,
) -> None:
    app = live({"convex/a.ts": ACTIONS, "convex/n.ts": NODE})
    app.set_environment({"NAME": "!"})
    result = app.action("n:hash")
    assert (result.value, result.error) == ("2d711642!", None)
    assert texts(app) == ["node"]
    assert app.action("n:file").error is not None


def test_a_node_action_requires_builtins(
    live: Push,
) -> None:
    app = live({"convex/a.ts": ACTIONS, "convex/n.ts": NODE})
    result = app.action("n:required")
    assert result.error is None
    assert result.value == [
        *("9dd4e4", "a/b", 1, "MODULE_NOT_FOUND", "there", "fs"),
        ["Module", "builtinModules", "createRequire", "isBuiltin"],
    ]


FILES = """
import { action, mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const store = action({ args: {}, handler: async (ctx) => {
  const id = await ctx.storage.store(new Blob(["hello"], { type: "text/plain" }));
  const blob = await ctx.storage.get(id);
  return { id, text: await blob!.text(), url: await ctx.storage.getUrl(id) };
} });
export const upload = mutation({ args: {},
  handler: async (ctx) => await ctx.storage.generateUploadUrl() });
export const url = query({ args: { id: v.id("_storage") },
  handler: async (ctx, { id }) => await ctx.storage.getUrl(id) });
export const meta = query({ args: { id: v.id("_storage") },
  handler: async (ctx, { id }) => await ctx.db.system.get(id) });
export const drop = mutation({ args: { id: v.id("_storage") },
  handler: async (ctx, { id }) => await ctx.storage.delete(id) });
export const viaFetch = action({ args: { url: v.string() }, handler: async (ctx, { url }) => {
  const answer = await fetch(url,
    { method: "POST", body: "sent", headers: { "Content-Type": "a/b" } });
  return (await answer.json()).storageId;
} });
"""


def test_files_are_stored_served_and_deleted(
    live: Push,
) -> None:
    app = live({"convex/f.ts": FILES})
    stored = app.action("f:store")
    assert stored.error is None
    assert isinstance(stored.value, dict)
    assert stored.value["text"] == "hello"
    path = str(stored.value["url"]).removeprefix(app.url)
    client = Client(app.url, app.admin_key)
    answer = client.send("GET", path, {"Range": "bytes=1-2"}, None)
    assert (answer.status, answer.body) == (206, b"el")

    upload = str(app.mutation("f:upload").value).removeprefix(app.url)
    answer = client.send("POST", upload, {"Content-Type": "image/png"}, b"png")
    sent = json.loads(answer.body)["storageId"]
    meta = app.query("f:meta", {"id": sent}).value
    assert isinstance(meta, dict)
    assert (meta["size"], meta["contentType"]) == (3, "image/png")
    assert client.send("POST", "/api/storage/upload?token=x", {}, b"").status == 401

    url = app.mutation("f:upload").value
    fetched = app.action("f:viaFetch", {"url": url})
    assert fetched.error is None
    assert app.mutation("f:drop", {"id": fetched.value}).error is None
    assert app.query("f:url", {"id": fetched.value}).value is None
    assert app.mutation("f:drop", {"id": fetched.value}).error is not None


SEARCH_SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  docs: defineTable({ body: v.string(), tag: v.string(), vector: v.array(v.float64()) })
    .searchIndex("by_body", { searchField: "body", filterFields: ["tag"] })
    .vectorIndex("by_vector", { vectorField: "vector", dimensions: 2, filterFields: ["tag"] }),
});
"""
SEARCH = """
import { action, query } from "./_generated/server";
import { v } from "convex/values";
export const text = query({ args: { words: v.string(), tag: v.string() },
  handler: async (ctx, { words, tag }) => (await ctx.db.query("docs")
    .withSearchIndex("by_body", (q) => q.search("body", words).eq("tag", tag)).take(5))
    .map((d) => d.body) });
export const near = action({ args: {}, handler: async (ctx) => (await ctx.vectorSearch(
  "docs", "by_vector", { vector: [1, 0], limit: 2, filter: (q) => q.eq("tag", "a") }))
  .map((r) => Math.round(r._score * 100)) });
"""


def test_texts_and_vectors_are_searched(
    live: Push,
) -> None:
    app = live({"convex/schema.ts": SEARCH_SCHEMA, "convex/s.ts": SEARCH})
    rows: list[tuple[str, str, list[float]]] = [
        ("the quick brown fox", "a", [1, 0]),
        ("a fox and another fox", "a", [1, 1]),
        ("the fox is elsewhere", "b", [1, 0]),
        ("nothing of that", "a", [-1, 0]),
    ]
    app.insert("docs", [{"body": b, "tag": t, "vector": list(v)} for b, t, v in rows])
    found = app.query("s:text", {"words": "fo", "tag": "a"})
    assert (found.value, found.error) == (["a fox and another fox", "the quick brown fox"], None)
    near = app.action("s:near")
    assert (near.value, near.error) == ([100, 71], None)
