"""What one query or mutation may use, and what the database refuses: each row of the backend's
limits is a function of one app."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import JsonValue

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import MakeProject, PushOnce, PushProject

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  staged: defineTable({ a: v.number() }).index("later", { fields: ["a"], staged: true }),
  other: defineTable({ a: v.number() }),
});
"""
HEAD = """
import { mutation, query, internalMutation } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { v } from "convex/values";
const big = "x".repeat(900_000);
const nested = (depth: number) => {
  let x: any = 1;
  for (let i = 0; i < depth; i++) x = [x];
  return x;
};
export const nothing = internalMutation({ args: {}, handler: async () => {} });
export const alive = mutation({ args: {}, handler: async () => "alive" });
export const one = internalMutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  for (let i = 0; i < n; i++) await ctx.db.insert("t", { i });
  return await ctx.db.query("t").collect();
} });
export const deep = mutation({ args: { n: v.number() }, handler: async (ctx, { n }): Promise<any> =>
  await ctx.runMutation(api.a.deep, { n: n + 1 }) });
export const metrics = mutation({ args: {}, handler: async (ctx): Promise<any> => {
  const options = { transactionLimits: { documentsRead: 3 } } as any;
  await ctx.runMutation(internal.a.one, { n: 3 }, options);
  return await (ctx as any).meta.getTransactionMetrics();
} });
export const within = mutation({ args: { limits: v.any() }, handler: async (ctx, { limits }) => {
  const options = { transactionLimits: limits } as any;
  await ctx.runMutation(internal.a.one, { n: 2 });
  let error = null;
  try { await ctx.runMutation(internal.a.one, { n: 3 }, options); }
  catch (e: any) { error = e.message; }
  return [error, (await ctx.db.query("t").collect()).length];
} });
"""
ADVICE = (
    "Consider using smaller limits in your queries, paginating your queries, or using indexed "
    "queries with a selective index range expressions."
)
DOCUMENT = "Invalid argument `value` for `db.insert`: "
METHODS = {"get": "", "delete": "", "patch": ", {}", "replace": ", {}"}
FIELDS = "Object.fromEntries(Array.from({ length: 1025 }, (_, i) => ['f' + i, i]))"

