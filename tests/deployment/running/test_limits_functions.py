"""What goes into functions and comes out of them, how long they run, and what searches give."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import JsonValue

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import SERVER, EmbeddedDeployment
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.fixtures import PushOnce
from tests.patience import HANG_SECONDS, until

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
const fields = Object.fromEntries(Array.from({ length: 9 }, (_, i) => ["f" + i, v.number()]));
export default defineSchema({
  texts: defineTable(v.any()).searchIndex("search", {
    searchField: "text", filterFields: Object.keys(fields),
  }),
  vectors: defineTable({ at: v.array(v.number()), kind: v.number() })
    .vectorIndex("near", { vectorField: "at", dimensions: 2, filterFields: ["kind"] }),
});
"""
FUNCTIONS = """
import { action, internalMutation, mutation, query } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { v } from "convex/values";
export const take = query({ args: { x: v.any() }, handler: async () => "taken" });
export const give = query({ args: { n: v.number() }, handler: async (_, { n }) => "x".repeat(n) });
export const pass = action({ args: {}, handler: async (ctx): Promise<string> => {
  try { return await ctx.runQuery(api.a.take, { x: "x".repeat(17_000_000) }); }
  catch (e: any) { return e.message; }
} });
export const nest = query({ args: { depth: v.number() }, handler: async (_, { depth }) => {
  let x: any = 1;
  for (let i = 0; i < depth; i++) x = [x];
  return x;
} });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
export const note = internalMutation({ args: { text: v.string() }, handler: async (ctx, args) => {
  await ctx.db.insert("notes", args);
} });
export const slow = action({ args: { ms: v.number() }, handler: async (ctx, { ms }) => {
  await ctx.runMutation(internal.a.note, { text: "begun" });
  await sleep(ms);
  await ctx.runMutation(internal.a.note, { text: "over" });
  return "done";
} });
export const spin = action({ args: {}, handler: async () => { for (;;); } });
export const many = mutation({ args: {}, handler: async (ctx) => {
  for (let i = 0; i < 15_000; i++) await ctx.db.insert("notes", { i });
} });
export const search = query({
  args: { text: v.string(), take: v.optional(v.number()), filters: v.optional(v.number()) },
  handler: async (ctx, { text, take, filters }) => {
    const query = ctx.db.query("texts").withSearchIndex("search", (q: any) => {
      let s = q.search("text", text);
      for (let i = 0; i < (filters ?? 0); i++) s = s.eq("f" + i, 1);
      return s;
    });
    return (await (take === undefined ? query.collect() : query.take(take))).length;
  },
});
export const near = action({
  args: { limit: v.optional(v.number()), vector: v.array(v.number()), filters: v.number() },
  handler: async (ctx, { limit, vector, filters }) => (await ctx.vectorSearch("vectors", "near", {
    vector, ...(limit === undefined ? {} : { limit }),
    ...(filters === 0 ? {} : { filter: (q: any) =>
      q.or(...Array.from({ length: filters }, () => q.eq("kind", 1))) }),
  })).length,
});
export const page = query({ args: { options: v.any() }, handler: async (ctx, { options }) => {
  const { page, ...rest } = await ctx.db.query("notes").paginate(options);
  return { ...rest, n: page.length };
} });
export const insert = mutation({ args: { table: v.string() }, handler: async (ctx, { table }) => {
  await ctx.db.insert(table as any, {});
} });
export const tables = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  for (let i = 0; i < n; i++) await ctx.db.insert(("t" + i) as any, {});
} });
export const check = query({
  args: {
    kind: v.optional(v.literal("a")), id: v.optional(v.id("vectors")),
    deep: v.optional(v.array(v.object({ n: v.number() }))),
  },
  handler: async () => "checked",
});
export const later = mutation({ args: {}, handler: async (ctx) =>
  await ctx.scheduler.runAfter(9e6, internal.a.note, { text: "x" }) });
export const lost = query({ args: { name: v.string() }, handler: async (ctx, { name }) =>
  await ctx.runQuery(name as any, {}) });
export const plain = () => 1;
export const hog = action({ args: {}, handler: async () => {
  const all: any[] = [];
  for (;;) all.push(new Array(1000).fill(1));
} });
export const variable = query({ args: { name: v.string() }, handler: async (_, { name }) =>
  process.env[name]?.length ?? null });
"""
NODE = """"use node";
import { action } from "./_generated/server";
import { v } from "convex/values";
export const acts = action({ args: { x: v.any() }, handler: async () => "taken" });
export const slow = action({ args: { ms: v.number() }, handler: async (_, { ms }) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
} });
export const hog = action({ args: {}, handler: async () => {
  const all: any[] = [];
  for (;;) all.push(new Array(1000).fill(1));
} });
"""
HTTP = """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
http.route({ path: "/length", method: "POST", handler: httpAction(async (_, request) =>
  new Response(String((await request.arrayBuffer()).byteLength))) });
http.route({ path: "/large", method: "GET", handler: httpAction(async (_, request) =>
  new Response("x".repeat(Number(new URL(request.url).searchParams.get("n"))))) });
export default http;
"""
MEBIBYTE = 1024 * 1024


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    files = {"convex/schema.ts": SCHEMA, "convex/a.ts": FUNCTIONS}
    return push_once({**files, "convex/n.ts": NODE, "convex/http.ts": HTTP})


