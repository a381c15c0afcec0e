"""What `convex-eval serve --data` keeps, however it ends."""

from __future__ import annotations

import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import JsonValue

from tests.deployment.fixtures import Bundle, MakeProject
from tests.patience import HANG_SECONDS, until

if TYPE_CHECKING:
    from tests.deployment.serve.conftest import Convex, Serve


APP = {
    "convex/convex.config.ts": (
        'import { defineApp } from "convex/server";\n'
        'import rateLimiter from "@convex-dev/rate-limiter/convex.config.js";\n'
        "const app = defineApp();\napp.use(rateLimiter);\nexport default app;\n"
    ),
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  rows: defineTable({ n: v.number(), big: v.optional(v.int64()), bytes: v.optional(v.bytes()) })
    .index("by_n", ["n"]),
  runs: defineTable({ what: v.string() }),
});
""",
    "convex/crons.ts": """
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
crons.interval("tick", { hours: 1 }, internal.app.ran, { what: "cron" });
export default crons;
""",
    "convex/http.ts": """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
http.route({ path: "/hello", method: "GET",
  handler: httpAction(async () => new Response("hello")) });
export default http;
""",
    "convex/app.ts": """
import { RateLimiter } from "@convex-dev/rate-limiter";
import { v } from "convex/values";
import { components, internal } from "./_generated/api";
import { action, internalAction, internalMutation, mutation, query } from "./_generated/server";
const limiter = new RateLimiter((components as any).rateLimiter, {
  send: { kind: "fixed window", rate: 2, period: 86_400_000 },
});
export const send = mutation({ args: {}, handler: async (ctx) =>
  (await limiter.limit(ctx as any, "send", { key: "me" })).ok });
export const add = mutation({ args: { n: v.number() }, handler: (ctx, { n }) =>
  ctx.db.insert("rows", { n, big: BigInt(n), bytes: new ArrayBuffer(n) }) });
export const change = mutation({ args: {}, handler: async (ctx) => {
  const rows = await ctx.db.query("rows").collect();
  await ctx.db.patch(rows[0]._id, { n: -1 });
  await ctx.db.delete(rows[1]._id);
} });
export const fail = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("rows", { n: 99 }); throw new Error("no");
} });
export const list = query({ args: {}, handler: (ctx) =>
  ctx.db.query("rows").withIndex("by_n").collect() });
export const variable = query({ args: {}, handler: async () => process.env.NAME ?? null });
export const uuid = mutation({ args: {}, handler: async () => crypto.randomUUID() });
export const ran = internalMutation({ args: { what: v.any() }, handler: async (ctx, { what }) => {
  await ctx.db.insert("runs", { what }); } });
export const acted = internalAction({ args: {}, handler: async (ctx) => {
  await ctx.runMutation(internal.app.ran, { what: "action" }); } });
export const hang = internalAction({ args: { url: v.string() }, handler: async (ctx, { url }) => {
  await fetch(url); } });
export const later = mutation({ args: { url: v.string() }, handler: async (ctx, { url }) => {
  await ctx.scheduler.runAfter(600_000, internal.app.ran, { what: "mutation" });
  await ctx.scheduler.runAfter(601_000, internal.app.acted, {});
  const id = await ctx.scheduler.runAfter(602_000, internal.app.ran, { what: "canceled" });
  await ctx.scheduler.cancel(id);
  await ctx.scheduler.runAfter(0, internal.app.hang, { url });
} });
export const scheduled = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.system.query("_scheduled_functions").collect())
    .map(({ name, state }) => [name, state.kind]) });
export const runs = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("runs").collect()).map(({ what }) => what) });
export const store = action({ args: { text: v.string() }, handler: (ctx, { text }) =>
  ctx.storage.store(new Blob([text], { type: "text/x-own" })) });
export const load = action({ args: { id: v.id("_storage") }, handler: async (ctx, { id }) => {
  const blob = await ctx.storage.get(id);
  return blob === null ? null : [await blob.text(), blob.type, await ctx.storage.getUrl(id)];
} });
export const remove = mutation({ args: { id: v.id("_storage") }, handler: (ctx, { id }) =>
  ctx.storage.delete(id) });
