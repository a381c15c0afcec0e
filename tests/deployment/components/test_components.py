"""Published components: each is pushed by the real CLI and does what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import push
from tests.deployment.fixtures import Bundle, MakeProject, PushOverHttp
from tests.patience import HANG_SECONDS


def config(*names: str) -> str:
    """A convex.config.ts that uses published components."""
    lines = ['import { defineApp } from "convex/server";', "const app = defineApp();"]
    for name in names:
        lines.insert(1, f'import {name} from "@convex-dev/{name}/convex.config.js";')
        lines.append(f"app.use({name});")
    return "\n".join([*lines, "export default app;", ""])


class Deploy(Protocol):
    def __call__(self, source: str, *components: str) -> EmbeddedDeployment: ...


@pytest.fixture
def app(
    node: Path,
    ecosystem: Path,
    make_project: MakeProject,
    deployment: EmbeddedDeployment,
    compile_cache: Path,
) -> Deploy:
    """Pushes an app of one module, `a`, that uses the named components."""

    def deploy(source: str, *components: str) -> EmbeddedDeployment:
        files = {"convex/convex.config.ts": config(*components), "convex/a.ts": source}
        project = make_project(files, modules=ecosystem)
        result = push(
            deployment,
            node=node,
            cli=project / "node_modules/convex/bin/main.js",
            project=project,
            deadline_seconds=HANG_SECONDS,
            compile_cache=compile_cache,
            codegen=True,
        )
        assert [f for f in result.findings if f.severity == "error"] == [], result.output
        return deployment

    return deploy


def value(result: Any) -> Any:
    assert result.error is None, result.error
    return result.value


WORKPOOL = """
import { Workpool, vOnCompleteArgs } from "@convex-dev/workpool";
import { v } from "convex/values";
import { components, internal } from "./_generated/api";
import { internalAction, internalMutation, mutation, query } from "./_generated/server";

const pool = new Workpool(components.workpool, { maxParallelism: 2, logLevel: "ERROR" });

export const add = internalMutation({
  args: { n: v.number() },
  handler: async (ctx, { n }): Promise<number> => {
    await ctx.db.insert("added", { n });
    return n * 10;
  },
});
export const flaky = internalAction({
  args: {},
  handler: async (): Promise<void> => { throw new Error("never works"); },
});
export const done = internalMutation({
  args: vOnCompleteArgs(v.string()),
  handler: async (ctx, { context, result }) => {
    await ctx.db.insert("results", { context, result });
  },
});
export const start = mutation({
  args: {},
  handler: async (ctx): Promise<string[]> => {
    const ids: string[] = [];
    for (const n of [1, 2, 3, 4]) {
      ids.push(await pool.enqueueMutation(ctx, internal.a.add, { n }, {
        onComplete: internal.a.done, context: `add ${n}`,
      }));
    }
    ids.push(await pool.enqueueAction(ctx, internal.a.flaky, {}, {
      retry: { maxAttempts: 2, initialBackoffMs: 1000, base: 2 },
      onComplete: internal.a.done, context: "flaky",
    }));
    return ids;
  },
});
export const states = query({
  args: { ids: v.array(v.string()) },
  handler: async (ctx, { ids }): Promise<string[]> =>
    (await pool.statusBatch(ctx, ids as any)).map((status) => status.state),
});
"""


def test_a_workpool_does_what_is_queued(app: Deploy) -> None:
    deployment = app(WORKPOOL, "workpool")
    ids = value(deployment.mutation("a:start"))
    assert deployment.advance(120) == []
    assert value(deployment.query("a:states", {"ids": ids})) == ["finished"] * 5
    added = sorted(float(str(row["n"])) for row in deployment.documents("added"))
    assert added == [1, 2, 3, 4]
    results: dict[str, Any] = {
        str(row["context"]): row["result"] for row in deployment.documents("results")
    }
    flaky = results.pop("flaky")
    assert flaky["kind"] == "failed"
    assert str(flaky["error"]).startswith("Uncaught Error: never works")
    assert results == {f"add {n}": {"kind": "success", "returnValue": n * 10} for n in (1, 2, 3, 4)}


WORKFLOW = """
import { WorkflowManager } from "@convex-dev/workflow";
import { v } from "convex/values";
import { components, internal } from "./_generated/api";
import { internalAction, internalMutation, mutation, query } from "./_generated/server";

const manager = new WorkflowManager(components.workflow);