def told(error: str | None) -> str:
    """What follows the request's id, without frames."""
    assert error is not None
    return error.partition("\n")[2].partition("\n    at ")[0].removesuffix("\n")


LARGE = {
    "a query": ("query", "a:take", "a.js:take", 16),
    "a Node action": ("action", "n:acts", "n.js:acts", 5),
}


@pytest.mark.parametrize(("kind", "path", "name", "limit"), LARGE.values(), ids=LARGE.keys())
def test_arguments_have_a_largest_size(
    kind: str, path: str, name: str, limit: int, app: EmbeddedDeployment
) -> None:
    call = app.query if kind == "query" else app.action
    # An object with one field `x` of a string is seven bytes larger than the string.
    at_most = limit * MEBIBYTE - 7
    assert call(path, {"x": "x" * at_most}).value == "taken"
    result = call(path, {"x": "x" * (at_most + 300_000)})
    assert told(result.error) == (
        f"Arguments for {name} are too large (actual: {limit}.29 MiB, limit: {limit} MiB)"
    )


def test_arguments_from_an_action_have_it_too(app: EmbeddedDeployment) -> None:
    assert app.action("a:pass").value == (
        "Arguments for a.js:take are too large (actual: 16.21 MiB, limit: 16 MiB)"
    )


def test_results_have_a_largest_size(app: EmbeddedDeployment) -> None:
    at_most = 16 * MEBIBYTE - 2
    whole = app.query("a:give", {"n": at_most})
    assert whole.error is None
    assert len(str(whole.value)) == at_most
    assert told(app.query("a:give", {"n": 17_000_000}).error) == (
        "Function a.js:give return value is too large (actual: 16.21 MiB, limit: 16 MiB)"
    )


def test_values_have_a_deepest_nesting(app: EmbeddedDeployment) -> None:
    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1

    # The arguments are an object around it.
    assert app.query("a:take", {"x": nested(63)}).value == "taken"
    assert told(app.query("a:take", {"x": nested(64)}).error) == (
        "Invalid arguments for a.js:take: Array is too nested (nested 65 levels deep > maximum "
        "nesting 64)"
    )
    assert app.query("a:nest", {"depth": 64}).error is None
    assert told(app.query("a:nest", {"depth": 65}).error) == (
        "Function a.js:nest return value invalid: Array is too nested (nested 65 levels deep > "
        "maximum nesting 64)"
    )


NEVER = 2_000_000_000
"""Milliseconds: three weeks."""


def time_limits(app: EmbeddedDeployment, **limits: dict[str, float]) -> None:
    """Until the next reset."""
    body: dict[str, JsonValue] = {kind: {**seconds} for kind, seconds in limits.items()}
    Client(app.url, app.admin_key).post("/api/convex_eval/time_limits", body)


