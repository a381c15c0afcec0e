"""Functions that run: what they return, throw, and leave behind."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOverHttp

SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  users: defineTable({ name: v.string(), age: v.optional(v.number()) }).index("by_name", ["name"]),
  posts: defineTable({ author: v.id("users"), title: v.string(), likes: v.number() })
    .index("by_author", ["author", "likes"]),
});
"""
POSTS = """
import { query, mutation, internalQuery } from "./_generated/server";
import { internal, api } from "./_generated/api";
import { v, ConvexError } from "convex/values";

export const addUser = mutation({
  args: { name: v.string() }, returns: v.id("users"),
  handler: async (ctx, args) => await ctx.db.insert("users", args),
});
export const add = mutation({
  args: { author: v.id("users"), title: v.string(), likes: v.number() },
  handler: async (ctx, args) => await ctx.db.insert("posts", args),
});
export const byAuthor = query({
  args: { author: v.id("users"), min: v.optional(v.number()) },
  handler: async (ctx, { author, min }) =>
    await ctx.db.query("posts")
      .withIndex("by_author", (q) => q.eq("author", author).gte("likes", min ?? 0))
      .order("desc").collect(),
});
export const titles = query({
  args: {},
  handler: async (ctx) => (await ctx.db.query("posts").collect()).map((p) => p.title),
});
export const hidden = internalQuery({ args: {}, handler: async () => "seen" });
export const boom = mutation({
  args: { data: v.optional(v.any()) },
  handler: async (ctx, { data }) => {
    console.log("before", { data });
    await ctx.db.insert("users", { name: "lost" });
    if (data !== undefined) throw new ConvexError(data);
    throw new Error("boom");
  },
});
export const wrongReturn = query({ args: {}, returns: v.string(), handler: async () => 1 as any });
export const wrongWrite = mutation({
  args: {}, handler: async (ctx) => await ctx.db.insert("users", { nome: "x" } as any),
});
export const attempt = mutation({
  args: {},
  handler: async (ctx) => {
    await ctx.db.insert("users", { name: "outer" });
    try { await ctx.runMutation(api.posts.boom, {}); } catch (e: any) { return e.message; }
  },
});
export const count = query({
  args: {}, handler: async (ctx) => (await ctx.db.query("users").collect()).length,
});
export const edit = mutation({
  args: { id: v.id("users") },
  handler: async (ctx, { id }) => {
    await ctx.db.patch(id, { age: 3 });
    await ctx.db.patch(id, { age: undefined, name: "new" });
    return await ctx.db.get(id);
  },
});
export const remove = mutation({
  args: { id: v.id("users") }, handler: async (ctx, { id }) => await ctx.db.delete(id),
});
"""
FILES = {"convex/schema.ts": SCHEMA, "convex/posts.ts": POSTS}


