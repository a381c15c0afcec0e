"""Schema changes over documents that are there, or come while the push is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import psutil
import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Answer, Ask, Bundle, MakeProject, PushProject
from tests.patience import HANG_SECONDS, until


def schema(fields: str) -> str:
    return (
        'import { defineSchema, defineTable } from "convex/server";\n'
        'import { v } from "convex/values";\n'
        f"export default defineSchema({{ t: defineTable({{ {fields} }}) }});\n"
    )


NUMBERS, STRINGS = schema("a: v.number()"), schema("a: v.string()")
WRITERS = """
import { mutation } from "./_generated/server";
export const add = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("t", { a: 1 });
} });
export const addAndFail = mutation({ args: {}, handler: async (ctx) => {
  await ctx.db.insert("t", { a: 1 });
  await ctx.db.query("t").collect();
  let sum = 0;
  for (let i = 0; i < 1e9; i++) sum += i;
  throw new Error(`late ${sum}`);
} });
"""


Start: TypeAlias = Callable[[str, str], Any]
Wait: TypeAlias = Callable[[Any], Any]


class Finish(Protocol):
    def __call__(self, started: Any, *, dry: bool = False) -> Answer: ...


@pytest.fixture
def start(bundle: Bundle, ask: Ask) -> Start:
    """A push of the writers with a schema, that is not finished."""

    def run(schema: str, name: str) -> Any:
        request = bundle({"convex/a.ts": WRITERS, "convex/schema.ts": schema}, name=name)
        started = ask("POST", "/api/deploy2/start_push", request)
        assert started.status == 200, started.body
        return started.body

    return run


@pytest.fixture
def wait(ask: Ask) -> Wait:
    def run(started: Any) -> Any:
        body = {"schemaChange": started["schemaChange"], "timeoutMs": 60_000, "dryRun": False}
        return ask("POST", "/api/deploy2/wait_for_schema", body).body

    return run


@pytest.fixture
def finish(ask: Ask) -> Finish:
    def run(started: Any, *, dry: bool = False) -> Answer:
        return ask("POST", "/api/deploy2/finish_push", {"startPush": started, "dryRun": dry})

    return run


def test_a_schema_must_allow_the_documents_that_are_there(
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    project = make_project({"convex/schema.ts": NUMBERS})
    push_project(project)
    (row,) = deployment.insert("t", [{"a": 1}])
    (project / "convex/schema.ts").write_text(STRINGS)
    (finding,) = push_project(project).findings
    assert finding.code == "deploy/SchemaValidationFailed"
    assert finding.message == (
        "Schema validation failed.\n"
        f'Document with ID "{row}" in table "t" does not match the schema: Value does not match '
        "validator.\nPath: .a\nValue: 1.0\nValidator: v.string()"
    )
    assert deployment.insert("t", [{"a": 2}]), "the old schema is live"
    (project / "convex/schema.ts").write_text(schema("a: v.number(), b: v.optional(v.null())"))
    assert push_project(project).findings == ()
    assert len(deployment.documents("t")) == 2, "a push keeps documents"


COMPONENT = {
    "convex/convex.config.ts": (
        'import { defineApp } from "convex/server";\nimport mine from "./mine/convex.config";\n'
        'const app = defineApp();\napp.use(mine, { name: "yours" });\nexport default app;\n'
    ),
    "convex/mine/convex.config.ts": (
        'import { defineComponent } from "convex/server";\n'
        'export default defineComponent("mine");\n'
    ),
    "convex/mine/a.ts": WRITERS.replace("./_generated/server", "convex/server").replace(
        "{ mutation }", "{ mutationGeneric as mutation }"
    ),
    "convex/mine/schema.ts": NUMBERS,
}


def test_a_components_schema_must_allow_its_documents(
    make_project: MakeProject,
    push_project: PushProject,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    project = make_project(COMPONENT)
    result = push_project(project)
    assert result.findings == (), result.output
    body = {"path": "a:add", "args": {}, "componentPath": "yours"}
    assert ask("POST", "/api/function", body).body["status"] == "success"
    (project / "convex/mine/schema.ts").write_text(STRINGS)
    (finding,) = push_project(project).findings
    first, second, *_ = finding.message.splitlines()
    assert first == 'Schema validation failed in component "yours".'
    assert second.endswith(
        'in table "t" does not match the schema: Value does not match validator.'
    )
    assert deployment.documents("t") == [], "the app has no such table"


def test_a_document_that_comes_after_the_wait_keeps_the_schema_from_going_live(
    start: Start,
    wait: Wait,
    finish: Finish,
    deployment: EmbeddedDeployment,
) -> None:
    assert finish(start(NUMBERS, "first")).status == 200
    changed = start(STRINGS, "second")
    assert wait(changed) == {"type": "complete"}
    assert deployment.mutation("a:add").error is None
    (row,) = deployment.documents("t")

    for dry in (True, False):
        answer = finish(changed, dry=dry)
        assert (answer.status, answer.body["code"]) == (400, "RaceDetected")
        assert (
            f'Document with ID "{row["_id"]}" in table "t" does not match the schema'
            in answer.body["message"]
        )
    assert deployment.mutation("a:add").error is None, "the old schema is live"
    failed = wait(changed)
    assert (failed["type"], failed["tableName"], failed["componentPath"]) == ("failed", "t", "")


def test_what_is_not_committed_keeps_no_schema_from_going_live(
    start: Start,
    wait: Wait,
    finish: Finish,
    deployment: EmbeddedDeployment,
) -> None:
    assert finish(start(NUMBERS, "first")).status == 200
    changed = start(STRINGS, "second")
    Client(deployment.url, deployment.admin_key).post(
        "/api/convex_eval/time_limits",
        {"transaction": {"cpu": HANG_SECONDS, "wall": HANG_SECONDS}},
    )
    errors: list[str | None] = []
    thread = threading.Thread(
        target=lambda: errors.append(deployment.mutation("a:addAndFail").error)
    )
    server = psutil.Process(deployment.pid)
    thread.start()

    def spins() -> bool:
        try:
            # A process has started, and written its document, after a fifth of it.
            children = server.children(recursive=True)
            return any(child.cpu_times().user > 0.6 for child in children) or not thread.is_alive()
        except psutil.NoSuchProcess:
            return False

    until(spins, "the mutation")
    assert wait(changed) == {"type": "complete"}
    assert finish(changed).status == 200
    thread.join()
    assert "Uncaught Error: late" in str(errors), "the push waited for the mutation"


def test_a_push_that_another_overtook_is_told_so(
    start: Start,
    wait: Wait,
    finish: Finish,
    deployment: EmbeddedDeployment,
) -> None:
    overtaken = start(NUMBERS, "first")
    assert wait(overtaken) == {"type": "complete"}
    assert finish(start(STRINGS, "second")).status == 200
    assert wait(overtaken) == {"type": "raceDetected"}
    assert finish(overtaken).body["code"] == "RaceDetected"
    deployment.reset()
    unknown = {"schemaChange": {"schemaIds": {"": "nobody's"}}}
    assert wait(unknown) == {"type": "raceDetected"}