def test_an_action_is_ended_when_its_time_is_over(app: EmbeddedDeployment) -> None:
    time_limits(app, action={"wall": 3})
    result = app.action("a:slow", {"ms": NEVER})
    assert told(result.error) == "Function execution timed out (maximum duration: 3s)"
    assert [note["text"] for note in app.documents("notes")] == ["begun"]
    time_limits(app)
    assert app.action("a:slow", {"ms": 600}).value == "done"


def test_an_action_that_never_waits_is_ended_too(app: EmbeddedDeployment) -> None:
    time_limits(app, action={"wall": 0.5})
    result = app.action("a:spin")
    assert told(result.error) == "Function execution timed out (maximum duration: 0.5s)"
    time_limits(app)
    assert app.action("a:slow", {"ms": 0}).value == "done"


def test_a_node_action_has_a_limit_of_its_own(app: EmbeddedDeployment) -> None:
    time_limits(app, nodeAction={"wall": 0.5})
    result = app.action("n:slow", {"ms": NEVER})
    assert told(result.error) == "Function execution timed out (maximum duration: 0.5s)"
    assert app.action("a:slow", {"ms": 600}).value == "done"
    time_limits(app)
    assert app.action("n:slow", {"ms": 600}).error is None


@pytest.mark.parametrize("path", ["a:hog", "n:hog"])
def test_an_action_that_takes_all_memory_is_ended(path: str, app: EmbeddedDeployment) -> None:
    assert told(app.action(path).error) == (
        "JavaScript execution ran out of memory (maximum memory usage: 64 MB)"
    )
    assert app.action(path.replace("hog", "slow"), {"ms": 0}).error is None
    assert app.query("a:take", {"x": 1}).value == "taken"


def test_an_action_that_is_late_ends_no_other(app: EmbeddedDeployment) -> None:
    time_limits(app, action={"wall": 5})
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(app.action, "a:slow", {"ms": NEVER})
        until(lambda: bool(app.documents("notes")))
        # One at least of these is under way when the other is ended.
        others = []
        while not late.done():
            others.append(app.action("a:slow", {"ms": 100}).value)
    assert set(others) == {"done"}
    assert told(late.result().error) == "Function execution timed out (maximum duration: 5s)"


def test_the_usual_limits_are_the_backends(node: Path) -> None:
    module = SERVER.parent / "running" / "time_limits.ts"
    script = (
        f"import {{ TIME_LIMITS }} from {json.dumps(module.as_uri())};"
        "console.log(JSON.stringify(TIME_LIMITS, (_, value) => value === Infinity ? -1 : value));"
    )
    command = [str(node), "--input-type=module", "-e", script]
    told = subprocess.run(command, capture_output=True, check=True).stdout
    assert json.loads(told) == {
        "transaction": {"cpu": 1, "wall": 15},
        "action": {"cpu": -1, "wall": 30 * 60},
        "nodeAction": {"cpu": -1, "wall": 10 * 60},
        "operation": {"cpu": -1, "wall": 60},
    }


def test_a_reset_brings_the_usual_limits_back(app: EmbeddedDeployment) -> None:
    time_limits(app, action={"wall": 0.01}, nodeAction={"wall": 0.01})
    for path in ("a:slow", "n:slow"):
        assert "timed out" in str(app.action(path, {"ms": 100}).error)
    app.reset_data()
    for path in ("a:slow", "n:slow"):
        assert app.action(path, {"ms": 100}).error is None
    with pytest.raises(InfrastructureError, match="HTTP 400"):
        time_limits(app, nothing={"wall": 1})


def test_a_mutation_that_waits_too_long_is_ended(app: EmbeddedDeployment) -> None:
    time_limits(app, transaction={"wall": 0.2})
    error = app.mutation("a:many").error
    assert told(error) == "Function execution timed out (maximum duration: 0.2s)"
    assert app.documents("notes") == []
    time_limits(app)
    assert app.query("a:take", {"x": 1}).value == "taken"


