"""A push over documents that are there: what its indexes hold, and what was scheduled before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle


def schema(index: str) -> str:
    return (
        'import { defineSchema, defineTable } from "convex/server";\n'
        'import { v } from "convex/values";\n'
        "export default defineSchema({ t: defineTable({ a: v.number(), b: v.number() })"
        f'.index("by_own", {index}) }});\n'
    )


def app(field: str) -> str:
    return (
        'import { internalMutation, mutation, query } from "./_generated/server";\n'
        'import { internal } from "./_generated/api";\n'
        f"export const at = query({{ args: {{}}, handler: async (ctx) => (await ctx.db.query('t')"
        f".withIndex('by_own', (q) => q.eq('{field}', 2)).collect())"
        ".map(({ a, b }) => [a, b]) });\n"
        "export const all = query({ args: {}, handler: async (ctx) =>"
        " (await ctx.db.query('t').withIndex('by_own').collect()).map(({ a, b }) => [a, b]) });\n"
        "export const ran = internalMutation({ args: {}, handler: async (ctx) => {"
        f" await ctx.db.insert('t', {{ a: 0, b: 0, {field}: 9 }}); }} }});\n"
        "export const later = mutation({ args: {}, handler: (ctx) =>"
        " ctx.scheduler.runAfter(60_000, internal.f.ran, {}) });\n"
    )


@pytest.fixture(scope="module")
def pushes(
    modules_server: EmbeddedDeployment,
) -> Callable[[Any], None]:
    client = Client(modules_server.url, modules_server.admin_key)

    def push(request: Any) -> None:
        started = client.post("/api/deploy2/start_push", request)
        client.post("/api/deploy2/finish_push", {"startPush": started, "dryRun": False})

    return push


def test_an_index_that_keeps_its_name_and_changes_its_fields_is_of_the_new_ones(
    modules_server: EmbeddedDeployment,
    pushes: Callable[[Any], None],
    bundle: Bundle,
) -> None:
    first = {"convex/f.ts": app("a"), "convex/schema.ts": schema('["a"]')}
    second = {"convex/f.ts": app("b"), "convex/schema.ts": schema('["b", "a"]')}
    pushes(bundle(first, name="first"))
    server = modules_server
    ids = server.insert("t", [{"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": 3, "b": 2}])
    assert server.query("f:at").value == [[2, 1]]
    job = server.mutation("f:later")
    assert job.error is None

    pushes(bundle(second, name="second"))
    assert server.query("f:at").value == [[1, 2], [3, 2]]
    assert server.query("f:all").value == [[2, 1], [1, 2], [3, 2]]
    assert [row["_id"] for row in server.documents("t")] == ids
    server.delete(ids[:1])
    server.insert("t", [{"a": 0, "b": 2}])
    assert server.query("f:at").value == [[0, 2], [3, 2]]
    assert server.advance(60) == []
    found = server.query("f:all").value
    assert isinstance(found, list)
    assert found[-1] == [0, 9], "what was scheduled runs the new code"