""",
}


PUSH = ("dev", "--once", "--tail-logs", "disable", "--typecheck", "disable")


@pytest.fixture
def silent() -> Any:
    """The URL of a server that takes a request and never answers, and an event: it has one."""
    asked, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            over.wait(HANG_SECONDS)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        over.set()
        server.shutdown()
        thread.join()


def test_a_killed_server_goes_on_where_it_was(
    serve: Serve,
    make_project: MakeProject,
    convex: Convex,
    silent: tuple[str, threading.Event],
    tmp_path: Path,
) -> None:
    data = ("--data", str(tmp_path / "data"))
    served = serve(*data)
    project = make_project(APP)
    done = convex(project, served, *PUSH)
    assert done.ok, done.stderr
    variable: JsonValue = {"changes": [{"name": "NAME", "value": "value"}]}
    served.calls.client.post("/api/update_environment_variables", variable)
    for n in (3, 1, 2):
        served.value("mutation", "app:add", {"n": n})
    served.value("mutation", "app:change")
    assert served.calls.call("mutation", "app:fail").error
    file = served.value("action", "app:store", {"text": "some bytes"})
    gone = served.value("action", "app:store", {"text": "gone"})
    served.value("mutation", "app:remove", {"id": gone})
    assert [served.value("mutation", "app:send") for _ in range(3)] == [True, True, False]
    uuid = served.value("mutation", "app:uuid")
    url, asked = silent
    served.value("mutation", "app:later", {"url": url})
    assert asked.wait(HANG_SECONDS)
    rows = served.value("query", "app:list")
    tables = served.calls.client.get("/api/convex_eval/deployed")
    served.kill()

    served = serve(*data)
    assert served.value("query", "app:list") == rows
    assert [row["n"] for row in rows] == [-1, 2]
    assert served.calls.client.get("/api/convex_eval/deployed") == tables
    assert served.value("query", "app:variable") == "value"
    text, kind, url = served.value("action", "app:load", {"id": file})
    assert (text, kind) == ("some bytes", "text/x-own")
    assert served.calls.fetch("GET", url, {}, None).body == b"some bytes"
    assert served.value("action", "app:load", {"id": gone}) is None
    assert served.value("mutation", "app:send") is False, "a component's documents are kept"
    assert served.value("mutation", "app:uuid") != uuid, "random goes on and does not start over"
    assert served.calls.http("GET", "/hello", {}, None).body == b"hello"
    # What ran when the server was killed must not run twice; the rest is still to come.
    assert served.value("query", "app:scheduled") == [
        ["app.js:ran", "pending"],
        ["app.js:acted", "pending"],
        ["app.js:ran", "canceled"],
        ["app.js:hang", "failed"],
    ]
    # The interval's first run was at the push; the next one is an hour later.
    assert served.value("query", "app:runs") == ["cron"]
    assert served.calls.advance(700) == []
    assert served.value("query", "app:runs") == ["cron", "mutation", "action"]
    assert served.calls.advance(3600) == []
    assert served.value("query", "app:runs") == ["cron", "mutation", "action", "cron"]
    new = served.value("mutation", "app:add", {"n": 7})
    assert new not in [row["_id"] for row in rows]
    last = served.value("query", "app:list")[-1]
    assert last["_creationTime"] > max(row["_creationTime"] for row in rows)
    wrong = served.calls.call("mutation", "app:add", {"n": "text"})
    assert "ArgumentValidationError" in (wrong.error or "")

    # A push of the same code sends hashes alone: the modules are there.
    done = convex(project, served, *PUSH)
    assert done.ok, done.stderr
    (project / "convex/convex.config.ts").unlink()
    (project / "convex/app.ts").write_text(
        'import { query } from "./_generated/server";\n'
        "export const list = query({ args: {}, handler: (ctx) =>"
        ' ctx.db.query("rows").collect() });\n'
    )
    (project / "convex/crons.ts").unlink()
    done = convex(project, served, *PUSH)
    assert done.ok, done.stderr
    rows = served.value("query", "app:list")
    served.kill()
    served = serve(*data)
    assert served.value("query", "app:list") == rows
    with sqlite3.connect(tmp_path / "data" / "deployment.sqlite3") as connection:
        components = {name for (name,) in connection.execute("SELECT component FROM tables")}
    connection.close()
    assert components == {""}, "a component that is gone leaves nothing"


def test_a_reset_is_kept_too(serve: Serve, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    served = serve(*data)
    served.calls.insert("rows", [{"n": 1}])
    served.calls.client.post("/api/convex_eval/reset")
    (new,) = served.calls.insert("others", [{"n": 2}])
    served.kill()
    served = serve(*data)
    assert served.calls.documents("rows") == []
    assert [row["_id"] for row in served.calls.documents("others")] == [new]


SLOW = {
    "convex/app.ts": """
import { internalMutation, mutation } from "./_generated/server";
import { internal } from "./_generated/api";
export const slow = internalMutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("runs", {});
  let sum = 0;
  for (let i = 0; i < 3e8; i++) sum += i;
  return sum;
} });
export const later = mutation({ args: {}, handler: async (ctx) => {
  await ctx.scheduler.runAfter(0, internal.app.slow, {});
} });
"""
}


def test_a_scheduled_mutation_that_was_cut_off_runs_once(
    serve: Serve, bundle: Bundle, tmp_path: Path
) -> None:
    data = ("--data", str(tmp_path / "data"))
    served = serve(*data)
    served.push(bundle(SLOW))
    served.value("mutation", "app:later")
    with sqlite3.connect(tmp_path / "data" / "deployment.sqlite3") as connection:
        begun = 'SELECT count(*) FROM documents WHERE json LIKE \'%"kind":"inProgress"%\''
        until(lambda: connection.execute(begun).fetchone() != (0,), "the function's begin")
    connection.close()
    served.kill()
    served = serve(*data)
    assert served.calls.advance(1) == []
    assert len(served.calls.documents("runs")) == 1
    (row,) = served.calls.documents("_scheduled_functions")
    assert row["state"] == {"kind": "success"}