LIMITS: dict[str, tuple[str, str]] = {
    "documents read": (
        "for (let i = 0; i < 1000; i++) await ctx.db.insert('t', {});"
        "for (let i = 0; i < 33; i++) await ctx.db.query('t').collect();",
        f"Too many documents read in a single function execution (limit: 32000). {ADVICE}",
    ),
    "documents read and filtered out": (
        "for (let i = 0; i < 1000; i++) await ctx.db.insert('t', {});"
        "for (let i = 0; i < 33; i++)"
        "  await ctx.db.query('t').filter((q) => q.eq(q.field('x'), 1)).collect();",
        f"Too many documents read in a single function execution (limit: 32000). {ADVICE}",
    ),
    "bytes read": (
        "const id = await ctx.db.insert('t', { big });"
        "for (let i = 0; i < 19; i++) await ctx.db.get(id);",
        "Too many bytes read in a single function execution (limit: 16777216 bytes). " + ADVICE,
    ),
    "index ranges read": (
        "for (let i = 0; i < 4097; i++) await ctx.db.query('t').first();",
        f"Too many reads in a single function execution (limit: 4096). {ADVICE}",
    ),
    "index ranges read by get": (
        "const id = await ctx.db.insert('t', {});"
        "for (let i = 0; i < 4097; i++) await ctx.db.get(id);",
        f"Too many reads in a single function execution (limit: 4096). {ADVICE}",
    ),
    "documents written": (
        "for (let i = 0; i < 16001; i++) await ctx.db.insert('t', {});",
        "Too many writes in a single function execution (limit: 16000)",
    ),
    "bytes written": (
        "for (let i = 0; i < 20; i++) await ctx.db.insert('t', { big });",
        "Too many bytes written in a single function execution (limit: 16777216 bytes)",
    ),
    "functions scheduled": (
        "for (let i = 0; i < 1001; i++) await ctx.scheduler.runAfter(9e6, internal.a.nothing, {});",
        "Too many functions scheduled by this mutation (limit: 1000)",
    ),
    "arguments of a scheduled function": (
        "await ctx.scheduler.runAfter(0, internal.a.nothing, { x: big.repeat(5) } as any);",
        "Arguments for a.js:nothing are too large to be scheduled (actual: 4.29 MiB, limit: 4 MiB)",
    ),
    "arguments of all scheduled functions": (
        "for (let i = 0; i < 5; i++)"
        "  await ctx.scheduler.runAfter(0, internal.a.nothing, { x: big.repeat(4) } as any);",
        "Too large total size of the arguments of scheduled functions from this mutation "
        "(limit: 16777216 bytes)",
    ),
    "scheduled too far away": (
        "await ctx.scheduler.runAt(Date.UTC(9999, 0), internal.a.nothing, {});",
        "9999-01-01T00:00:00.000Z is more than 5 years in the future",
    ),
    "scheduled long ago": (
        "await ctx.scheduler.runAt(0, internal.a.nothing, {});",
        "1970-01-01T00:00:00.000Z is more than 5 years in the past",
    ),
    "scheduled at no time": (
        "await ctx.scheduler.runAt(new Date(NaN), internal.a.nothing, {});",
        "Invalid arguments for `schedule`: ts must be a number",
    ),
    "scheduled with what is no value": (
        "await ctx.scheduler.runAfter(0, internal.a.nothing, { a: '\\ud83d' } as any);",
        "Invalid arguments for `schedule`: Strings must be well-formed UTF-16: this one has half "
        "of a character.",
    ),
    "cancelled what is no id": (
        "await ctx.scheduler.cancel('abc' as any);",
        "Invalid argument `id` for `db.cancel_job`: Unable to decode ID: Invalid ID length 3",
    ),
    "cancelled a document": (
        "await ctx.scheduler.cancel((await ctx.db.insert('other', { a: 1 })) as any);",
        "Invalid argument `id` for `db.cancel_job`: expected to be an "
        'Id<"_scheduled_functions">, got Id<"other"> instead.',
    ),
    "scheduled at a nonexistent path": (
        "await ctx.scheduler.runAfter(0, 'nowhere:f' as any, {});",
        "Attempted to schedule function at nonexistent path: nowhere.js",
    ),
    "scheduled nonexistent function": (
        "await ctx.scheduler.runAfter(0, 'a:nowhere' as any, {});",
        "Attempted to schedule function, but no exported function nowhere found in the file: a.js. "
        "Did you forget to export it?",
    ),
    "size of a document": (
        "await ctx.db.insert('t', { a: big, b: big });",
        "Value is too large (1.72 MiB > maximum size 1 MiB)",
    ),
    "size of a document after a patch": (
        "const id = await ctx.db.insert('t', { a: big });await ctx.db.patch(id, { b: big });",
        "Value is too large (1.72 MiB > maximum size 1 MiB)",
    ),
    "nesting of a document": (
        "await ctx.db.insert('t', { x: nested(16) });",
        "Document is too nested (nested 17 levels deep > maximum nesting 16)",
    ),
    "nesting of a value": (
        "await ctx.db.insert('t', { x: nested(64) });",
        f"{DOCUMENT}Array is too nested (nested 65 levels deep > maximum nesting 64)",
    ),
    "length of an array": (
        "await ctx.db.insert('t', { x: new Array(8193).fill(0) });",
        f"{DOCUMENT}Array length is too long (8193 > maximum length 8192)",
    ),
    "fields of an object": (
        f"await ctx.db.insert('t', {FIELDS});",
        f"{DOCUMENT}Object has too many fields (1025 > maximum number 1024)",
    ),
    "name of a field": (
        "await ctx.db.insert('t', { ['x'.repeat(1025)]: 1 });",
        f"Field name {'x' * 1025} exceeds maximum field name length 1024.",
    ),
    "name of a field with a dollar": (
        "await ctx.db.insert('t', { a: { $x: 1 } });",
        "Field name $x starts with a '$', which is reserved.",
    ),
    "name of a field that is not ASCII": (
        "await ctx.db.insert('t', { 'ä': 1 });",
        "Field name ä has invalid character 'ä': Field names can only contain non-control ASCII "
        "characters",
    ),
    "half a character": (
        "await ctx.db.insert('t', { a: ['\\ud83d'] });",
        f"{DOCUMENT}Strings must be well-formed UTF-16: this one has half of a character.",
    ),
    "name of a table": (
        "await ctx.db.insert('my-table', {});",
        "Invalid argument `table` for `db.insert`: Identifier my-table has invalid character '-': "
        "Identifiers can only contain alphanumeric characters or underscores",
    ),
    "first character of a table's name": (
        "await ctx.db.insert('1bad', {});",
        "Invalid argument `table` for `db.insert`: Invalid first character '1' in 1bad: "
        "Identifiers must start with an alphabetic character or underscore",
    ),
    "length of a table's name": (
        "await ctx.db.insert('x'.repeat(65), {});",
        "Invalid argument `table` for `db.insert`: Identifier is too long (65 > maximum 64)",
    ),
    "name of a table that is read": (
        "await ctx.db.query('1bad' as any).first();",
        "Invalid argument `table` for `db.query`: Invalid first character '1' in 1bad: "
        "Identifiers must start with an alphabetic character or underscore",
    ),
    "system table": (
        "await ctx.db.insert('_storage', {});",
        "System tables (prefixed with `_`) are read-only.",
    ),
    "operators of a query": (
        "let q: any = ctx.db.query('t');"
        "for (let i = 0; i < 257; i++) q = q.filter((f: any) => f.eq(1, 1)); await q.first();",
        "Can't construct query with more than 256 operators",
    ),
    "depth of calls": (
        "await ctx.runMutation(api.a.deep, { n: 0 });",
        "Uncaught Error: " * 8
        + "Cross component call depth limit exceeded. Do you have an infinite loop in your app?",
    ),
    "pages": (
        "const p = { numItems: 1, cursor: null };"
        "await ctx.db.query('t').paginate(p); await ctx.db.query('t').paginate(p);",
        "This query or mutation function ran multiple paginated queries. Convex only supports a "
        "single paginated query in each function.",
    ),
    "page of nothing": (
        "await ctx.db.query('t').paginate({ numItems: 0, cursor: null });",
        "Must request at least 1 document while paginating",
    ),
    "page that is too long": (
        "await ctx.db.query('t').paginate({ numItems: 32001, cursor: null });",
        "Requested too many items: 32001",
    ),
    "page that may read no rows": (
        "await ctx.db.query('t')"
        ".paginate({ numItems: 1, cursor: null, maximumRowsRead: 0 } as any);",
        "maximumRowsRead and maximumBytesRead must be greater than 0",
    ),
    "page that may read no bytes": (
        "await ctx.db.query('t')"
        ".paginate({ numItems: 1, cursor: null, maximumBytesRead: 0 } as any);",
        "maximumRowsRead and maximumBytesRead must be greater than 0",
    ),
    "unknown index": (
        "await (ctx.db.query('t') as any).withIndex('by_x').collect();",
        "Index t.by_x not found.",
    ),
    "staged index": (
        "await (ctx.db.query('staged') as any).withIndex('later').collect();",
        "Index staged.later is currently staged and not available to query until it is enabled.",
    ),
    "field of no index": (
        "await (ctx.db.query('t') as any)"
        ".withIndex('by_creation_time', (q) => q.eq('x', 1)).first();",
        'The index range included a comparison with "x", but t.by_creation_time with fields '
        '["_creationTime"] doesn\'t index this field.',
    ),
    **{
        f"{method} of what is no id": (
            f"await (ctx.db.{method} as any)('abc'{value});",
            f"Invalid argument `id` for `db.{method}`: Unable to decode ID: Invalid ID length 3",
        )
        for method, value in METHODS.items()
    },
    **{
        f"{method} of another table's document": (
            "const id = await ctx.db.insert('other', { a: 1 });"
            f"await (ctx.db.{method} as any)('staged', id{value});",
            f"Invalid argument `id` for `db.{method}`: "
            'expected to be an Id<"staged">, got Id<"other"> instead.',
        )
        for method, value in METHODS.items()
    },
    "system get of what is no id": (
        "await ctx.db.system.get('abc' as any);",
        "Invalid argument `id` for `db.system.get`: Unable to decode ID: Invalid ID length 3",
    ),
    "system document": (
        "const id = await ctx.scheduler.runAfter(9e6, internal.a.nothing, {});"
        "await ctx.db.get(id as any);",
        "System tables can only be accessed with db.system.",
    ),
    "setTimeout": (
        "setTimeout(() => {}, 1);",
        "Can't use setTimeout in queries and mutations. Please consider using an action. See "
        "https://docs.convex.dev/functions/actions for more details.",
    ),
    "setInterval": (
        "setInterval(() => {}, 1);",
        "Can't use setInterval in queries and mutations. Please consider using an action. See "
        "https://docs.convex.dev/functions/actions for more details.",
    ),
    "fetch": (
        "await fetch('http://127.0.0.1/');",
        "Can't use fetch() in queries and mutations. Please consider using an action. See "
        "https://docs.convex.dev/functions/actions for more details.",
    ),
    "storage id that is none": (
        "await ctx.storage.delete('x' as any);",
        "Invalid storage ID: \"x\". Storage ID should be an Id of '_storage' table, or a UUID "
        "string.",
    ),
    "file that is not there": (
        "await ctx.storage.delete('00000000-0000-4000-8000-000000000000' as any);",
        "storage id 00000000-0000-4000-8000-000000000000 not found",
    ),
}
COMPONENT = {
    "convex/convex.config.ts": """
import { defineApp } from "convex/server";
import mine from "./mine/convex.config";
const app = defineApp();
app.use(mine);
export default app;
""",
    "convex/mine/convex.config.ts": """
import { defineComponent } from "convex/server";
export default defineComponent("mine");
""",
    "convex/mine/fns.ts": """
import { queryGeneric } from "convex/server";
export const page = queryGeneric({ args: {}, handler: async (ctx) =>
  await ctx.db.query("t").paginate({ numItems: 1, cursor: null }) });
""",
    "convex/a.ts": """
import { componentsGeneric } from "convex/server";
import { query } from "./_generated/server";
export const page = query({ args: {}, handler: async (ctx) =>
  await ctx.runQuery((componentsGeneric() as any).mine.fns.page, {}) });
""",
}
NONEXISTENT = {"Update": "patch", "Replace": "replace", "Delete": "delete"}