@pytest.fixture
def app(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> EmbeddedDeployment:
    answer = push_over_http(bundle(FILES))
    assert answer.status == 200, answer.body
    return deployment


def test_what_is_written_is_read(app: EmbeddedDeployment) -> None:
    added = app.mutation("posts:addUser", {"name": "Ada"})
    assert added.error is None
    user = str(added.value)
    assert len(user) == 32
    for title, likes in (("a", 1.0), ("b", 5.0), ("c", 3.0)):
        app.mutation("posts:add", {"author": user, "title": title, "likes": likes})
    found = app.query("posts:byAuthor", {"author": user, "min": 2})
    assert found.error is None
    assert isinstance(found.value, list)
    assert [post["title"] for post in found.value if isinstance(post, dict)] == ["b", "c"]
    assert app.query("posts:titles").value == ["a", "b", "c"]
    (first, *_) = app.documents("posts")
    assert {"_id", "_creationTime", "author", "title", "likes"} == set(first)


def first_line(error: str | None) -> str:
    """What follows the request's id."""
    assert error is not None
    head, _, text = error.partition("\n")
    assert head.startswith("[Request ID: ")
    assert head.endswith("] Server Error")
    assert ("\n    at " in text) != text.endswith("\n"), "without frames, a line break ends it"
    return text.removesuffix("\n")


def test_a_throw_takes_back_what_was_written_and_says_where(app: EmbeddedDeployment) -> None:
    result = app.mutation("posts:boom")
    lines = first_line(result.error).split("\n")
    assert lines[0] == "Uncaught Error: boom"
    assert lines[1].startswith("    at handler (../convex/posts.ts:")
    place = lines[1].rpartition("posts.ts:")[2].rstrip(")").split(":")
    assert POSTS.splitlines()[int(place[0]) - 1][int(place[1]) - 1 :].startswith("new Error")
    assert result.log_lines == ("[LOG] 'before' {\n  data: undefined\n}",)
    assert app.documents("users") == []


def test_a_convex_error_carries_its_data(app: EmbeddedDeployment) -> None:
    result = app.mutation("posts:boom", {"data": {"code": 7}})
    assert result.error_data == {"code": 7}
    assert first_line(result.error).startswith('Uncaught ConvexError: {"code":7}\n    at handler')


def test_what_a_called_mutation_wrote_is_taken_back_alone(app: EmbeddedDeployment) -> None:
    result = app.mutation("posts:attempt")
    assert isinstance(result.value, str)
    assert result.value.startswith("Uncaught Error: boom\n    at handler (../convex/posts.ts:")
    assert [user["name"] for user in app.documents("users")] == ["outer"]


def test_internal_functions_are_for_admins(app: EmbeddedDeployment) -> None:
    refused = app.query("posts:hidden")
    assert first_line(refused.error) == "Could not find public function for 'posts:hidden'."
    assert app.query("posts:hidden", identity={"subject": "a"}).error is not None
    assert app.query("posts:hidden", admin=True).value == "seen"
    missing = app.query("posts:nothing", admin=True)
    assert first_line(missing.error) == "Could not find public function for 'posts:nothing'."


def test_the_wrong_kind_is_refused(app: EmbeddedDeployment) -> None:
    assert first_line(app.query("posts:add", {}).error) == (
        "Trying to execute posts.js:add as Query, but it is defined as Mutation."
    )


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": (
        {},
        "ArgumentValidationError: Object is missing the required field `name`. Consider wrapping "
        "the field validator in `v.optional(...)` if this is expected.\n\nObject: {}\n"
        "Validator: v.object({name: v.string()})\n",
    ),
    "extra": (
        {"name": "a", "more": 1},
        "ArgumentValidationError: Object contains extra field `more` that is not in the "
        'validator.\n\nObject: {more: 1.0, name: "a"}\nValidator: v.object({name: v.string()})\n',
    ),
    "type": (
        {"name": 1},
        "ArgumentValidationError: Value does not match validator.\nPath: .name\nValue: 1.0\n"
        "Validator: v.string()\n",
    ),
}