def test_http_bodies_have_a_largest_size(app: EmbeddedDeployment) -> None:
    at_most = 20 * MEBIBYTE
    taken = app.http("POST", "/length", body=b"x" * at_most)
    assert (taken.status, taken.body) == (200, str(at_most).encode())
    assert app.http("POST", "/length", body=b"x" * (at_most + 1)).status == 413
    refused = app.http("GET", f"/large?n={at_most + 1}")
    assert refused.status == 500
    assert len(refused.body) < 1000
    assert app.http("GET", "/large?n=5").body == b"xxxxx"


def test_a_body_that_does_not_say_its_length_has_the_largest_size_too(
    app: EmbeddedDeployment,
) -> None:
    parts = urlsplit(app.site_url)
    with closing(
        HTTPConnection(parts.hostname or "", parts.port, timeout=HANG_SECONDS)
    ) as connection:
        for mebibytes, status in ((20, 200), (21, 413)):
            chunks = (bytes(MEBIBYTE) for _ in range(mebibytes))
            connection.request("POST", "/length", chunks, encode_chunked=True)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (status, True)


def test_a_search_gives_1024_results_at_most(app: EmbeddedDeployment) -> None:
    app.insert("texts", [{"text": f"word {i}"} for i in range(1024)])
    assert app.query("a:search", {"text": "word", "take": 1024}).value == 1024
    assert told(app.query("a:search", {"text": "word"}).error) == (
        "Uncaught Error: Search query scanned too many documents (fetched 1024). Consider using a "
        "smaller limit, paginating the query, or using a filter field to limit the number of "
        "documents pulled from the search index."
    )
    app.reset_data()
    app.insert("texts", [{"text": f"word {i}"} for i in range(1023)])
    assert app.query("a:search", {"text": "word"}).value == 1023


def test_a_search_has_16_terms_of_32_letters(app: EmbeddedDeployment) -> None:
    app.insert("texts", [{"text": "needle"}, {"text": "x" * 40}])
    hay = " ".join(f"hay{i}" for i in range(15))
    assert app.query("a:search", {"text": f"{hay} needle"}).value == 1
    assert app.query("a:search", {"text": f"{hay} hay15 needle"}).value == 0
    assert app.query("a:search", {"text": "x" * 32}).value == 1
    assert app.query("a:search", {"text": "x" * 60}).value == 1


def test_a_search_has_8_filters(app: EmbeddedDeployment) -> None:
    app.insert("texts", [{"text": "a", **{f"f{i}": 1 for i in range(9)}}])
    assert app.query("a:search", {"text": "a", "filters": 8}).value == 1
    assert told(app.query("a:search", {"text": "a", "filters": 9}).error) == (
        "Uncaught Error: Search query against texts.search has too many filter conditions. "
        "Max: 8 Actual: 9"
    )


KINDS = {
    "a query as a mutation": ("mutation", "a:take", "Query", "Mutation"),
    "a query as an action": ("action", "a:take", "Query", "Action"),
    "a mutation as a query": ("query", "a:many", "Mutation", "Query"),
    "a mutation as an action": ("action", "a:many", "Mutation", "Action"),
    "an action as a query": ("query", "a:pass", "Action", "Query"),
    "an action as a mutation": ("mutation", "a:pass", "Action", "Mutation"),
}


@pytest.mark.parametrize(("kind", "path", "own", "other"), KINDS.values(), ids=KINDS.keys())
def test_a_function_runs_as_what_it_is(
    kind: str, path: str, own: str, other: str, app: EmbeddedDeployment
) -> None:
    call = {"query": app.query, "mutation": app.mutation, "action": app.action}[kind]
    assert told(call(path, {"x": 1}).error) == (
        f"Trying to execute {path.replace(':', '.js:')} as {other}, but it is defined as {own}."
    )