def functions() -> str:
    limits = [
        f"export const f{i} = mutation({{ args: {{}}, handler: async (ctx) => {{ {body} }} }});\n"
        for i, (body, _) in enumerate(LIMITS.values())
    ]
    missing = [
        f"export const {verb} = mutation({{ args: {{}}, handler: async (ctx) => {{\n"
        "  const id: any = await ctx.db.insert('t', {}); await ctx.db.delete(id);\n"
        f"  try {{ await (ctx.db.{method} as any)(id{METHODS[method]}); }}\n"
        "  catch (e: any) { return [id, e.message]; } } });\n"
        for verb, method in NONEXISTENT.items()
    ]
    return HEAD + "".join(limits + missing)


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/schema.ts": SCHEMA, "convex/a.ts": functions()})


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_a_limit_and_the_server_lives_on(name: str, app: EmbeddedDeployment) -> None:
    number, message = list(LIMITS).index(name), LIMITS[name][1]

    error = app.mutation(f"a:f{number}").error

    assert error is not None
    found = re.match(r"\[Request ID: .*\] Server Error\nUncaught Error: (.*?)\n    at", error, re.S)
    assert found is not None, error
    assert found[1] == message
    assert app.documents("t") == app.documents("other") == []
    assert app.mutation("a:alive").value == "alive"


