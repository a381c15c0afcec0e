"""A deployment that is pushed to again: what is other then, and what stays when a push fails."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, Bundle, PushOverHttp
from tests.patience import HANG_SECONDS

HEAD = """
import { action, internalMutation, mutation, query } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { v } from "convex/values";
"""
FIRST = f"""{HEAD}
export const gone = query({{ args: {{}}, handler: async () => 1 }});
export const kind = query({{ args: {{}}, handler: async () => "read" }});
export const hidden = query({{ args: {{}}, handler: async () => "seen" }});
export const takes = query({{ args: {{ a: v.string() }}, handler: async (_, {{ a }}) => a }});
export const gives = query({{ args: {{}}, handler: async (): Promise<any> => 1 }});
export const which = query({{ args: {{}}, handler: async () => "first" }});
export const change = mutation({{ args: {{}}, handler: async () => "first" }});
export const act = action({{ args: {{}}, handler: async () => "first" }});
export const put = mutation({{ args: {{ a: v.any() }}, handler: async (ctx, {{ a }}) =>
  await ctx.db.insert("t", {{ a }}) }});
export const mend = mutation({{ args: {{}}, handler: async (ctx) => {{
  for (const row of await ctx.db.query("t").collect()) await ctx.db.patch(row._id, {{ a: "x" }});
}} }});
export const tick = internalMutation({{ args: {{ name: v.string() }}, handler:
  async (ctx, args) => {{ await ctx.db.insert("ticks", args); }} }});
export const plan = mutation({{ args: {{}}, handler: async (ctx) => {{
  await ctx.scheduler.runAfter(21_600_000, internal.a.tick, {{ name: "planned" }}); }} }});
