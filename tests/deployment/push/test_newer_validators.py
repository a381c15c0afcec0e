"""Validators that came with later versions of `convex`, and those that none has yet."""

from __future__ import annotations

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.fixtures import Bundle, MakeProject, PushOverHttp, PushProject

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  hooks: defineTable({ call: v.function({ fnType: "mutation", args: {}, returns: v.null() }) }),
});
"""
HOOKS = """
import { createFunctionHandle } from "convex/server";
import { v } from "convex/values";
import { api, internal } from "./_generated/api";
import { internalMutation, mutation, query } from "./_generated/server";

export const write = internalMutation({
  args: { text: v.string() }, returns: v.null(),
  handler: async (ctx, { text }) => {
    await ctx.db.insert("notes" as any, { text });
    return null;
  },
});
export const handle = query({
  args: {}, returns: v.function({ fnType: "mutation" }),
  handler: async () => await createFunctionHandle(internal.a.write) as any,
});
export const run = mutation({
  args: { call: v.function({ fnType: "mutation", args: { text: v.string() }, returns: v.null() }) },
  returns: v.null(),
  handler: async (ctx, { call }) => await ctx.runMutation(call as any, { text: "called" }),
});
export const keep = mutation({
  args: { call: v.any() },
  handler: async (ctx, { call }) => { await ctx.db.insert("hooks", { call }); },
});
export const give = query({
  args: {}, returns: v.function(), handler: async () => "a:write" as any,
});
"""


def test_a_function_handle_is_a_value_of_its_own(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    files = {"convex/schema.ts": SCHEMA, "convex/a.ts": HOOKS}
    result = push_project(make_project(files, version="1.49.0"))
    assert result.findings == (), result.output

    handle = deployment.query("a:handle").value

    assert deployment.mutation("a:run", {"call": handle}).error is None
    assert [note["text"] for note in deployment.documents("notes")] == ["called"]
    assert deployment.mutation("a:keep", {"call": handle}).error is None
    assert [hook["call"] for hook in deployment.documents("hooks")] == [handle]
    # Whether it is there, and what it takes, is not looked at.
    assert deployment.mutation("a:keep", {"call": "function://;gone:f"}).error is None
    shown = "Value does not match validator.\n{}\nValue: {}\nValidator: v.function()\n"
    assert shown.format("Path: .call", '"a:write"') in str(
        deployment.mutation("a:run", {"call": "a:write"}).error
    )
    assert shown.format("Path: .call", "1.0") in str(
        deployment.mutation("a:keep", {"call": 1}).error
    )
    assert shown.format("", '"a:write"') in str(deployment.query("a:give").error)


UNKNOWN = """
const validator = { isConvexValidator: true, isOptional: "required", kind: "date",
  json: { type: "object", value: { at: { fieldType: { type: "date" }, optional: false } } } };
"""
FUNCTION = f"""
import {{ query }} from "./_generated/server";
{UNKNOWN}
export const f = query({{ args: validator as any, handler: async () => 1 }});
"""
TABLE = f"""
import {{ defineSchema, defineTable }} from "convex/server";
{UNKNOWN}
export default defineSchema({{ t: defineTable(validator as any) }});
"""


@pytest.mark.parametrize(
    "files",
    [{"convex/a.ts": FUNCTION}, {"convex/schema.ts": TABLE}],
    ids=["a function's", "a table's"],
)
def test_a_validator_that_nobody_knows_yet_is_no_fault_of_the_code(
    files: dict[str, str],
    bundle: Bundle,
    push_over_http: PushOverHttp,
    make_project: MakeProject,
    push_project: PushProject,
) -> None:
    answer = push_over_http(bundle(files))
    assert (answer.status, answer.body["code"]) == (400, "UnsupportedByEmbeddedDeployment")
    assert answer.body["message"] == "The validator v.date() is not known to this deployment."
    with pytest.raises(InfrastructureError, match="is not known to this deployment"):
        push_project(make_project(files))
