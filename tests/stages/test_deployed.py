"""What was deployed, held against what a case expects; on the real deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import JsonValue

from pytest_convex_eval.deployment.model import Cron, Deployed
from pytest_convex_eval.expectations.deployed_matches import compare
from pytest_convex_eval.expectations.model import Expectations

FILES = {
    "convex/schema.ts": """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ name: v.string() }),
  posts: defineTable({
    author: v.id("users"),
    title: v.string(),
    tags: v.optional(v.array(v.string())),
    embedding: v.array(v.float64()),
  })
    .index("by_author_title", ["author", "title"])
    .searchIndex("search_title", { searchField: "title", filterFields: ["author"] })
    .vectorIndex("by_embedding", { vectorField: "embedding", dimensions: 8 }),
  shapes: defineTable(
    v.union(
      v.object({ kind: v.literal("circle"), radius: v.number() }),
      v.object({ kind: v.literal("square"), side: v.number() }),
    ),
  ),
});
""",
    "convex/posts.ts": """\
import { internalMutation, mutation, query } from "./_generated/server";
import { v } from "convex/values";

export const list = query({
  args: { author: v.id("users"), limit: v.optional(v.number()) },
  returns: v.array(v.string()),
  handler: async (ctx, { author, limit }) => {
    const posts = await ctx.db
      .query("posts")
      .withIndex("by_author_title", (q) => q.eq("author", author))
      .take(limit ?? 10);
    return posts.map((post) => post.title);
  },
});
export const create = mutation({ args: {}, handler: async () => null });
export const sweep = internalMutation({ args: {}, handler: async () => null });
""",
    "convex/crons.ts": """\
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";

const crons = cronJobs();
crons.interval("sweep", { minutes: 30 }, internal.posts.sweep);
crons.daily("nightly", { hourUTC: 3, minuteUTC: 15 }, internal.posts.sweep);
crons.weekly("weekly", { dayOfWeek: "monday", hourUTC: 4, minuteUTC: 5 }, internal.posts.sweep);
crons.monthly("monthly", { day: 2, hourUTC: 4, minuteUTC: 5 }, internal.posts.sweep);
crons.cron("odd", "5 4 * * 1", internal.posts.sweep);
export default crons;
""",
    "convex/http.ts": """\
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";