"""
SECOND = (
    FIRST.replace('"first"', '"second"')
    .replace("export const gone", "export const come")
    .replace("export const kind = query", "export const kind = mutation")
    .replace("export const hidden = query", "export const hidden = internalQuery")
    .replace("internalMutation,", "internalMutation, internalQuery,")
    .replace("{ a: v.string() }", "{ a: v.number() }")
    .replace("gives = query({ args: {},", "gives = query({ args: {}, returns: v.string(),")
)
NODE = '"use node";\nimport { action } from "./_generated/server";\n' + (
    'export const act = action({ args: {}, handler: async () => ["first", typeof Buffer] });\n'
)
HTTP = """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
const handler = httpAction(async () => new Response("first"));
http.route({ path: "/which", method: "GET", handler });
export default http;
"""


def schema(fields: str, index: str = "by_a") -> str:
    return (
        'import { defineSchema, defineTable } from "convex/server";\n'
        'import { v } from "convex/values";\n'
        f"export default defineSchema({{ t: defineTable({{ {fields} }})"
        f'.index("{index}", ["a"]) }}, {{ strictTableNameTypes: false }});\n'
    )


def crons(*lines: str) -> str:
    return (
        'import { cronJobs } from "convex/server";\nimport { internal } from "./_generated/api";\n'
        "const crons = cronJobs();\n" + "\n".join(lines) + "\nexport default crons;\n"
    )


def every(name: str, schedule: str) -> str:
    return f'crons.interval("{name}", {schedule}, internal.a.tick, {{ name: "{name}" }});'


class PushFiles(Protocol):
    """Pushes files by their names in `convex/`; what was answered."""

    def __call__(self, files: Mapping[str, str], *, status: int = 200) -> Any: ...


@pytest.fixture
def push(bundle: Bundle, push_over_http: PushOverHttp) -> PushFiles:
    count = itertools.count()

    def run(files: Mapping[str, str], *, status: int = 200) -> Any:
        named = {f"convex/{path}.ts": text for path, text in files.items()}
        answer = push_over_http(bundle(named, name=f"push{next(count)}"))
        assert answer.status == status, answer.body
        return answer.body

    return run


def text_of(error: str | None) -> str:
    assert error is not None
    return error.partition("\n")[2].removesuffix("\n")


def test_the_second_push_is_what_runs(push: PushFiles, deployment: EmbeddedDeployment) -> None:
    for word, app in (("first", FIRST), ("second", SECOND)):
        texts = {"a": app, "node": NODE, "http": HTTP}
        push({name: text.replace('"first"', f'"{word}"') for name, text in texts.items()})
        results = [
            deployment.query("a:which"),
            deployment.mutation("a:change"),
            deployment.action("a:act"),
        ]
        assert [(each.value, each.error) for each in results] == [(word, None)] * 3
        assert deployment.action("node:act").value == [word, "function"]
        assert deployment.http("GET", "/which").body == word.encode()


def test_functions_come_go_and_change(push: PushFiles, deployment: EmbeddedDeployment) -> None:
    push({"a": FIRST})
    before = [
        *(deployment.query(f"a:{name}") for name in ("gone", "kind", "hidden", "gives")),
        deployment.query("a:takes", {"a": "x"}),
    ]
    assert [each.value for each in before] == [1, "read", "seen", 1, "x"]
    assert text_of(deployment.query("a:come").error) == (
        "Could not find public function for 'a:come'."
    )
    push({"a": SECOND})
    assert deployment.query("a:come").value == 1
    assert deployment.mutation("a:kind").value == "read"
    assert deployment.query("a:hidden", admin=True).value == "seen"
    assert deployment.query("a:takes", {"a": 2}).value == 2
    refused = {
        "gone": "Could not find public function for 'a:gone'.",
        "kind": "Trying to execute a.js:kind as Query, but it is defined as Mutation.",
        "hidden": "Could not find public function for 'a:hidden'.",
    }
    assert {name: text_of(deployment.query(f"a:{name}").error) for name in refused} == refused
    assert text_of(deployment.query("a:takes", {"a": "x"}).error).startswith(
        "ArgumentValidationError: "
    )
    assert text_of(deployment.query("a:gives").error).startswith("ReturnsValidationError: ")


def test_a_module_that_moves_to_node_and_back_runs_there(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    plain = NODE.removeprefix('"use node";\n')
    for text, buffer in ((plain, "undefined"), (NODE, "function"), (plain, "undefined")):
        push({"node": text})
        assert deployment.action("node:act").value == ["first", buffer]


def test_documents_and_ids_stay(push: PushFiles, deployment: EmbeddedDeployment) -> None:
    push({"a": FIRST, "schema": schema("a: v.any()")})
    first = deployment.mutation("a:put", {"a": 1}).value
    push({"a": SECOND, "schema": schema("a: v.any(), b: v.optional(v.id('t'))")})
    second = deployment.mutation("a:put", {"a": 2}).value
    assert [row["_id"] for row in deployment.documents("t")] == [first, second]


BROKEN = {
    "an import that throws": {"a": FIRST.replace("first", "broken") + 'throw new Error("no");\n'},
    "a schema": {"a": FIRST.replace("first", "broken"), "schema": schema("a: v.any()", "by_id")},
    "documents": {"a": FIRST.replace("first", "broken"), "schema": schema("a: v.string()")},
    "a cron job": {
        "a": FIRST.replace("first", "broken"),
        "crons": crons('crons.interval("x", { minutes: 1 }, "a:none" as any);'),
    },
    "variables": {
        "a": FIRST.replace("first", "broken"),
        "auth.config": "export default { providers: [{ domain: process.env.NO!, "
        'applicationID: "a" }] };\n',
    },
}


def test_a_push_that_fails_leaves_all_as_it_was(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    push({"a": FIRST, "crons": crons(every("old", "{ hours: 6 }")), "http": HTTP})
    assert deployment.advance(0) == []
    assert deployment.mutation("a:put", {"a": 1}).error is None
    deployed, ticks = deployment.deployed(), len(deployment.documents("ticks"))
    assert ticks == 1, "an interval begins"
    for what, files in BROKEN.items():
        push(files, status=400)
        assert deployment.last_push().status == ("failed" if what == "documents" else "refused")
        assert deployment.deployed() == deployed
        results = [deployment.query("a:which"), deployment.action("a:act")]
        assert [each.value for each in results] == ["first", "first"], what
        assert deployment.http("GET", "/which").body == b"first"
        assert deployment.mutation("a:put", {"a": 1}).error is None, "by the old schema"
        assert deployment.advance(21_601) == []
        ticks += 1
        assert [row["name"] for row in deployment.documents("ticks")] == ["old"] * ticks
    push({"a": SECOND})
    assert deployment.query("a:which").value == "second"


def test_a_push_that_was_only_started_changes_nothing(
    push: PushFiles,
    bundle: Bundle,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    push({"a": FIRST})
    request = bundle({"convex/a.ts": SECOND}, name="started")
    assert ask("POST", "/api/deploy2/start_push", request).status == 200
    assert ask("POST", "/api/deploy2/evaluate_push", request).status == 200
    assert deployment.query("a:which").value == "first"
    assert deployment.action("a:act").value == "first"


def test_documents_that_were_mended_let_the_schema_go_live(
    push: PushFiles,
    bundle: Bundle,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    push({"a": FIRST})
    row = deployment.mutation("a:put", {"a": 1}).value
    files = {"convex/a.ts": SECOND, "convex/schema.ts": schema("a: v.string()")}
    started = ask("POST", "/api/deploy2/start_push", bundle(files, name="strict"))
    wait = {"schemaChange": started.body["schemaChange"], "timeoutMs": 1, "dryRun": False}
    found = ask("POST", "/api/deploy2/wait_for_schema", wait).body
    assert (found["type"], found["tableName"]) == ("failed", "t")
    assert found["error"].startswith(f'Document with ID "{row}" in table "t" does not match')
    assert deployment.mutation("a:mend").error is None
    assert ask("POST", "/api/deploy2/wait_for_schema", wait).body == {"type": "complete"}
    finish = {"startPush": started.body, "dryRun": False}
    assert ask("POST", "/api/deploy2/finish_push", finish).status == 200
    assert deployment.query("a:which").value == "second"
    refused = text_of(deployment.mutation("a:put", {"a": 2}).error)
    assert "does not match the schema" in refused
    push({"a": SECOND})
    assert deployment.mutation("a:put", {"a": 2}).error is None, "there is no schema any more"


def test_cron_jobs_are_those_of_the_last_push(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    def ticks(files: dict[str, str]) -> list[str]:
        """Those of 12 hours, without those with which an interval begins."""
        push({"a": FIRST, **files})
        assert deployment.advance(0) == []
        before = len(deployment.documents("ticks"))
        assert deployment.advance(12 * 3600) == []
        return sorted(str(row["name"]) for row in deployment.documents("ticks")[before:])

    x, y = every("x", "{ hours: 2 }"), every("y", "{ hours: 5 }")
    assert ticks({"crons": crons(x, y)}) == ["x"] * 6 + ["y"] * 2
    x, z = every("x", "{ hours: 12 }"), every("z", "{ hours: 4 }")
    assert ticks({"crons": crons(x, z)}) == ["x"] + ["z"] * 3
    assert ticks({}) == []


def test_what_was_scheduled_for_a_function_that_is_gone_fails(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    push({"a": FIRST})
    assert deployment.mutation("a:plan").error is None
    push({"a": FIRST.replace("tick", "tock")})
    (failure,) = deployment.advance(21_601)
    assert "Could not find" in failure
    (job,) = deployment.documents("_scheduled_functions")
    state = job["state"]
    assert isinstance(state, dict)
    assert state["kind"] == "failed"
    assert deployment.documents("ticks") == []


def test_what_was_scheduled_before_a_push_runs_the_code_of_after_it(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    push({"a": FIRST})
    assert deployment.mutation("a:plan").error is None
    push({"a": FIRST.replace('insert("ticks", args)', 'insert("ticks", { name: "changed" })')})
    assert deployment.advance(21_601) == []
    assert [row["name"] for row in deployment.documents("ticks")] == ["changed"]


WAITING = f"""{HEAD}
export const wait = action({{ args: {{}}, handler: async (ctx) => {{
  await ctx.runMutation(api.b.begun, {{}});
  await new Promise((done) => setTimeout(done, 2_000_000_000));
}} }});
export const begun = mutation({{ args: {{}}, handler: async (ctx) => {{
  await ctx.db.insert("begun", {{}}); }} }});
