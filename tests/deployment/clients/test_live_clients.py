"""Official clients that stay connected: React's, Python's, and any when the connection is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.clients.programs import printed
from tests.deployment.fixtures import PushWithUsers
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.deployment.issuer import Issuer

APP = """
import { action, mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { ConvexError, v } from "convex/values";
export const list = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).map((row) => row.n) });
export const add = mutation({ args: { n: v.any() },
  handler: async (ctx, { n }) => { await ctx.db.insert("rows", { n }); return n; } });
export const fail = mutation({ args: {},
  handler: async () => { throw new ConvexError({ why: "no" }); } });
export const twice = action({ args: { n: v.number() },
  handler: async (ctx, { n }): Promise<number> => 2 * await ctx.runMutation(api.app.add, { n }) });
export const inc = mutation({ args: {}, handler: async (ctx) => {
  const row = await ctx.db.query("counter").unique();
  if (row === null) await ctx.db.insert("counter", { n: 1 });
  else await ctx.db.patch(row._id, { n: row.n + 1 });
} });
export const who = query({ args: {}, handler: async (ctx) =>
  (await ctx.auth.getUserIdentity())?.subject ?? null });
export const counter = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("counter").unique())?.n ?? 0 });
"""

PRELUDE = """
import net from "node:net";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { ConvexReactClient } from "convex/react";
import { anyApi as api } from "convex/server";
const until = async (test) => { while (!test()) await new Promise((done) => setTimeout(done, 5)); };
const say = (value) => console.log(JSON.stringify(value));
/** A way to the server whose connections can be cut. */
const openDetour = async () => {
  const sockets = new Set();
  const { hostname, port } = new URL(url);
  const detour = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on("error", () => {}).pipe(to);
      from.on("close", () => { sockets.delete(from); to.destroy(); });
    }
  });
  await new Promise((done) => detour.listen(0, "127.0.0.1", done));
  const cut = () => { for (const socket of sockets) socket.destroy(); };
  return { url: `http://127.0.0.1:${detour.address().port}`, cut };
};
"""


@pytest.fixture
def live(push_with_users: PushWithUsers) -> EmbeddedDeployment:
    return push_with_users({"convex/app.ts": APP})


@pytest.fixture
def script(
    node: Path, tmp_path: Path, ecosystem: Path, live: EmbeddedDeployment
) -> Callable[[str], Any]:
    """Runs a Node program with the official clients; gives what it prints as JSON."""

    def run(text: str) -> Any:
        head = f"{PRELUDE}const url = {json.dumps(live.url)};\n"
        program = f"{head}{text}\nprocess.exit(0);\n"
        *_, said = printed(
            node, program, tmp_path / "client", ecosystem
        ).splitlines()  # The client tells of lost connections before.
        return json.loads(said)

    return run


def test_react_shows_an_optimistic_update_until_the_real_one(script: Callable[[str], Any]) -> None:
    found = script("""
      const client = new ConvexReactClient(url);
      const watch = client.watchQuery(api.app.list, {});
      const seen = [];
      watch.onUpdate(() => seen.push(watch.localQueryResult()));
      await until(() => seen.length === 1);
      const optimisticUpdate = (store, { n }) =>
        store.setQuery(api.app.list, {}, [...store.getQuery(api.app.list, {}), `${n}?`]);
      const added = client.mutation(api.app.add, { n: "a" }, { optimisticUpdate });
      await until(() => seen.length === 2);
      const answer = await added;
      await until(() => seen.length === 3);
      const undo = (store) => store.setQuery(api.app.list, {}, []);
      const error = await client.mutation(api.app.fail, {}, { optimisticUpdate: undo })
        .catch((thrown) => thrown.data);
      await until(() => seen.length === 5);
      say({ seen: seen.slice(0, 5), answer, error, read: await client.query(api.app.list, {}),
            acted: await client.action(api.app.twice, { n: 4 }) });
    """)
    assert found == {
        "seen": [[], ["a?"], ["a"], [], ["a"]],
        "answer": "a",
        "error": {"why": "no"},
        "read": ["a"],
        "acted": 8,
    }


def test_a_client_that_lost_its_connection_catches_up(script: Callable[[str], Any]) -> None:
    found = script("""
      const detour = await openDetour();
      const client = new ConvexClient(detour.url), other = new ConvexHttpClient(url);
      const seen = [];
      client.onUpdate(api.app.list, {}, (rows) => seen.push(rows));
      await until(() => seen.length === 1);
      detour.cut();
      await until(() => !client.connectionState().isWebSocketConnected);
      await other.mutation(api.app.add, { n: "meanwhile" });
      const late = client.mutation(api.app.add, { n: "late" });
      await late;
      await until(() => seen.at(-1).length === 2);
      say({ last: seen.at(-1), again: client.connectionState().connectionCount });
    """)
    assert found == {"last": ["meanwhile", "late"], "again": 2}


def test_two_racing_clients_lose_none_of_a_thousand_increments(
    script: Callable[[str], Any],
) -> None:
    found = script("""
      const clients = [new ConvexClient(url), new ConvexClient(url)];
      let highest = 0, isOrdered = true;
      clients[0].onUpdate(api.app.counter, {}, (n) => {
        isOrdered &&= n >= highest;
        highest = n;
      });
      await Promise.all(clients.map(async (client) => {
        for (let batch = 0; batch < 10; batch++) {
          await Promise.all(Array.from({ length: 50 }, () => client.mutation(api.app.inc, {})));
        }
      }));
      await until(() => highest === 1000);
      say({ isOrdered, counter: await new ConvexHttpClient(url).query(api.app.counter, {}) });
    """)
    assert found == {"isOrdered": True, "counter": 1000}


PYTHON = """
import json, os, sys
from convex import ConvexClient, ConvexError

client, other = ConvexClient(sys.argv[1]), ConvexClient(sys.argv[1])
followed = client.subscribe("app:list", {})
seen = [next(followed)]
added = other.mutation("app:add", {"n": "a"})
seen.append(next(followed))
acted = client.action("app:twice", {"n": 2.0})
seen.append(next(followed))
try:
    client.mutation("app:fail")
except ConvexError as error:
    data = error.data
who = [client.query("app:who")]
client.set_auth(sys.argv[3])
who.append(client.query("app:who"))
client.clear_auth()
who.append(client.query("app:who"))
client.set_admin_auth(sys.argv[2])
read = client.query("app:list")
said = {"added": added, "acted": acted, "seen": seen, "error": data, "read": read, "who": who}
print(json.dumps(said))
"""


def test_pythons_client_calls_and_follows(
    live: EmbeddedDeployment, issuer: Issuer, tmp_path: Path
) -> None:
    done = processes.run(
        [sys.executable, "-c", PYTHON, live.url, live.admin_key, issuer.token("good")],
        cwd=tmp_path,
        env=processes.environment(home=tmp_path),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "added": "a",
        "acted": 4,
        "seen": [[], ["a"], ["a", 2]],
        "error": {"why": "no"},
        "read": ["a", 2],
        "who": [None, "ada", None],
    }
