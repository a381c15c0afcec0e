"""What a client is told of the queries that it follows when other code goes live."""

from __future__ import annotations

import itertools
from typing import Any, Protocol

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOverHttp
from tests.deployment.sync.messages import PROBE, add, call, follow, modify, remove, told, values
from tests.deployment.sync_socket import SyncSocket

APP = """
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const one = query({ args: {}, handler: async (): Promise<any> => "first" });
export const two = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).length });
export const takes = query({ args: { a: v.optional(v.string()) }, handler: async () => "taken" });
export const put = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("rows", { n: 1 }); } });
"""
SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ rows: defineTable({ n: v.string() }) });
"""


class PushApp(Protocol):
    """Pushes the app, or another one and with more files; what was answered."""

    def __call__(self, app: str = APP, *, status: int = 200, **more: str) -> dict[str, Any]: ...


@pytest.fixture
def push(bundle: Bundle, push_over_http: PushOverHttp) -> PushApp:
    count = itertools.count()

    def run(app: str = APP, *, status: int = 200, **more: str) -> dict[str, Any]:
        files = {"app": app, "probe": PROBE, **more}
        named = {f"convex/{name}.ts": text for name, text in files.items()}
        answer = push_over_http(bundle(named, name=f"push{next(count)}"))
        assert answer.status == status, answer.body
        body: dict[str, Any] = answer.body
        return body

    return run


@pytest.fixture
def live(push: PushApp, deployment: EmbeddedDeployment) -> EmbeddedDeployment:
    push()
    return deployment


def test_results_are_those_of_the_new_code_and_only_what_is_other_is_told(
    sync: SyncSocket, push: PushApp, deployment: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:one"), add(2, "app:two")) == {1: "first", 2: 0}
    push(APP.replace('"first"', '"second"'))
    assert told(sync) == [{1: "second"}]
    deployment.mutation("app:put")
    assert told(sync) == [{2: 1}], "it is followed as before"
    push(APP.replace(".length", ".length * 10"))
    assert told(sync) == [{1: "first", 2: 10}]


def test_a_function_that_goes_fails_and_comes_back(
    sync: SyncSocket, push: PushApp, deployment: EmbeddedDeployment
) -> None:
    def errors() -> list[str]:
        changed = sync.receive()
        return [
            each["errorMessage"].partition("\n")[2].removesuffix("\n")
            for each in changed["modifications"]
            if each["type"] == "QueryFailed"
        ]

    assert follow(sync, add(1, "app:two"), add(2, "app:takes")) == {1: 0, 2: "taken"}
    push(APP.replace("export const two", "export const other"))
    assert errors() == ["Could not find public function for 'app:two'."]
    push(APP.replace("two = query", "two = mutation"))
    assert errors() == ["Trying to execute app.js:two as Query, but it is defined as Mutation."]
    push(APP.replace("two = query", "two = internalQuery").replace("{ m", "{ internalQuery, m"))
    assert errors() == ["Could not find public function for 'app:two'."]
    push(APP.replace("v.optional(v.string())", "v.string()"))
    assert [line.partition(":")[0] for line in errors()] == ["ArgumentValidationError"]
    push()
    assert told(sync) == [{2: "taken"}]
    deployment.mutation("app:put")
    assert told(sync) == [{1: 1}]


def test_a_push_that_fails_tells_nothing(
    sync: SyncSocket, push: PushApp, deployment: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:one"), add(2, "app:two")) == {1: "first", 2: 0}
    deployment.mutation("app:put")
    assert told(sync) == [{2: 1}]
    other = APP.replace('"first"', '"second"')
    push(other + 'throw new Error("no");\n', status=400)
    push(other, schema=SCHEMA, status=400)
    assert told(sync) == []
    deployment.mutation("app:put")
    assert told(sync) == [{2: 2}]


def test_what_is_left_before_a_push_is_not_told_after_it(sync: SyncSocket, push: PushApp) -> None:
    assert follow(sync, add(1, "app:one"), add(2, "app:one")) == {1: "first", 2: "first"}
    sync.send(modify(1, remove(1)))
    assert values(sync.receive()) == {1: "QueryRemoved"}
    push(APP.replace('"first"', '"second"'))
    assert told(sync) == [{2: "second"}]


def test_a_client_of_before_a_push_calls_the_code_of_after_it(
    sync: SyncSocket, push: PushApp
) -> None:
    push(APP.replace("{ n: 1 }); }", '{ n: 1 }); return "second"; }'))
    sync.send(call("Mutation", 0, "app:put"))
    assert sync.receive()["result"] == "second"


def test_a_reset_leaves_its_clients_with_nothing(
    sync: SyncSocket, push: PushApp, deployment: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:one")) == {1: "first"}
    deployment.reset()
    assert values(sync.receive()) == {1: "QueryFailed"}
    push()
    assert told(sync) == [{1: "first"}]


@pytest.mark.parametrize("name", ["NAME", "OTHER"])
def test_a_variable_that_goes_and_comes_is_followed(
    name: str, sync: SyncSocket, push: PushApp, deployment: EmbeddedDeployment
) -> None:
    push(APP.replace('"first"', "process.env.NAME ?? null"))
    assert follow(sync, add(1, "app:one")) == {1: None}
    for value in ("a", "b", None):
        deployment.set_environment({name: value})
        assert told(sync) == ([{1: value}] if name == "NAME" else [])