@pytest.mark.parametrize(("args", "message"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_arguments_are_checked(app: EmbeddedDeployment, args: dict[str, Any], message: str) -> None:
    assert first_line(app.mutation("posts:addUser", args).error) == message.removesuffix("\n")


def test_an_id_of_another_table_is_no_argument(app: EmbeddedDeployment) -> None:
    app.mutation("posts:addUser", {"name": "Ada"})
    user = str(app.documents("users")[0]["_id"])
    post = str(app.mutation("posts:add", {"author": user, "title": "t", "likes": 1}).value)
    error = first_line(app.query("posts:byAuthor", {"author": post}).error)
    assert error == (
        f'ArgumentValidationError: Found ID "{post}" from table `posts`, which does not match the '
        'table name in validator `v.id("users")`.Path: .author'
    )
    error = first_line(app.query("posts:byAuthor", {"author": "nope"}).error)
    assert error.startswith("ArgumentValidationError: Value does not match validator.\n")


def test_results_and_documents_are_checked(app: EmbeddedDeployment) -> None:
    assert first_line(app.query("posts:wrongReturn").error) == (
        "ReturnsValidationError: Value does not match validator.\n\nValue: 1.0\n"
        "Validator: v.string()"
    )
    error = first_line(app.mutation("posts:wrongWrite").error)
    text, _, frames = error.partition("\n    at ")
    text = re.sub(r"_creationTime: [\d.]+, _id: \"\w{32}\"", "SYSTEM", text)
    assert text == (
        'Uncaught Error: Failed to insert or update a document in table "users" because it does '
        "not match the schema: Object is missing the required field `name`. Consider wrapping the "
        "field validator in `v.optional(...)` if this is expected.\n\n"
        'Object: {SYSTEM, nome: "x"}\n'
        "Validator: v.object({age: v.optional(v.float64()), name: v.string()})\n"
    )
    assert "../convex/posts.ts:" in frames
    assert app.documents("users") == []


def test_a_patch_changes_and_removes_fields(app: EmbeddedDeployment) -> None:
    (user,) = app.insert("users", [{"name": "old", "age": 1}])
    found = app.mutation("posts:edit", {"id": user}).value
    assert isinstance(found, dict)
    assert {key: found[key] for key in found if not key.startswith("_")} == {"name": "new"}
    app.mutation("posts:remove", {"id": user})
    error = first_line(app.mutation("posts:remove", {"id": user}).error)
    assert error.startswith(f"Uncaught Error: Delete on nonexistent document ID {user}\n")


def test_a_refused_document_inserts_none(app: EmbeddedDeployment) -> None:
    with pytest.raises(ValueError, match="does not match the schema"):
        app.insert("users", [{"name": "good"}, {"nome": "bad"}])
    assert app.documents("users") == []
    assert app.documents("nowhere") == []


def test_a_reset_of_the_data_leaves_the_code(app: EmbeddedDeployment) -> None:
    (first,) = app.insert("users", [{"name": "a"}])
    app.reset_data()
    assert app.query("posts:count").value == 0
    assert app.insert("users", [{"name": "a"}]) == [first], "runs can be compared"


def test_every_1_000_increments_count(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    text = """
    import { mutation, query } from "./_generated/server";
    export const inc = mutation({ args: {}, handler: async (ctx) => {
      const row = await ctx.db.query("counters").first();
      if (row === null) await ctx.db.insert("counters", { n: 1 });
      else await ctx.db.patch(row._id, { n: row.n + 1 });
    } });
    export const get = query({ args: {}, handler: async (ctx) =>
      (await ctx.db.query("counters").first())?.n });
    """
    assert push_over_http(bundle({"convex/c.ts": text})).status == 200
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: deployment.mutation("c:inc").error, range(1000)))
    assert set(results) == {None}
    assert deployment.query("c:get").value == 1000


UNAWAITED = """
import { mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { v } from "convex/values";
export const many = mutation({ args: {}, handler: async (ctx) => {
  for (let n = 0; n < 100; n++) void ctx.db.insert("rows", { n });
} });
export const slow = mutation({ args: {}, handler: async (ctx) => {
  for (let n = 0; n < 20; n++) await ctx.db.insert("rows", { n });
} });
export const calls = mutation({ args: {}, handler: async (ctx) => {
  void ctx.runMutation(api.a.slow, {});
} });
export const asks = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("rows", { n: 0 });
  void ctx.runQuery(api.a.count, {});
  throw new Error("too late");
} });
export const callsAndThrows = mutation({ args: {}, handler: async (ctx) => {
  void ctx.runMutation(api.a.slow, {});
  throw new Error("too late");
} });
export const count = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).length });
"""


@pytest.mark.parametrize(("function", "rows"), [("many", 100), ("calls", 20)])
def test_what_a_mutation_does_not_wait_for_is_of_its_transaction(
    function: str,
    rows: int,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": UNAWAITED})).status == 200
    assert deployment.mutation(f"a:{function}").error is None
    assert deployment.query("a:count").value == rows


@pytest.mark.parametrize("function", ["callsAndThrows", "asks"])
def test_a_throw_takes_back_what_was_not_waited_for(
    function: str,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": UNAWAITED})).status == 200
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(deployment.mutation, f"a:{function}") for _ in range(4)]
        counts = [deployment.query("a:count").value for _ in range(20)]
        errors = [first_line(call.result().error) for call in calls]
    assert all(error.startswith("Uncaught Error: too late") for error in errors)
    assert set(counts) == {0}
    assert deployment.query("a:count").value == 0


READERS = """
import { mutation, query } from "./_generated/server";
import { ConvexError, v } from "convex/values";
export const some = query({ args: { most: v.number() }, handler: async (ctx, { most }) => {
  const seen = [];
  for await (const { n } of ctx.db.query("rows")) {
    seen.push(n);
    if (seen.length === most) break;
  }
  return seen;
} });
export const each = mutation({ args: {}, handler: async (ctx) => {
  for await (const { _id, n } of ctx.db.query("rows")) await ctx.db.patch(_id, { n: n + 1 });
} });
export const page = query({ args: { opts: v.any() }, handler: (ctx, { opts }) =>
  ctx.db.query("rows").filter((q) => q.gte(q.field("n"), 100)).paginate(opts) });
export const large = query({ args: { opts: v.any() }, handler: async (ctx, { opts }) => {
  const { page, pageStatus, splitCursor } = await ctx.db.query("large").paginate(opts);
  return [page.length, pageStatus, splitCursor !== null];
} });
export const fail = mutation({ args: { id: v.id("rows") }, handler: async (ctx, { id }) => {
  await ctx.db.delete(id);
  throw new ConvexError("no");
} });
export const plan = mutation({ args: {}, handler: async (ctx) => {
  const seen = [];
  const planned = ctx.db.system.query("_scheduled_functions")[Symbol.asyncIterator]();
  for (let i = 0; i < 5; i++) {
    await ctx.scheduler.runAfter(1e6, "a:each" as any, {});
    seen.push((await planned.next()).done);
  }
  return seen;
} });
"""


@pytest.fixture
def readers(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> EmbeddedDeployment:
    """With 300 rows, `n` from 0 on."""
    answer = push_over_http(bundle({"convex/a.ts": READERS}))
    assert answer.status == 200, answer.body
    deployment.insert("rows", [{"n": n} for n in range(300)])
    return deployment


def test_only_documents_that_were_taken_count_as_read(readers: EmbeddedDeployment) -> None:
    for most in (1, 2, 3, 8, 200, 300):
        result = readers.query("a:some", {"most": most})
        assert result.value == list(range(most))
        assert result.usage is not None
        assert result.usage.documents_read == most
    written = readers.mutation("a:each")
    assert written.error is None
    assert written.usage is not None
    assert (written.usage.documents_read, written.usage.documents_written) == (300, 300)
    assert [row["n"] for row in readers.documents("rows")] == list(range(1, 301))


def test_documents_that_a_filter_leaves_out_count_in_a_page(readers: EmbeddedDeployment) -> None:
    opts: dict[str, Any] = {"numItems": 10, "cursor": None, "maximumRowsRead": 40}
    sizes = []
    for _ in range(4):
        result = readers.query("a:page", {"opts": opts})
        assert isinstance(result.value, dict)
        assert isinstance(result.value["page"], list)
        sizes.append((len(result.value["page"]), result.value["pageStatus"]))
        assert result.value["splitCursor"] is not None
        assert result.usage is not None
        assert result.usage.documents_read == [40, 40, 30, 10][len(sizes) - 1]
        opts["cursor"] = result.value["continueCursor"]
    assert sizes == [(0, "SplitRequired"), (0, "SplitRequired"), (10, None), (10, None)]


def test_a_page_of_nearly_all_that_can_be_read_had_better_be_split(
    readers: EmbeddedDeployment,
) -> None:
    readers.insert("large", [{"text": "x" * 1_000_000} for _ in range(14)])
    for size, status in ((12, None), (13, "SplitRecommended")):
        page = readers.query("a:large", {"opts": {"numItems": size, "cursor": None}})
        assert page.value == [size, status, True]


def test_a_document_that_stays_after_all_stays_where_it_was(readers: EmbeddedDeployment) -> None:
    first, *_ = before = readers.documents("rows")
    assert readers.mutation("a:fail", {"id": first["_id"]}).error_data == "no"
    assert readers.documents("rows") == before


def test_a_query_that_is_being_read_meets_what_is_scheduled_meanwhile(
    readers: EmbeddedDeployment,
) -> None:
    assert readers.mutation("a:plan").value == [False] * 5


RUNAWAYS = {
    "loop": ("for (;;);", "Function execution timed out (maximum duration: 1s)"),
    "memory": (
        "const a: any[] = []; for (;;) a.push(new Array(1000).fill(1));",
        "JavaScript execution ran out of memory (maximum memory usage: 64 MB)",
    ),
    "one array": (
        "return new Array(3e7).fill(0).map((x) => ({ x })).length;",
        "JavaScript execution ran out of memory (maximum memory usage: 64 MB)",
    ),
    "never": (
        "await new Promise(() => {});",
        "Returned promise will never resolve",
    ),
}


@pytest.mark.parametrize(("body", "message"), RUNAWAYS.values(), ids=RUNAWAYS.keys())
def test_a_runaway_is_ended_and_the_next_call_works(
    body: str,
    message: str,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        'import { mutation } from "./_generated/server";\n'
        "export const f = mutation({ args: {}, handler: async (ctx) => {\n"
        f'  await ctx.db.insert("t", {{}});\n  {body}\n}} }});\n'
        "export const g = mutation({ args: {}, handler: async () => 1 });\n"
    )
    assert push_over_http(bundle({"convex/a.ts": text})).status == 200
    assert first_line(deployment.mutation("a:f").error) == message
    assert deployment.mutation("a:g").value == 1
    assert deployment.documents("t") == []


RETRIED = """
import { mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
const left = Array as any;
export const leave = query({ args: {}, handler: async () => { left.behind = true; } });
export const count = query({ args: {}, handler: async (ctx): Promise<number> =>
  (await ctx.db.query("rows").collect()).length });
export const fill = mutation({ args: {}, handler: async (ctx): Promise<number> => {
  const found = await ctx.runQuery(api.a.count, {});
  for (let n = 0; n < 9; n++) await ctx.db.insert("rows", { text: "x".repeat(1_000_000) });
  return left.behind ? new Array(3e7).fill(0).map((x) => ({ x })).length : found;
} });
"""


def test_what_an_attempt_used_does_not_count_when_there_is_another(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    """What another function has left in the process is why the first attempt crashes; both of them
    together would write more than the 16 MiB that one may."""
    assert push_over_http(bundle({"convex/a.ts": RETRIED})).status == 200
    deployment.insert("rows", [{}] * 3)
    usual = deployment.mutation("a:fill")
    assert (usual.value, usual.error) == (3, None)
    assert usual.usage is not None
    assert (usual.usage.documents_written, usual.usage.functions) == (9, 2)
    deployment.reset_data()
    deployment.insert("rows", [{}] * 3)
    assert deployment.query("a:leave").error is None
    retried = deployment.mutation("a:fill")
    assert (retried.value, retried.error) == (3, None)
    assert retried.usage == usual.usage


SURROUNDINGS = """
import { action, query, mutation } from "./_generated/server";
const given = (globalThis as any).left;
export const time = query({ args: {}, handler: async () => {
  const start = Date.now(); let x = 0;
  for (let i = 0; i < 2e7; i++) x += i;
  return [new Date().getTime() - start, Date.now() - start];
} });
export const variable = query({ args: {}, handler: async () =>
  [process.env.SECRET ?? null, typeof process.env.CONVEX_SITE_URL] });
export const fetches = query({ args: {}, handler: async () => { await fetch("http://a"); } });
export const timer = mutation({ args: {}, handler: async () => { setTimeout(() => {}, 1); } });
const randomly = () => ({ numbers: [Math.random(), Math.random(), Math.random()],
  uuid: crypto.randomUUID(), bytes: [...crypto.getRandomValues(new Uint8Array(8))] });
export const random = query({ args: {}, handler: async () => randomly() });
export const randomWrite = mutation({ args: {}, handler: async (ctx) =>
  [randomly(), await ctx.runQuery("s:random" as any, {})] });
export const randomAction = action({ args: {}, handler: async () => randomly() });
export const leave = query({ args: {}, handler: async () => {
  (globalThis as any).left = "here"; return given ?? null;
} });
let calls = 0;
export const fresh = query({ args: {}, handler: async () => ++calls });
export const bare = query({ args: {}, handler: async () =>
  [typeof Buffer, typeof (globalThis as any).require, typeof (process as any).version,
  typeof setImmediate] });
"""


@pytest.fixture
def surroundings(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> EmbeddedDeployment:
    deployment.set_environment({"SECRET": "42"})
    answer = push_over_http(bundle({"convex/s.ts": SURROUNDINGS}))
    assert answer.status == 200, answer.body
    return deployment


def test_what_a_function_finds_around_it(surroundings: EmbeddedDeployment) -> None:
    expected = {
        "time": [0, 0],
        "variable": ["42", "string"],
        "bare": ["undefined"] * 4,
    }
    for name, value in expected.items():
        result = surroundings.query(f"s:{name}")
        assert (result.value, result.error) == (value, None)
    for _ in range(2):
        assert surroundings.query("s:leave").value is None
        assert surroundings.query("s:fresh").value == 1


def test_queries_and_mutations_have_neither_fetch_nor_timers(
    surroundings: EmbeddedDeployment,
) -> None:
    for result, what in (
        (surroundings.query("s:fetches"), "fetch()"),
        (surroundings.mutation("s:timer"), "setTimeout"),
    ):
        assert first_line(result.error).startswith(
            f"Uncaught Error: Can't use {what} in queries and mutations. Please consider using an "
            "action. See https://docs.convex.dev/functions/actions for more details.\n"
        )


def test_what_is_random_varies_from_call_to_call_and_is_the_same_after_a_reset(
    surroundings: EmbeddedDeployment,
) -> None:
    def block() -> list[Any]:
        results = [surroundings.query("s:random") for _ in range(2)]
        results.append(surroundings.mutation("s:randomWrite"))
        assert [result.error for result in results] == [None] * 3
        *queries, write = (result.value for result in results)
        assert isinstance(write, list)
        return [*queries, *write]

    surroundings.reset_data()
    first = block()
    numbers = [n for each in first for n in each["numbers"]]
    assert all(0 <= n < 1 for n in numbers)
    assert len(set(numbers)) == len(numbers) == 12, "they vary within a call and between calls"
    assert len({each["uuid"] for each in first}) == 4
    assert len({tuple(each["bytes"]) for each in first}) == 4
    assert block() != first, "a reset is what starts it over"

    for before in (0, 1, 5):
        surroundings.reset_data()
        for _ in range(before):
            surroundings.query("s:random")
        surroundings.reset_data()
        # Actions are not seeded, and may run at the same time as anything else.
        one, two = (surroundings.action("s:randomAction").value for _ in range(2))
        assert one != two
        assert block() == first, f"whatever ran before: {before} calls"