"""


def test_an_action_that_runs_ends_with_the_code_that_it_is_of(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    push({"b": WAITING})
    errors: list[str | None] = []
    thread = threading.Thread(target=lambda: errors.append(deployment.action("b:wait").error))
    thread.start()
    while not deployment.documents("begun"):
        assert thread.is_alive()
        time.sleep(0.02)
    push({"a": SECOND})
    thread.join(HANG_SECONDS)
    assert text_of(*errors) == "The process that ran the function ended."
    assert deployment.action("a:act").value == "second"


ENVIRONMENT = """
import { action, query } from "./_generated/server";
const atTheTop = process.env.NAME ?? null;
const seen = () => [atTheTop, process.env.NAME ?? null, "NAME" in process.env,
  Object.keys(process.env).filter((name) => !name.startsWith("CONVEX_"))];
export const asked = query({ args: {}, handler: async () => seen() });
export const acted = action({ args: {}, handler: async () => seen() });
export const built = query({ args: {}, handler: async () =>
  [process.env.CONVEX_CLOUD_URL, process.env.CONVEX_SITE_URL] });
"""


def test_variables_are_seen_as_they_are_without_another_push(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    push(
        {
            "e": ENVIRONMENT,
            "node": '"use node";\n'
            + ENVIRONMENT.split("export const asked")[0]
            + (
                "export const acted = action({ args: {}, handler: async () => seen() });\n"
                "void query;\n"
            ),
        }
    )
    for value in (None, "one", "two", None):
        deployment.set_environment({"NAME": value})
        # Only Node lists the names; Convex's own runtime answers for one at a time.
        known = [value, value, value is not None]
        assert deployment.query("e:asked").value == [*known, []]
        assert deployment.action("e:acted").value == [*known, []]
        names = [] if value is None else ["NAME"]
        assert deployment.action("node:acted").value == [*known, names]
    assert deployment.query("e:built").value == [deployment.url, deployment.site_url]


def test_an_error_is_placed_in_the_code_that_is_live(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    text = f"{HEAD}export const f = query({{ args: {{}}, handler: async () => {{\n"
    text += '  throw new Error("here");\n} });\n'
    for lines in (0, 4):
        push({"c": "\n" * lines + text})
        frame = text_of(deployment.query("c:f").error).splitlines()[1]
        assert frame.startswith(f"    at handler (../convex/c.ts:{6 + lines}:")


def test_eight_pushes_can_be_under_way(
    bundle: Bundle, ask: Ask, deployment: EmbeddedDeployment
) -> None:
    request = bundle({"convex/a.ts": "export const x = 1;\n"})
    started = [ask("POST", "/api/deploy2/start_push", request).body for _ in range(9)]
    assert deployment.last_push().number >= 9

    def finish(push: Any) -> Any:
        return ask("POST", "/api/deploy2/finish_push", {"startPush": push, "dryRun": True})

    assert [finish(each).status for each in started] == [400] + [200] * 8
    answer = finish(started[0])
    assert answer.body == {
        "code": "RaceDetected",
        "message": "Schema was overwritten by another push, or by a reset.",
    }


def test_each_push_is_counted_and_told_from_the_one_before(
    push: PushFiles, deployment: EmbeddedDeployment
) -> None:
    number = deployment.last_push().number
    push({"a": FIRST, "schema": schema("a: v.any()", "by_id")}, status=400)
    refused = deployment.last_push()
    assert (refused.number, refused.status, refused.phase) == (number + 1, "refused", "schema")
    assert (refused.table, refused.position is None) == ("t", False)
    push({"a": FIRST})
    accepted = deployment.last_push()
    assert (accepted.number, accepted.status, accepted.phase) == (number + 2, "accepted", None)
    assert (accepted.code, accepted.message, accepted.table, accepted.position) == (None,) * 4
