"""The log of what functions did, for those who follow it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, Bundle, MakeProject, PushOverHttp
from tests.patience import HANG_SECONDS

APP = """
import { action, httpAction, mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { v } from "convex/values";
export const say = mutation({ args: { text: v.string() }, handler: async (_ctx, { text }) => {
  console.log("said", text);
  console.warn("twice");
} });
export const fail = query({ args: {}, handler: async () => { throw new Error("broken"); } });
export const slow = action({ args: { ms: v.number() }, handler: async (ctx, { ms }) => {
  console.log("begun");
  await new Promise((done) => setTimeout(done, ms));
  console.log("over");
} });
export const gated = action({ args: {}, handler: async (ctx) => {
  console.log("begun");
  while (!(await ctx.runQuery(api.app.isOpen, {}))) {
    await new Promise((done) => setTimeout(done, 5));
  }
  console.log("over");
} });
export const isOpen = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("opened").first()) !== null });
export const open = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("opened", {});
} });
export const hello = httpAction(async () => new Response("hi", { status: 201 }));
"""
HTTP = """
import { httpRouter } from "convex/server";
import { hello } from "./app";
const http = httpRouter();
http.route({ path: "/hello", method: "GET", handler: hello });
export default http;
"""


@pytest.fixture
def live(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> EmbeddedDeployment:
    answer = push_over_http(bundle({"convex/app.ts": APP, "convex/http.ts": HTTP}))
    assert answer.status == 200, answer.body
    return deployment


@pytest.fixture
def follow(ask: Ask) -> Callable[[float], Any]:
    return lambda cursor: ask("GET", f"/api/stream_function_logs?cursor={cursor}").body


def test_each_execution_is_an_entry_with_its_lines(
    live: EmbeddedDeployment, follow: Callable[[float], Any]
) -> None:
    live.mutation("app:say", {"text": "this"})
    failed = live.query("app:fail")
    live.http("GET", "/hello")
    live.mutation("app:say")
    live.query("app:nothing")
    said, broken, hello, refused = follow(0)["entries"]
    assert {name: said[name] for name in ("kind", "identifier", "udfType", "error", "success")} == {
        "kind": "Completion",
        "identifier": "app.js:say",
        "udfType": "Mutation",
        "error": None,
        "success": None,
    }
    assert [(line["level"], line["messages"]) for line in said["logLines"]] == [
        ("LOG", ["'said' 'this'"]),
        ("WARN", ["'twice'"]),
    ]
    assert 0 < said["executionTime"] < 60
    assert broken["error"].startswith("Uncaught Error: broken")
    assert f"[Request ID: {broken['requestId']}]" in str(failed.error)
    assert (hello["identifier"], hello["udfType"]) == ("GET /hello", "HttpAction")
    assert hello["success"] == {"status": "201"}
    assert refused["error"].startswith("ArgumentValidationError")


def test_what_a_long_action_says_is_told_while_it_runs(
    live: EmbeddedDeployment, follow: Callable[[float], Any]
) -> None:
    live.action("app:slow", {"ms": 0})
    (quick,) = follow(0)["entries"]
    assert [line["messages"] for line in quick["logLines"]] == [["'begun'"], ["'over'"]]
    cursor = follow(0)["newCursor"]
    running = threading.Thread(target=live.action, args=("app:gated",))
    running.start()
    entries: list[Any] = []
    while not entries:
        told = follow(cursor)
        cursor = told["newCursor"]
        # What it asks meanwhile has entries of its own.
        entries = [one for one in told["entries"] if one["identifier"] == "app.js:gated"]
    (progress,) = entries
    assert {name: progress[name] for name in ("kind", "identifier", "udfType")} == {
        "kind": "Progress",
        "identifier": "app.js:gated",
        "udfType": "Action",
    }
    assert [line["messages"] for line in progress["logLines"]] == [["'begun'"]]
    live.mutation("app:open")
    running.join()
    after = follow(cursor)["entries"]
    (completion,) = [one for one in after if one["identifier"] == "app.js:gated"]
    assert completion["kind"] == "Completion"
    assert completion["requestId"] == progress["requestId"]
    assert [line["messages"] for line in completion["logLines"]] == [["'over'"]], "each line once"


def test_a_cursor_gives_what_came_after_it_and_waits_for_that(
    live: EmbeddedDeployment, follow: Callable[[float], Any]
) -> None:
    live.mutation("app:say", {"text": "old"})
    cursor = follow(0)["newCursor"]
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(follow(cursor)))
    waiting.start()
    live.mutation("app:say", {"text": "new"})
    waiting.join(HANG_SECONDS)
    (entry,) = answers[0]["entries"]
    assert entry["logLines"][0]["messages"] == ["'said' 'new'"]
    assert answers[0]["newCursor"] > cursor
    live.reset_data()
    assert follow(0)["entries"] == [], "a reset begins anew"


def test_the_cli_shows_them(
    node: Path,
    make_project: MakeProject,
    live: EmbeddedDeployment,
    compile_cache: Path,
) -> None:
    project = make_project({"convex/app.ts": APP}, name="cli")
    live.mutation("app:say", {"text": "history"})
    cli = project / "node_modules/convex/bin/main.js"
    target = ["--url", live.url, "--admin-key", live.admin_key]
    env = processes.environment(
        home=project, path=[node.parent], NODE_COMPILE_CACHE=str(compile_cache)
    )
    with subprocess.Popen(
        [node, cli, "logs", "--history", "10", *target],
        cwd=project,
        env={**env, "CI": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as shown:
        deadline = threading.Timer(HANG_SECONDS, shown.kill)
        deadline.start()
        try:
            assert shown.stdout is not None
            first = shown.stdout.readline()
            assert "[CONVEX M(app.js:say)] [LOG] 'said' 'history'" in first
            assert "[WARN] 'twice'" in shown.stdout.readline()
            live.query("app:fail")
            assert "[CONVEX Q(app.js:fail)] Uncaught Error: broken" in shown.stdout.readline()
        finally:
            deadline.cancel()
            shown.kill()
