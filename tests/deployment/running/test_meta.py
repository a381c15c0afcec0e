"""What a function is told of itself, of its request and of the deployment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.functions import FunctionKind
from tests.deployment.fixtures import PushOnce

META = """
import { action, internalAction, internalMutation, mutation, query } from "./_generated/server";
import { internal } from "./_generated/api";
import { httpRouter, httpActionGeneric } from "convex/server";
const self = async (ctx: any) =>
  [await ctx.meta.getFunctionMetadata(), await ctx.meta.getDeploymentMetadata()];
export const q = query({ args: {}, handler: self });
export const m = mutation({ args: {}, handler: self });
export const a = internalAction({ args: {}, handler: self });
export const request = mutation({ args: {}, handler: (ctx: any) => ctx.meta.getRequestMetadata() });
export const requestOfAction = action({ args: {}, handler: async (ctx: any) =>
  [await ctx.meta.getRequestMetadata(), await ctx.runMutation("lib/meta:request" as any, {})] });
export const keep = internalMutation({ args: {}, handler: async (ctx: any) => {
  await ctx.db.insert("seen", await ctx.meta.getRequestMetadata()); } });
export const later = internalAction({ args: {}, handler: async (ctx: any) => {
  await ctx.runMutation(internal.lib.meta.keep, {}); } });
export const schedule = mutation({ args: {}, handler: async (ctx) =>
  [await ctx.scheduler.runAfter(1000, internal.lib.meta.keep, {}),
  await ctx.scheduler.runAfter(2000, internal.lib.meta.later, {})] });
const asked = (op: string) => (globalThis as any).Convex.asyncSyscall(op, "{}")
  .catch((error: any) => error.message);
export const unknown = query({ args: {}, handler: () => asked("1.0/whatever") });
export const unknownInAction = action({ args: {}, handler: async () =>
  [await asked("1.0/whatever"), await asked("1.0/getTransactionMetrics"),
  await asked("1.0/get")] });
""".replace("./_generated", "../_generated")
HTTP = """
import { httpActionGeneric, httpRouter } from "convex/server";
const http = httpRouter();
http.route({ path: "/request", method: "GET", handler: httpActionGeneric(async (ctx: any) =>
  Response.json(await ctx.runMutation("lib/meta:request" as any, {}))) });
export default http;
"""


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/lib/meta.ts": META, "convex/http.ts": HTTP})


def test_a_function_knows_its_name_and_its_deployment(app: EmbeddedDeployment) -> None:
    deployment = {
        "name": app.admin_key.partition("|")[0],
        "region": None,
        "class": "s16",
    }
    functions: tuple[tuple[str, FunctionKind, str], ...] = (
        ("q", "query", "public"),
        ("m", "mutation", "public"),
        ("a", "action", "internal"),
    )
    for name, kind, visibility in functions:
        result = app.call(kind, f"lib/meta:{name}", admin=True)
        assert result.error is None
        own = {"name": f"lib/meta:{name}", "componentPath": "", "type": kind}
        assert result.value == [{**own, "visibility": visibility}, deployment]


def test_a_request_says_where_it_came_from(app: EmbeddedDeployment) -> None:
    client = Client(app.url, app.admin_key)

    def ask(kind: str, path: str, **headers: str) -> Any:
        body = json.dumps({"path": f"lib/meta:{path}", "args": {}}).encode()
        answer = client.send("POST", f"/api/{kind}", {"User-Agent": "tester/1", **headers}, body)
        return json.loads(answer.body)["value"]

    one, two = ask("mutation", "request"), ask("mutation", "request")
    assert one == {
        "ip": "127.0.0.1",
        "userAgent": "tester/1",
        "authToken": None,
        "requestId": one["requestId"],
        "scheduledFunctionId": None,
    }
    assert len(one["requestId"]) == 16
    assert one["requestId"] != two["requestId"]
    outer, inner = ask("action", "requestOfAction")
    assert outer == inner, "what is called is of the same request"
    answer = app.http("GET", "/request", {"User-Agent": "tester/2"})
    assert json.loads(answer.body)["userAgent"] == "tester/2"
    assert json.loads(answer.body)["ip"] == "127.0.0.1"


def test_what_is_scheduled_has_no_request_but_its_own_row(app: EmbeddedDeployment) -> None:
    jobs = app.mutation("lib/meta:schedule").value
    assert isinstance(jobs, list)
    assert app.advance(10) == []
    seen = app.documents("seen")
    assert [row["scheduledFunctionId"] for row in seen] == jobs, "also for what it calls"
    assert [(row["ip"], row["userAgent"]) for row in seen] == [(None, None)] * 2


def test_an_operation_that_is_not_known_is_told_so(app: EmbeddedDeployment) -> None:
    # Libraries look for these words.
    assert app.query("lib/meta:unknown").value == "Unknown async operation 1.0/whatever"
    assert app.action("lib/meta:unknownInAction").value == [
        f"Unknown async operation 1.0/{name}"
        for name in ("whatever", "getTransactionMetrics", "get")
    ]