@pytest.mark.parametrize("verb", NONEXISTENT)
def test_a_document_that_is_gone_can_not_be_written(verb: str, app: EmbeddedDeployment) -> None:
    value: Any = app.mutation(f"a:{verb}").value
    assert value[1] == f"{verb} on nonexistent document ID {value[0]}"


def test_components_have_no_pages(
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    result = push_project(make_project(COMPONENT))
    assert result.findings == (), result.output
    error = str(deployment.query("a:page").error)
    assert (
        "paginate() is only supported in the app. Learn more at "
        "https://docs.convex.dev/components/authoring#pagination\n" in error
    )


NESTED: dict[str, tuple[dict[str, JsonValue], str]] = {
    "documentsRead": (
        {"documentsRead": 4},
        f"Too many documents read in a single function execution (limit: 4). {ADVICE}",
    ),
    "documentsWritten": (
        {"documentsWritten": 2},
        "Too many writes in a single function execution (limit: 2)",
    ),
    "bytesWritten": (
        {"bytesWritten": 100},
        "Too many bytes written in a single function execution (limit: 100 bytes)",
    ),
    "databaseQueries": (
        {"databaseQueries": 0},
        f"Too many reads in a single function execution (limit: 0). {ADVICE}",
    ),
}


@pytest.mark.parametrize(("limits", "message"), NESTED.values(), ids=NESTED.keys())
def test_a_called_function_can_be_given_lower_limits(
    limits: dict[str, JsonValue], message: str, app: EmbeddedDeployment
) -> None:
    value: Any = app.mutation("a:within", {"limits": limits}).value
    assert value[0].partition("\n")[0] == f"Uncaught Error: {message}"
    assert value[1] == 2, "what the called function wrote is taken back, and its limits are over"


def test_limits_of_a_called_function_are_of_what_it_uses_itself(app: EmbeddedDeployment) -> None:
    enough: dict[str, JsonValue] = {"documentsRead": 5, "documentsWritten": 3, "databaseQueries": 1}
    assert app.mutation("a:within", {"limits": enough}).value == [None, 5]
    assert app.mutation("a:within", {"limits": {"documentsRead": 1e9}}).value == [None, 10]


def test_a_function_is_told_what_it_used(app: EmbeddedDeployment) -> None:
    value: Any = app.mutation("a:metrics").value
    assert value["documentsWritten"] == {"used": 3, "remaining": 15_997}
    assert value["documentsRead"] == {"used": 3, "remaining": 31_997}
    assert value["databaseQueries"] == {"used": 1, "remaining": 4095}
    assert value["functionsScheduled"] == {"used": 0, "remaining": 1000}
