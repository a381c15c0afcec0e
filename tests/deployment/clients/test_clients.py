"""The official clients and the CLI, unchanged, use what is deployed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import push
from tests.deployment.clients.programs import printed
from tests.deployment.fixtures import MakeProject, OfVersion, PushWithUsers
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.deployment.issuer import Issuer

APP = """
import { action, internalQuery, mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { paginationOptsValidator } from "convex/server";
import { ConvexError, v } from "convex/values";
export const list = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).map((row) => row.n) });
export const add = mutation({ args: { n: v.any() },
  handler: async (ctx, { n }) => { await ctx.db.insert("rows", { n }); return n; } });
export const page = query({ args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, args) =>
    await ctx.db.query("rows").order("desc").paginate(args.paginationOpts) });
export const fail = mutation({ args: {},
  handler: async () => { throw new ConvexError({ why: 1n }); } });
export const twice = action({ args: { n: v.number() },
  handler: async (ctx, { n }): Promise<number> =>
  2 * await ctx.runMutation(api.app.add, { n }) });
export const who = query({ args: {}, handler: async (ctx) =>
  (await ctx.auth.getUserIdentity())?.subject ?? null });
export const inc = mutation({ args: {}, handler: async (ctx) => {
  const row = await ctx.db.query("counter").unique();
  if (row === null) await ctx.db.insert("counter", { n: 1 });
  else await ctx.db.patch(row._id, { n: row.n + 1 });
} });
export const counter = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("counter").unique())?.n ?? 0 });
export const secret = internalQuery({ args: {}, handler: async () => "internal" });
"""


@pytest.fixture
def live(push_with_users: PushWithUsers) -> EmbeddedDeployment:
    return push_with_users({"convex/app.ts": APP})


@pytest.fixture
def script(
    node: Path, tmp_path: Path, convex_node_modules: OfVersion, live: EmbeddedDeployment
) -> Callable[[str], Any]:
    """Runs a Node program with `convex` from npm; gives what it prints as JSON."""

    def run(text: str) -> Any:
        program = (
            'import { ConvexClient, ConvexHttpClient } from "convex/browser";\n'
            'import { anyApi as api } from "convex/server";\n'
            f"const url = {json.dumps(live.url)}, key = {json.dumps(live.admin_key)};\n"
            "const sleep = (ms) => new Promise((done) => setTimeout(done, ms));\n"
            "const until = async (test) => { while (!test()) await sleep(5); };\n"
            "const say = (value) => console.log(JSON.stringify(value, (_, v) =>"
            " typeof v === 'bigint' ? `${v}n` : v));\n" + text + "\nprocess.exit(0);\n"
        )
        modules = convex_node_modules("1.48.0")
        return json.loads(printed(node, program, tmp_path / "client", modules))

    return run


def test_the_http_client_calls_functions_of_every_kind(script: Callable[[str], Any]) -> None:
    found = script("""
      const client = new ConvexHttpClient(url);
      const added = await client.mutation(api.app.add, { n: 1n });
      const doubled = await client.action(api.app.twice, { n: 2 });
      let error; try { await client.mutation(api.app.fail, {}); } catch (e) { error = e.data; }
      let hidden; try { await client.query(api.app.secret, {}); } catch (e) { hidden = e.message; }
      say({ added, doubled, list: await client.query(api.app.list, {}), error, hidden });
    """)
    assert "Could not find public function for 'app:secret'." in found.pop("hidden")
    assert found == {"added": "1n", "doubled": 4, "list": ["1n", 2], "error": {"why": "1n"}}


def test_consistent_queries_of_a_client_see_one_state(script: Callable[[str], Any]) -> None:
    found = script("""
      const client = new ConvexHttpClient(url), later = new ConvexHttpClient(url);
      await client.mutation(api.app.add, { n: 1 });
      const seen = [await client.consistentQuery(api.app.list, {})];
      await client.mutation(api.app.add, { n: 2 });
      seen.push(await client.consistentQuery(api.app.list, {}));
      seen.push(await client.query(api.app.list, {}));
      seen.push(await later.consistentQuery(api.app.list, {}));
      say(seen);
    """)
    assert found == [[1], [1], [1, 2], [1, 2]]


def test_a_subscription_sees_what_another_client_writes(script: Callable[[str], Any]) -> None:
    found = script("""
      const one = new ConvexClient(url), two = new ConvexClient(url);
      const seen = [];
      one.onUpdate(api.app.list, {}, (rows) => seen.push(rows));
      await until(() => seen.length === 1);
      await two.mutation(api.app.add, { n: 1 });
      await until(() => seen.length === 2);
      const own = await one.mutation(api.app.add, { n: 2 });
      await until(() => seen.length === 3);
      let error; try { await one.mutation(api.app.fail, {}); } catch (e) { error = e.data; }
      say({ seen: seen.slice(0, 3), own, error, action: await two.action(api.app.twice, { n: 4 }),
            read: await two.query(api.app.list, {}) });
    """)
    assert found == {
        "seen": [[], [1], [1, 2]],
        "own": 2,
        "error": {"why": "1n"},
        "action": 8,
        "read": [1, 2, 4],
    }


def test_an_admin_acts_as_a_user(script: Callable[[str], Any]) -> None:
    found = script("""
      const client = new ConvexClient(url);
      client.client.setAdminAuth(key, { subject: "ada", issuer: "i" });
      const broken = await client.query("_system/frontend/addDocument", {}).catch((e) => e.message);
      const nine = { table: "rows", documents: [{ n: 9 }] };
      await client.mutation("_system/frontend/addDocument", nine);
      const scan = await client.query("_system/frontend/listTableScan",
        { table: "rows", limit: 5 });
      const wrong = new ConvexHttpClient(url); wrong.setAdminAuth("nobody");
      say({ broken: broken.includes("Invalid arguments for _system/frontend/addDocument"),
            who: await client.query(api.app.who, {}),
            internal: await client.query(api.app.secret, {}),
            scan: scan.map((row) => row.n),
            spec: (await client.query("_system/cli/modules:apiSpec", {})).length,
            wrong: await wrong.query(api.app.who, {})
              .catch((e) => e.message.includes("BadDeployKey")) });
    """)
    assert found == {
        "broken": True,
        "who": "ada",
        "internal": "internal",
        "scan": [9],
        "spec": 9,
        "wrong": True,
    }


def test_the_http_client_acts_for_users(script: Callable[[str], Any], issuer: Issuer) -> None:
    found = script(
        f"const good = {json.dumps(issuer.token('good'))};\n"
        f"const bad = {json.dumps(issuer.token('key'))};\n"
        """
      const client = new ConvexHttpClient(url);
      const who = () => client.query(api.app.who, {}).catch((e) => JSON.parse(e.message).code);
      const seen = [await who()];
      client.setAuth(good);
      seen.push(await who());
      seen.push(await client.query(api.app.secret, {}).catch(() => "hidden"));
      client.setAuth(bad);
      seen.push(await who());
      client.clearAuth();
      seen.push(await who());
      client.setAdminAuth(key);
      seen.push(await who(), await client.query(api.app.secret, {}));
      client.setAdminAuth(key, { subject: "bob", issuer: "https://i", tokenIdentifier: "i|bob" });
      seen.push(await who(), await client.query(api.app.secret, {}));
      seen.push(await client.mutation(api.app.add, { n: 1 }));
      seen.push(await client.action(api.app.twice, { n: 2 }));
      const token = new ConvexHttpClient(url, { auth: good });
      seen.push(await token.consistentQuery(api.app.who, {}));
      say(seen);
    """
    )
    assert found == [
        *(None, "ada", "hidden", "InvalidAuthHeader", None),
        *(None, "internal", "bob", "internal", 1, 4, "ada"),
    ]


def test_pages_follow_each_other(script: Callable[[str], Any], live: EmbeddedDeployment) -> None:
    live.insert("rows", [{"n": n} for n in range(7)])
    found = script("""
      const client = new ConvexHttpClient(url);
      const pages = []; let cursor = null;
      for (;;) {
        const result = await client.query(api.app.page,
          { paginationOpts: { numItems: 3, cursor } });
        pages.push(result.page.map((row) => row.n));
        if (pages.length === 1) await client.mutation(api.app.add, { n: 99 });
        if (result.isDone) break;
        cursor = result.continueCursor;
      }
      const bad = await client.query(api.app.page, { paginationOpts: { numItems: 3, cursor: "x" } })
        .catch((e) => e.data);
      const none = await client.query(api.app.page,
        { paginationOpts: { numItems: 0, cursor: null } })
        .catch((e) => e.message);
      say({ pages, bad, none: none.includes("Must request at least 1 document while paginating") });
    """)
    assert found == {
        "pages": [[6, 5, 4], [3, 2, 1], [0]],
        "bad": {"isConvexSystemError": True, "paginationError": "InvalidCursor"},
        "none": True,
    }


def test_a_request_that_is_sent_again_runs_once(script: Callable[[str], Any]) -> None:
    found = script("""
      const open = async () => {
        const socket = new WebSocket(url.replace("http", "ws") + "/api/1.48.0/sync");
        await new Promise((done) => { socket.onopen = done; });
        const send = (message) => socket.send(JSON.stringify(message));
        send({ type: "Connect", sessionId: "me", connectionCount: 0, lastCloseReason: null });
        send({ type: "Mutation", requestId: 0, udfPath: "app:inc", args: [{}] });
        const answer = await new Promise((done) => {
          socket.onmessage = (event) => {
            const message = JSON.parse(event.data);
            if (message.type === "MutationResponse") done(message.success);
          };
        });
        socket.close();
        return answer;
      };
      const answers = [await open(), await open()];
      say({ answers, counter: await new ConvexHttpClient(url).query(api.app.counter, {}) });
    """)
    assert found == {"answers": [True, True], "counter": 1}


@pytest.mark.parametrize("version", ["1.28.2", "1.31.2", "1.41.0"])
def test_functions_of_older_libraries_run(
    version: str,
    node: Path,
    make_project: MakeProject,
    deployment: EmbeddedDeployment,
    compile_cache: Path,
) -> None:
    project = make_project({"convex/app.ts": APP}, version=version)
    push(
        deployment,
        node=node,
        cli=project / "node_modules/convex/bin/main.js",
        project=project,
        deadline_seconds=HANG_SECONDS,
        compile_cache=compile_cache,
    )
    assert deployment.action("app:twice", {"n": 3}).value == 6
    assert deployment.mutation("app:inc").error is None
    assert deployment.query("app:counter").value == 1
    failed = deployment.mutation("app:fail")
    assert failed.error_data == {"why": {"$integer": "AQAAAAAAAAA="}}