export const double = internalAction({
  args: { n: v.number() },
  handler: async (_ctx, { n }): Promise<number> => n * 2,
});
export const save = internalMutation({
  args: { n: v.number() },
  handler: async (ctx, { n }): Promise<string> => {
    await ctx.db.insert("saved", { n });
    return `saved ${n}`;
  },
});
export const twoSteps = manager.define({
  args: { n: v.number() },
  handler: async (step, { n }): Promise<string> => {
    const doubled: number = await step.runAction(internal.a.double, { n });
    return await step.runMutation(internal.a.save, { n: doubled }, { runAfter: 60_000 });
  },
});
export const start = mutation({
  args: { n: v.number() },
  handler: async (ctx, { n }): Promise<string> =>
    await manager.start(ctx, internal.a.twoSteps, { n }),
});
export const status = query({
  args: { id: v.string() },
  handler: async (ctx, { id }): Promise<any> => await manager.status(ctx, id as any),
});
"""


def test_a_workflow_goes_through_its_steps(app: Deploy) -> None:
    deployment = app(WORKFLOW, "workflow")
    id = value(deployment.mutation("a:start", {"n": 21}))
    assert value(deployment.query("a:status", {"id": id}))["type"] == "inProgress"
    assert deployment.advance(30) == []
    assert deployment.documents("saved") == [], "the second step waits for a minute"
    assert deployment.advance(120) == []
    assert [row["n"] for row in deployment.documents("saved")] == [42]
    found = value(deployment.query("a:status", {"id": id}))
    assert found == {"type": "completed", "result": "saved 42"}


MIGRATIONS = """
import { Migrations } from "@convex-dev/migrations";
import { components, internal } from "./_generated/api";
import type { DataModel } from "./_generated/dataModel";
import { mutation, query } from "./_generated/server";

const migrations = new Migrations<DataModel>(components.migrations);

export const setDefault = migrations.define({
  table: "rows",
  batchSize: 10,
  migrateOne: async (_ctx, row) => (row.kind === undefined ? { kind: "old" } : undefined),
});
export const run = migrations.runner(internal.a.setDefault);
export const status = query({
  args: {},
  handler: async (ctx): Promise<any> => await migrations.getStatus(ctx, {}),
});
"""


def test_a_migration_runs_batch_by_batch_to_its_end(
    app: Deploy,
) -> None:
    deployment = app(MIGRATIONS, "migrations")
    deployment.insert("rows", [{"n": n} for n in range(24)])
    deployment.insert("rows", [{"n": 24, "kind": "new"}])
    value(deployment.mutation("a:run", admin=True))
    assert deployment.advance(60) == []
    kinds = [row.get("kind") for row in deployment.documents("rows")]
    assert kinds == ["old"] * 24 + ["new"]
    (status,) = value(deployment.query("a:status"))
    assert (status["name"], status["processed"], status["state"], status["isDone"]) == (
        "a:setDefault",
        25,
        "success",
        True,
    )


PRESENCE = """
import { Presence } from "@convex-dev/presence";
import { v } from "convex/values";
import { components } from "./_generated/api";
import { mutation, query } from "./_generated/server";

const presence = new Presence(components.presence);

export const heartbeat = mutation({
  args: { user: v.string(), session: v.string() },
  handler: async (ctx, { user, session }) =>
    await presence.heartbeat(ctx, "room", user, session, 10_000),
});
export const list = query({
  args: { roomToken: v.string() },
  handler: async (ctx, { roomToken }) =>
    (await presence.list(ctx, roomToken)).map((each) => [each.userId, each.online]).sort(),
});
export const leave = mutation({
  args: { sessionToken: v.string() },
  handler: async (ctx, { sessionToken }) => await presence.disconnect(ctx, sessionToken),
});
"""


def test_presence_tells_who_is_there(app: Deploy) -> None:
    deployment = app(PRESENCE, "presence")
    ada = value(deployment.mutation("a:heartbeat", {"user": "ada", "session": "1"}))
    bob = value(deployment.mutation("a:heartbeat", {"user": "bob", "session": "2"}))
    assert ada["roomToken"] == bob["roomToken"]
    room = {"roomToken": ada["roomToken"]}
    assert value(deployment.query("a:list", room)) == [["ada", True], ["bob", True]]
    value(deployment.mutation("a:leave", {"sessionToken": bob["sessionToken"]}))
    assert value(deployment.query("a:list", room)) == [["ada", True], ["bob", False]]
    assert deployment.advance(120) == []
    gone = [["ada", False], ["bob", False]]
    assert value(deployment.query("a:list", room)) == gone, "no heartbeat for two minutes"


AGENT = """
import { createThread, listMessages, saveMessage, saveMessages } from "@convex-dev/agent";
import { v } from "convex/values";
import { components } from "./_generated/api";
import { mutation, query } from "./_generated/server";