def test_what_is_not_there_is_not_found(app: EmbeddedDeployment) -> None:
    advice = "Did you forget to run `npx convex dev`?"
    for path in ("a:nothing", "a:plain", "nowhere:f", "a:note"):
        error = told(app.query(path).error)
        assert error == f"Could not find public function for '{path}'."
    client = Client(app.url, app.admin_key)
    answer: Any = client.post("/api/function", {"path": "a:nothing", "args": {}})
    assert told(answer["errorMessage"]) == f"Could not find function for 'a:nothing'. {advice}"
    error = told(app.query("a:lost", {"name": "nowhere:f"}).error)
    assert error == f"Uncaught Error: Couldn't find JavaScript module 'nowhere.js'. {advice}"
    error = told(app.query("a:lost", {"name": "a:nothing"}).error)
    assert error == f"Uncaught Error: Could not find function for 'a:nothing'. {advice}"


ARGUMENTS: dict[str, tuple[dict[str, JsonValue], str]] = {
    "literal": (
        {"kind": "b"},
        '`"b"` does not match literal validator `v.literal("a")`.Path: .kind',
    ),
    "nested": (
        {"deep": [{"n": 1}, {"n": "x"}]},
        'Value does not match validator.\nPath: .deep[1].n\nValue: "x"\nValidator: v.float64()\n',
    ),
    "nested extra field": (
        {"deep": [{"n": 1, "m": 2}]},
        "Object contains extra field `m` that is not in the validator.\nPath: .deep[0]\n"
        "Object: {m: 2.0, n: 1.0}\nValidator: v.object({n: v.float64()})\n",
    ),
    "text for an id": (
        {"id": "abc"},
        'Value does not match validator.\nPath: .id\nValue: "abc"\nValidator: v.id("vectors")\n',
    ),
}