const http = httpRouter();
const hello = httpAction(async () => new Response("hello"));
http.route({ path: "/hello", method: "GET", handler: hello });
http.route({ pathPrefix: "/files/", method: "POST", handler: hello });
export default http;
""",
}

MET: dict[str, Any] = {
    "tables": {
        "comments": {"$absent": True},
        "users": {"only": True, "fields": {"name": "v.string()"}},
        "posts": {
            "fields": {
                "author": "v.id('users')",
                "tags": "v.optional(v.array(v.string()))",
            },
            "absent_fields": ["body"],
            "indexes": [
                ["author", "title"],
                ["author"],
                {"fields": ["author"], "name": "by_author_title"},
            ],
            "search_indexes": [{"field": "title", "filters": ["author"]}],
            "vector_indexes": [{"field": "embedding", "dimensions": 8}],
        },
        "shapes": {
            "document": "v.union(v.object({kind: v.literal('square'), side: v.number()}), "
            "v.object({kind: v.literal('circle'), radius: v.number()}))",
            "fields": {
                "kind": "v.union(v.literal('circle'), v.literal('square'))",
                "side": "v.optional(v.number())",
            },
        },
    },
    "functions": {
        "posts:list": {"kind": "query", "args": ["author"], "returns": "v.array(v.string())"},
        "posts:remove": {"$absent": True},
        "posts:create": {"kind": "mutation", "args": {}},
        "posts:sweep": {"kind": "mutation", "visibility": "internal"},
    },
    "crons": [
        {"function": "posts:sweep", "every": {"seconds": 1800}},
        {"function": "posts:sweep", "name": "sweep", "every": {"minutes": 30}},
        {"function": "posts:sweep", "daily": {"hour": 3, "minute": 15}},
        {"function": "posts:sweep", "weekly": {"day": "monday", "hour": 4}},
        {"function": "posts:sweep", "monthly": {"day": 2}},
        {"function": "posts:sweep", "cron": "5 4 * * 1"},
    ],
    "public_only": True,
    "crons_only": True,
    "http_only": True,
    "http": [
        {"method": "GET", "path": "/hello"},
        {"method": "POST", "path_prefix": "/files/"},
    ],
}


def posts(**wanted: Any) -> dict[str, Any]:
    return {"tables": {"posts": wanted}}


def listing(**wanted: Any) -> dict[str, Any]:
    return {"functions": {"posts:list": {"kind": "query", **wanted}}}


def cron(**wanted: Any) -> dict[str, Any]:
    return {"crons": [{"function": "posts:sweep", **wanted}]}


BOTH = {"author": "v.id('users')", "limit": "v.optional(v.number())"}

UNMET: list[tuple[dict[str, Any], str, str]] = [
    ({"tables": {"post": {}}}, "table-missing", "no table 'post'; deployed is 'posts'"),
    (posts(fields={"titel": "v.string()"}), "field-missing", "no field 'titel'"),
    (posts(fields={"title": "v.number()"}), "field-validator", "must be v.number(), and is v.st"),
    (posts(fields={"tags": "v.array(v.string())"}), "field-validator", "v.optional("),
    (posts(fields={"author": "v.id('posts')"}), "field-validator", 'v.id("users")'),
    (posts(absent_fields=["title"]), "field-forbidden", "must have no field 'title'"),
    (posts(document="v.any()"), "document-validator", "must hold v.any()"),
    (posts(indexes=[["title"]]), "index-missing", "[title] (it has: by_author_title on author, "),
    (
        posts(indexes=[["author", "title", "tags"]]),
        "index-missing",
        "[author, title, tags] (it has: by_author_title on author, title)",
    ),
    (posts(search_indexes=[{"field": "author"}]), "search-index-missing", "'author'"),
    (posts(search_indexes=[{"field": "title", "filters": ["tags"]}]), "search-index-missing", ""),
    (posts(vector_indexes=[{"field": "embedding", "dimensions": 9}]), "vector-index-missing", "9"),
    ({"functions": {"posts:lst": {"kind": "query"}}}, "function-missing", "'posts:list'"),
    ({"functions": {"posts:list": {"kind": "mutation"}}}, "function-kind", "a mutation, and is a"),
    (listing(visibility="internal"), "function-visibility", "must be internal, and is public"),
    (listing(args=["author", "size"]), "function-args", "takes no argument 'size'"),
    (listing(args=[]), "function-args", "requires the argument 'author'"),
    (listing(args=["author?"]), "function-args", "'author' must be optional"),
    (listing(returns="v.null()"), "function-returns", "must return v.null()"),
    ({"functions": {"posts:create": {"kind": "mutation", "returns": "v.null()"}}},
     "function-returns", "no returns validator"),
    ({"crons": [{"function": "posts:create"}]}, "cron-missing", "'sweep' runs posts:sweep"),
    (cron(every={"hours": 2}), "cron-schedule", "every 7200 seconds (deployed: interval"),
    (cron(daily={"hour": 4}), "cron-schedule", "daily at the expected time"),
    (cron(weekly={"day": "sunday"}), "cron-schedule", "weekly"),
    (cron(monthly={"day": 3}), "cron-schedule", "monthly"),
    (cron(cron="* * * * *"), "cron-schedule", "cron * * * * *"),
    (cron(name="swept"), "cron-missing", "deployed: "),
    ({"http": [{"method": "POST", "path": "/hello"}]}, "route-missing", "GET /hello"),
    (posts(indexes=[{"fields": ["author"], "name": "by_a"}]), "index-missing", "called 'by_a'"),
    (posts(indexes=[{"fields": ["author"], "staged": True}]), "index-missing", "no staged index"),
    ({"tables": {"posts": {"$absent": True}}}, "table-unexpected", "must be no table 'posts'"),
    ({"tables": {"posts": {}, "shapes": {}}, "tables_only": True}, "table-unexpected", "'users'"),
    ({"tables": {"users": {"only": True}}}, "field-forbidden", "must have no field 'name'"),
    ({"functions": {"posts:list": {"$absent": True}}}, "function-unexpected", "no function"),
    ({"functions": {"posts:list": {"kind": "query"}}, "public_only": True},
     "function-unexpected", "no public function 'posts:create' is asked for"),
    (listing(args={"author": "v.id('users')"}), "function-args", "must take no argument 'limit'"),
    (listing(args={"author": "v.id('users')", "limit": "v.number()"}), "function-args",
     "'limit' must be v.number(), and is v.optional(v.number())"),
    (listing(args={**BOTH, "$any": "v.string()"}), "function-args",
     "takes no argument that is v.string()"),
    ({"http": [{"method": "GET", "path": "/hello"}], "http_only": True}, "route-unexpected",
     "no route POST /files/* is asked for"),
    ({"http": [{"method": "GET", "path_prefix": "/hello/"}]}, "route-missing", "POST /files/*"),
]  # fmt: skip


def test_all_that_is_expected_and_there_passes(check: Callable[..., Any]) -> None:
    result = check(FILES, expect=Expectations.model_validate(MET), stages=("deploy",))
    assert result["deploy"].findings == ()
    assert result["deploy"].status == "passed"


def test_each_unmet_expectation_has_its_code(check: Callable[..., Any]) -> None:
    # One push serves all: an expectation changes nothing about it.
    merged: dict[str, Any] = {"tables": {}, "functions": {}, "crons": [], "http": []}
    from pytest_convex_eval.expectations import deployed_matches as stage

    seen = []
    original = stage.compare

    def spy(expect: Expectations, live: Any) -> Any:
        seen.append(live)
        return original(expect, live)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest_convex_eval.stages.deploy.compare", spy)
        check(FILES, expect=Expectations.model_validate(merged), stages=("deploy",))
    (live,) = seen
    for wanted, code, words in UNMET:
        findings = original(Expectations.model_validate(wanted), live)
        assert [finding.code for finding in findings] == [f"deploy/{code}"], wanted
        assert words in findings[0].message, findings[0].message


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("* * * * *", {"every": {"minutes": 1}}),
        ("*/30 * * * *", {"every": {"minutes": 30}}),
        ("0 */6 * * *", {"every": {"hours": 6}}),
        ("20 6 * * *", {"daily": {"hour": 6, "minute": 20}}),
        ("20 6 * * 1", {"weekly": {"day": "monday", "hour": 6, "minute": 20}}),
        ("0 0 * * SUN", {"weekly": {"day": "sunday"}}),
        ("0 0 * * 7", {"weekly": {"day": "sunday"}}),
        ("5 4 3 * *", {"monthly": {"day": 3, "hour": 4, "minute": 5}}),
    ],
)
def test_a_cron_expression_that_says_the_same_is_the_same(
    expression: str, wanted: dict[str, Any]
) -> None:
    schedule = {"type": "cron", "cronExpr": expression}
    deployed = Deployed(crons=(Cron("sweep", "posts:sweep", (), schedule),))
    assert compare(Expectations.model_validate(cron(**wanted)), deployed) == ()


@pytest.mark.parametrize("expression", ["*/7 * * * *", "0,30 6 * * *", "0 6 * 1 *", "0 6 1 * 1"])
def test_a_cron_expression_that_says_more_is_not(expression: str) -> None:
    schedule = {"type": "cron", "cronExpr": expression}
    deployed = Deployed(crons=(Cron("sweep", "posts:sweep", (), schedule),))
    for wanted in ({"daily": {"hour": 6}}, {"every": {"minutes": 7}}, {"monthly": {"day": 1}}):
        assert compare(Expectations.model_validate(cron(**wanted)), deployed)


def test_only_what_is_named_of_a_table_may_be_there(check: Callable[..., Any]) -> None:
    wanted = posts(
        only=True, fields={"author": "v.id('users')", "tags": "v.optional(v.array(v.string()))"}
    )
    result = check(FILES, expect=Expectations.model_validate(wanted), stages=("deploy",))
    assert [(each.code, each.message) for each in result["deploy"].findings] == [
        ("deploy/field-forbidden", "table 'posts' must have no field 'embedding'"),
        ("deploy/field-forbidden", "table 'posts' must have no field 'title'"),
        (
            "deploy/index-unexpected",
            "table 'posts' must have no index by_author_title on author, title",
        ),
        ("deploy/index-unexpected", "table 'posts' must have no search index on 'title'"),
        ("deploy/index-unexpected", "table 'posts' must have no vector index on 'embedding'"),
    ]


def test_cron_jobs_beside_those_that_are_asked_for_are_told() -> None:
    schedule: dict[str, JsonValue] = {"type": "interval", "seconds": 60}
    jobs = (Cron("a", "posts:sweep", (), schedule), Cron("b", "posts:other", (), schedule))
    wanted = {**cron(every={"minutes": 1}), "crons_only": True}
    findings = compare(Expectations.model_validate(wanted), Deployed(crons=jobs))
    assert [(each.code, each.message) for each in findings] == [
        (
            "deploy/cron-unexpected",
            "no cron job 'b' that runs posts:other interval (seconds 60) is asked for",
        )
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (posts(indexes=["by_n"]), "'by_n' is no index; write the list of its fields"),
        ({"tables": {"posts": {"$absent": True, "only": True}}}, "nothing else can be said"),
        ({"functions": {"a:b": {"$absent": True, "kind": "query"}}}, "nothing else can be said"),
        ({"functions": {"a:b": {}}}, "say its kind"),
        (listing(args={"x": "string"}), "not a Convex validator"),
    ],
)
def test_what_expects_nothing_is_refused_when_the_case_is_read(
    wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Expectations.model_validate(wanted)