export const start = mutation({
  args: {},
  handler: async (ctx): Promise<string> => {
    const threadId = await createThread(ctx, components.agent, { userId: "ada", title: "Chat" });
    await saveMessage(ctx, components.agent, { threadId, userId: "ada", prompt: "Hello?" });
    await saveMessages(ctx, components.agent, {
      threadId, userId: "ada",
      messages: [{ role: "assistant", content: "Hello." }, { role: "user", content: "Bye" }],
    });
    return threadId;
  },
});
export const messages = query({
  args: { threadId: v.string() },
  handler: async (ctx, { threadId }): Promise<any> => {
    const paginationOpts = { numItems: 2, cursor: null };
    const first = await listMessages(ctx, components.agent, { threadId, paginationOpts });
    const rest = await listMessages(ctx, components.agent, {
      threadId, paginationOpts: { numItems: 2, cursor: first.continueCursor },
    });
    return [first, rest].map(({ page, isDone }) =>
      [page.map(({ message }) => [message?.role, message?.content]), isDone]);
  },
});
export const threads = query({
  args: {},
  handler: async (ctx): Promise<any> =>
    (await ctx.runQuery(components.agent.threads.listThreadsByUserId, { userId: "ada" }))
      .page.map(({ title, status }) => [title, status]),
});
export const found = query({
  args: { threadId: v.string() },
  handler: async (ctx, { threadId }): Promise<any> =>
    (await ctx.runQuery(components.agent.messages.textSearch, {
      threadId, text: "hello", limit: 10,
    })).map(({ text }) => text),
});
"""


def test_an_agents_threads_keep_their_messages(app: Deploy) -> None:
    deployment = app(AGENT, "agent")
    thread = {"threadId": value(deployment.mutation("a:start"))}
    assert value(deployment.query("a:threads")) == [["Chat", "active"]]
    (newest, first_is_all), (oldest, rest_is_all) = value(deployment.query("a:messages", thread))
    assert newest == [["user", "Bye"], ["assistant", "Hello."]]
    assert oldest == [["user", "Hello?"]]
    assert (first_is_all, rest_is_all) == (False, True)
    assert sorted(value(deployment.query("a:found", thread))) == ["Hello.", "Hello?"]


NESTED = """
import { v } from "convex/values";
import { api, internal } from "./_generated/api";
import { internalQuery, mutation, query } from "./_generated/server";

export const rows = internalQuery({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").order("asc").collect()).map((row) => row.n) });
export const write = mutation({ args: {}, handler: async (ctx): Promise<any> => {
  const old = await ctx.db.query("rows").first();
  await ctx.db.patch(old!._id, { n: 10 });
  await ctx.db.patch(old!._id, { n: 11 });
  const gone = await ctx.db.insert("rows", { n: 3 });
  await ctx.db.insert("rows", { n: 4 });
  await ctx.db.delete(gone);
  const stale = await ctx.runQuery(internal.a.rows, {}, { useStaleSnapshot: true });
  return [stale, await ctx.runQuery(internal.a.rows, {})];
} });
export const highest = query({ args: {}, handler: async () => Math.max(1, 2) });
export const patched = mutation({ args: {}, handler: async (ctx): Promise<any> => {
  const { Math } = globalThis;
  (globalThis as any).Math = { max: () => "patched" };
  const own = (globalThis as any).Math.max(1, 2);
  return [own, await ctx.runQuery(api.a.highest, {}), Math.max(1, 2)];
} });
"""


@pytest.fixture
def nested(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> EmbeddedDeployment:
    answer = push_over_http(bundle({"convex/a.ts": NESTED}))
    assert answer.status == 200, answer.body
    return deployment


def test_a_stale_snapshot_is_that_of_before_the_mutation(nested: EmbeddedDeployment) -> None:
    nested.insert("rows", [{"n": 1}, {"n": 2}])
    assert value(nested.mutation("a:write")) == [[1, 2], [11, 2, 4]]
    assert [row["n"] for row in nested.documents("rows")] == [11, 2, 4]


def test_what_replaces_a_global_does_so_for_its_function_alone(nested: EmbeddedDeployment) -> None:
    assert value(nested.mutation("a:patched")) == ["patched", 2, 2]
    assert value(nested.query("a:highest")) == 2