@pytest.mark.parametrize(("args", "message"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_arguments_are_checked_where_they_are_wrong(
    args: dict[str, JsonValue], message: str, app: EmbeddedDeployment
) -> None:
    error = told(app.query("a:check", args).error)
    assert error == f"ArgumentValidationError: {message}".removesuffix("\n")


def test_an_id_of_a_system_table_is_told_as_such(app: EmbeddedDeployment) -> None:
    job = str(app.mutation("a:later").value)
    assert told(app.query("a:check", {"id": job}).error) == (
        f'ArgumentValidationError: Found ID "{job}" from a system table, which does not match the '
        'table name in validator `v.id("vectors")`.Path: .id'
    )


VECTORS: dict[str, tuple[dict[str, Any], str]] = {
    "results": (
        {"limit": 257, "vector": [1, 0], "filters": 0},
        "Vector queries can fetch at most 256 results, requested 257.",
    ),
    "no results": (
        {"limit": 0, "vector": [1, 0], "filters": 0},
        "Vector queries must fetch at least 1 result, requested 0.",
    ),
    "filters": (
        {"limit": 1, "vector": [1, 0], "filters": 65},
        "Vector query against vectors.near has too many filter conditions. Max: 64 Actual: 65",
    ),
    "dimensions": (
        {"limit": 1, "vector": [1, 0, 0], "filters": 0},
        "Expected a vector with dimensions 2, received 3.",
    ),
}


@pytest.mark.parametrize(("args", "message"), VECTORS.values(), ids=VECTORS.keys())
def test_a_vector_search_has_limits(
    args: dict[str, Any], message: str, app: EmbeddedDeployment
) -> None:
    assert told(app.action("a:near", args).error) == f"Uncaught Error: {message}"


def test_a_vector_search_gives_what_is_asked_for(app: EmbeddedDeployment) -> None:
    app.insert("vectors", [{"at": [1, i], "kind": i % 2} for i in range(300)])
    found = {
        limit: app.action("a:near", {"limit": limit, "vector": [1, 0], "filters": 0}).value
        for limit in (1, 256)
    }
    assert found == {1: 1, 256: 256}
    assert app.action("a:near", {"vector": [1, 0], "filters": 0}).value == 10, "by default"
    few: dict[str, JsonValue] = {"limit": 256, "vector": [1, 0], "filters": 64}
    assert app.action("a:near", few).value == 150


PAGES: dict[str, tuple[dict[str, JsonValue], str]] = {
    "nothing": ({"numItems": 0}, "Must request at least 1 document while paginating"),
    "too much": ({"numItems": 32_001}, "Requested too many items: 32001"),
    "no rows": (
        {"numItems": 1, "maximumRowsRead": 0},
        "maximumRowsRead and maximumBytesRead must be greater than 0",
    ),
    "no bytes": (
        {"numItems": 1, "maximumBytesRead": 0},
        "maximumRowsRead and maximumBytesRead must be greater than 0",
    ),
}


@pytest.mark.parametrize(("options", "message"), PAGES.values(), ids=PAGES.keys())
def test_a_page_must_be_one_that_can_be_given(
    options: dict[str, JsonValue], message: str, app: EmbeddedDeployment
) -> None:
    error = told(app.query("a:page", {"options": {"cursor": None, **options}}).error)
    assert error == f"Uncaught Error: {message}"


def test_a_page_says_when_it_should_be_split(app: EmbeddedDeployment) -> None:
    app.insert("notes", [{"i": i} for i in range(6200)])

    def page(**options: JsonValue) -> Any:
        options = {"numItems": 100, "cursor": None, **options}
        return app.query("a:page", {"options": options}).value

    longest = page(numItems=6144)
    assert (longest["n"], longest["pageStatus"], longest["isDone"]) == (6144, None, False)
    longer = page(numItems=6145)
    assert (longer["n"], longer["pageStatus"]) == (6145, "SplitRecommended")
    few = page(maximumRowsRead=7)
    assert (few["n"], few["pageStatus"], few["isDone"]) == (7, "SplitRequired", False)
    assert page(endCursor=few["splitCursor"])["n"] == 4
    result = app.query("a:page", {"options": {"numItems": 1, "cursor": "0" * 32}})
    assert result.error_data == {"isConvexSystemError": True, "paginationError": "InvalidCursor"}
    assert told(result.error) == (
        "Uncaught ConvexError: InvalidCursor: Tried to run a query starting from a cursor, but it "
        "looks like this cursor is from a different query."
    )


def test_a_deployment_has_10_000_tables_at_most(app: EmbeddedDeployment) -> None:
    # Two are the app's own.
    assert app.mutation("a:tables", {"n": 9998}).error is None
    assert told(app.mutation("a:insert", {"table": "another"}).error) == (
        "Uncaught Error: Number of tables cannot exceed 10000."
    )
    assert app.mutation("a:insert", {"table": "t0"}).error is None


def set_variables(app: EmbeddedDeployment, variables: Mapping[str, str | None]) -> tuple[int, str]:
    client = Client(app.url, app.admin_key)
    changes = [{"name": name, "value": value} for name, value in variables.items()]
    answer = client.send(
        "POST",
        "/api/update_environment_variables",
        {"Authorization": f"Convex {app.admin_key}"},
        json.dumps({"changes": changes}).encode(),
    )
    return answer.status, answer.body.decode()


def test_variables_have_limits(app: EmbeddedDeployment) -> None:
    names = {f"V{i}": "x" for i in range(512)}
    assert set_variables(app, names)[0] == 200
    status, body = set_variables(app, {"ONE_MORE": "x"})
    assert status == 400
    assert "512" in body
    assert app.query("a:variable", {"name": "ONE_MORE"}).value is None
    assert set_variables(app, {"V0": "x" * 8192})[0] == 200
    assert app.query("a:variable", {"name": "V0"}).value == 8192
    status, body = set_variables(app, {"V0": "é" * 4097})
    assert (status, json.loads(body)["code"]) == (400, "EnvironmentVariableValueTooLarge")
    assert app.query("a:variable", {"name": "V0"}).value == 8192
    assert set_variables(app, {"V1": None, "N" * 256: "x"})[0] == 200
    status, body = set_variables(app, {"V2": None, "N" * 257: "x"})
    assert status == 400
    assert "EnvironmentVariableNameTooLong" in body
    status, body = set_variables(app, {"V2": None, "1N": "x"})
    assert "EnvironmentVariableNameInvalid" in body
    assert app.query("a:variable", {"name": "V2"}).value == 1, "all or none"
    assert set_variables(app, dict.fromkeys([*names, "N" * 256]))[0] == 200
