"""What the CLI, the dashboard and tools ask: system functions, queries that come with code."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import JsonValue

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, MakeProject, PushOnce, PushProject
from tests.patience import HANG_SECONDS

APP = """
import { internalMutation, mutation, query } from "./_generated/server";
import { internal } from "./_generated/api";
import { v } from "convex/values";
export const list = query({ args: { tag: v.optional(v.string()) }, returns: v.array(v.any()),
  handler: async (ctx) => await ctx.db.query("notes").collect() });
export const add = internalMutation({ args: { n: v.number() },
  handler: async (ctx, { n }) =>
    await ctx.db.insert("notes", { n, text: `note ${n}`, tag: "a" }) });
export const later = mutation({ args: {}, handler: async (ctx) => {
  await ctx.scheduler.runAfter(3_600_000, internal.app.add, { n: 9 });
  await ctx.scheduler.runAfter(1_800_000, internal.app.add, { n: 8 });
} });
export const upload = mutation({ args: {}, handler: (ctx) => ctx.storage.generateUploadUrl() });
"""
SCHEMA = """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  notes: defineTable({ n: v.any(), text: v.string(), tag: v.string() }).index("by_n", ["n"])
    .searchIndex("by_text", { searchField: "text", filterFields: ["tag"] }),
});
"""
CRONS = """
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
crons.hourly("hourly", { minuteUTC: 5 }, internal.app.add, { n: 1 });
export default crons;
"""
AUTH = 'export default { providers: [{ domain: "https://i.example.com", applicationID: "app" }] };'
FILES = {
    "convex/app.ts": APP,
    "convex/schema.ts": SCHEMA,
    "convex/crons.ts": CRONS,
    "convex/auth.config.ts": AUTH,
}
NOTES: list[dict[str, JsonValue]] = [{"n": n, "text": f"note {n}", "tag": "a"} for n in range(5)]


class Call(Protocol):
    def __call__(self, function: str, kind: str = "query", /, **args: Any) -> Any: ...


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once(FILES)


@pytest.fixture
def system(live: EmbeddedDeployment, ask_once: Ask) -> Call:
    """Calls a system function as an admin; gives its result, which must be there."""

    def call(function: str, kind: str = "query", /, **args: Any) -> Any:
        body = {"path": f"_system/{function}", "args": [args]}
        answer = ask_once("POST", f"/api/{kind}", body)
        assert answer.body.get("status") == "success", answer.body
        return answer.body["value"]

    return call


def pages(call: Call, path: str, size: int, **args: Any) -> list[list[Any]]:
    """What a paginated query gives, page by page."""
    found, cursor = [], None
    while True:
        result = call(path, paginationOpts={"numItems": size, "cursor": cursor}, **args)
        found.append(result["page"])
        if result["isDone"]:
            return found
        cursor = result["continueCursor"]


def test_many_documents_are_added_and_cleared_in_parts(
    live: EmbeddedDeployment, system: Call
) -> None:
    mutation, rows = "mutation", [{"n": n} for n in range(4097)]
    refused = system("frontend/addDocument", mutation, table="many", documents=rows)
    assert refused == {
        "success": False,
        "error": "At most 4096 documents can be added at once.",
    }
    assert live.documents("many") == []
    for some in (rows[:4096], rows[4096:]):
        added = system("frontend/addDocument", mutation, table="many", documents=some)
        assert added == {"success": True}

    def clear(cursor: str | None) -> tuple[int, bool, str]:
        page = system("frontend/clearTablePage", mutation, tableName="many", cursor=cursor)
        return page["deleted"], page["hasMore"], page["continueCursor"]

    deleted, more, cursor = clear(None)
    assert (deleted, more) == (4000, True)
    assert [row["n"] for row in live.documents("many")] == list(range(4000, 4097)), (
        "the oldest first"
    )
    assert clear(cursor)[:2] == (97, False)
    assert clear(None)[:2] == (0, False)


def test_documents_are_read_and_changed(live: EmbeddedDeployment, system: Call) -> None:
    mutation = "mutation"
    added = system("frontend/addDocument", mutation, table="notes", documents=NOTES)
    assert added == {"success": True}
    scan = system("frontend/listTableScan", table="notes", limit=3)
    assert [row["n"] for row in scan] == [4, 3, 2]
    ids = [row["_id"] for row in scan]
    assert system("frontend/getById", id=ids[0])["n"] == 4
    listed = system("frontend/listById", ids=[{"id": id, "tableName": "notes"} for id in ids])
    assert [row["n"] for row in listed] == [4, 3, 2]
    document = {"n": "new", "text": "new", "tag": "b"}
    system("frontend/replaceDocument", mutation, id=ids[0], document=document)
    system(
        "frontend/patchDocumentsFields", mutation, table="notes", ids=ids[:2], fields={"tag": "c"}
    )
    system("frontend/deleteDocuments", mutation, toDelete=[{"id": ids[2], "tableName": "notes"}])
    assert [(row["n"], row["tag"]) for row in live.documents("notes")] == [
        *((0, "a"), (1, "a"), (3, "c"), ("new", "c"))
    ]
    assert system("frontend/listById", ids=[{"id": ids[2], "tableName": "notes"}]) == [None]
    system("frontend/patchDocumentsFields", mutation, table="notes", fields={"tag": "all"})
    assert {row["tag"] for row in live.documents("notes")} == {"all"}
    cleared = system("frontend/clearTablePage", mutation, tableName="notes", cursor=None)
    assert (cleared["deleted"], cleared["hasMore"]) == (4, False)
    assert live.documents("notes") == []


def test_a_table_is_read_in_pages(live: EmbeddedDeployment, system: Call) -> None:
    live.insert("notes", NOTES)
    found = pages(system, "frontend/paginatedTableDocuments", 2, table="notes", filters=None)
    assert [[row["n"] for row in page] for page in found] == [[4, 3], [2, 1], [0]]
    found = pages(system, "cli/tableData", 3, table="notes", order="asc")
    assert [[row["n"] for row in page] for page in found] == [[0, 1, 2], [3, 4]]


def test_tables_are_named_and_counted(live: EmbeddedDeployment, system: Call) -> None:
    assert system("frontend/createTable", "mutation", table="drafts") is None
    live.insert("notes", NOTES)
    live.insert("drafts", [{}])
    assert system("frontend/tableSize", tableName="notes") == 5
    assert system("cli/tableSize:default", tableName="notes") == 5
    assert system("frontend/tableSize", tableName="none") == 0
    assert system("frontend/tableSize:sizeOfAllTables") == 6
    tables = system("cli/tables", paginationOpts={"numItems": 10, "cursor": None})
    assert (tables["page"], tables["isDone"]) == ([{"name": "notes"}, {"name": "drafts"}], True)
    mapping = system("frontend/getTableMapping")
    assert {"notes", "drafts", "_storage", "_scheduled_functions"} <= set(mapping.values())
    assert mapping["10001"] == "notes"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("_own", "_own is a reserved table name."),
        ("a-b", 'Invalid table name: "a-b".'),
        ("", 'Invalid table name: "".'),
    ],
)
def test_a_table_needs_a_name_of_its_own(live: EmbeddedDeployment, name: str, said: str) -> None:
    made = live.mutation("_system/frontend/createTable", {"table": name}, admin=True)
    assert said in str(made.error)


def test_watching_a_table_sees_each_change(live: EmbeddedDeployment, system: Call) -> None:
    seen = [system("cli/queryTable", tableName="notes")]
    for note in NOTES[:2]:
        live.insert("notes", [note])
        seen.append(system("cli/queryTable", tableName="notes"))
    assert len(set(seen)) == 3


def test_the_schema_and_its_indexes_are_told(system: Call) -> None:
    active = json.loads(system("frontend/getSchemas")["active"])
    (table,) = active["tables"]
    assert table["tableName"] == "notes"
    assert table["indexes"] == [{"indexDescriptor": "by_n", "fields": ["n", "_creationTime"]}]
    kinds = {"stagedDbIndexes", "searchIndexes", "stagedSearchIndexes", "vectorIndexes"}
    assert {*kinds, "stagedVectorIndexes", "documentType"} <= set(table)
    assert active["schemaValidation"] is True
    assert system("frontend/getSchemas:schemaValidationProgress") is None
    database, search = system("frontend/indexes", tableName="notes", tableNamespace=None)
    assert (database["name"], database["fields"]) == ("by_n", ["n", "_creationTime"])
    assert (database["staged"], database["backfill"]) == (False, {"state": "done"})
    assert search["name"] == "by_text"
    assert search["fields"] == {"searchField": "text", "filterFields": ["tag"]}
    assert system("frontend/indexes", tableName="none", tableNamespace=None) == []


def test_functions_are_told(system: Call) -> None:
    spec = {each["identifier"]: each for each in system("cli/modules:apiSpec")}
    assert list(spec) == ["app.js:list", "app.js:add", "app.js:later", "app.js:upload"]
    assert spec["app.js:list"]["functionType"] == "Query"
    assert spec["app.js:add"]["visibility"] == {"kind": "internal"}
    assert spec["app.js:add"]["args"]["value"]["n"]["fieldType"] == {"type": "number"}
    assert spec["app.js:later"]["returns"] == {"type": "any"}
    modules = dict(system("frontend/modules:list"))
    functions = modules["app.js"]["functions"]
    assert [each["name"] for each in functions] == ["list", "add", "later", "upload"]
    assert json.loads(functions[0]["args"])["type"] == "object"
    ((component, listed),) = system("frontend/modules:listForAllComponents")
    assert (component, dict(listed)) == (None, modules)
    validator = system("frontend/modules:argsValidator", path="app.js:add", componentId=None)
    assert json.loads(validator)["value"]["n"]["fieldType"] == {"type": "number"}
    assert system("frontend/modules:argsValidator", path="app.js:none") is None


def test_cron_jobs_are_told(system: Call) -> None:
    (job,) = system("frontend/listCronJobs")
    assert (job["name"], job["lastRun"]) == ("hourly", None)
    spec = job["cronSpec"]
    assert spec["udfPath"] == "app.js:add"
    assert json.loads(base64.b64decode(spec["udfArgs"]["$bytes"])) == [{"n": 1}]
    minute = spec["cronSchedule"]["minuteUTC"]
    assert int.from_bytes(base64.b64decode(minute["$integer"]), "little") == 5
    assert spec["cronSchedule"]["type"] == "hourly"
    assert set(job["nextRun"]) == {"cronJobId", "state", "prevTs", "nextTs"}
    assert system("frontend/listCronJobRuns") == []


def test_scheduled_functions_are_told(live: EmbeddedDeployment, system: Call) -> None:
    assert live.mutation("app:later").error is None
    found = pages(system, "frontend/paginatedScheduledJobs", 1)
    assert [[job["args"] for job in page] for page in found] == [[[{"n": 8}]], [[{"n": 9}]]]
    (job,) = found[0]
    assert (job["name"], job["state"]) == ("app.js:add", {"kind": "pending"})
    assert system("frontend/scheduler:getArgs", id=job["_id"]) == [{"n": 8}]
    live.advance(7200)
    assert pages(system, "frontend/paginatedScheduledJobs", 5) == [[]]


def test_files_are_told(live: EmbeddedDeployment, system: Call) -> None:
    for text in (b"one", b"three"):
        url = str(live.mutation("app:upload").value)
        assert live.fetch("POST", url, {"Content-Type": "text/plain"}, text).status == 200
    assert system("frontend/fileStorageV2:numFiles") == 2
    newest, oldest = chain(*pages(system, "frontend/fileStorageV2:fileMetadata", 1))
    assert [(each["size"], each["contentType"]) for each in (newest, oldest)] == [
        *((5, "text/plain"), (3, "text/plain"))
    ]
    assert live.fetch("GET", newest["url"]).body == b"three"
    assert system("frontend/fileStorageV2:getFile", storageId=oldest["_id"]) == oldest
    assert system("frontend/fileStorageV2:getFile", storageId="none") is None


def test_environment_variables_are_told(live: EmbeddedDeployment, system: Call) -> None:
    live.set_environment({"NAME": "value"})
    for path in ("cli/queryEnvironmentVariables", "frontend/listEnvironmentVariables"):
        (variable,) = system(path)
        assert set(variable) == {"_id", "_creationTime", "name", "value"}
        assert (variable["name"], variable["value"]) == ("NAME", "value")
    get = "cli/queryEnvironmentVariables:get"
    assert system(get, name="NAME") == {"name": "NAME", "value": "value"}
    assert system(get, name="NONE") is None
    # CLIs around 1.31.7 ask for these before they push.
    for name, value in (("CONVEX_CLOUD_URL", live.url), ("CONVEX_SITE_URL", live.site_url)):
        assert system(get, name=name) == {"name": name, "value": value}
    live.set_environment({"NAME": None})


def test_the_deployment_tells_of_itself(live: EmbeddedDeployment, system: Call) -> None:
    assert system("frontend/deploymentState:deploymentState") == {"state": "running"}
    assert system("frontend/backendState:backendState") == {"state": "running"}
    for path in ("frontend/convexCloudUrl", "cli/convexUrl:cloudUrl"):
        assert system(path) == live.url
    for path in ("frontend/convexSiteUrl", "cli/convexUrl:siteUrl"):
        assert system(path) == live.site_url
    assert system("frontend/getVersion") == "1.48.0"
    assert system("frontend/node:version").startswith("24.")
    assert system("frontend/listAuthProviders") == [
        {"applicationID": "app", "domain": "https://i.example.com"}
    ]
    assert system("frontend/deploymentEvents:lastPushEvent") is None
    assert system("frontend/listDeploymentEventsFromTime") == []
    assert pages(system, "frontend/paginatedDeploymentEvents", 5) == [[]]
    assert system("frontend/listConfiguredSinks") == []
    assert system("frontend/snapshotImport:list") == []
    assert system("cli/queryImport:list") == []
    assert system("cli/queryImport", importId="none") is None
    assert system("cli/exports:getLatest") is None
    (root,) = system("frontend/components:list")
    assert (root["id"], root["path"], root["state"], root["httpPrefix"]) == ("", "", "active", None)


def test_only_admins_may(live: EmbeddedDeployment, ask_once: Ask) -> None:
    client = Client(live.url, live.admin_key)
    body = json.dumps({"path": "_system/cli/tables", "args": {}}).encode()
    answer = json.loads(client.send("POST", "/api/query", {}, body).body)
    assert "Could not find public function for '_system/cli/tables" in answer["errorMessage"]
    for path in ("_system/cli/none", "_system/constructor"):
        answer = ask_once("POST", "/api/query", {"path": path, "args": {}}).body
        assert f"Could not find public function for '{path}'." in answer["errorMessage"]


CONFIG = """
import { defineApp } from "convex/server";
import rateLimiter from "@convex-dev/rate-limiter/convex.config.js";
const app = defineApp();
app.use(rateLimiter);
export default app;
"""


def test_components_have_tables_of_their_own(
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
    ask: Ask,
) -> None:
    pushed = push_project(make_project({"convex/convex.config.ts": CONFIG}))
    assert [each for each in pushed.findings if each.severity == "error"] == []

    def call(path: str, args: dict[str, Any], component: str | None = None) -> Any:
        body = {"path": f"_system/{path}", "args": [args], "componentPath": component}
        return ask("POST", "/api/query", body).body["value"]

    options = {"paginationOpts": {"numItems": 10, "cursor": None}}
    assert call("cli/tables", options)["page"] == []
    own = [{"name": "pendingUpdates"}, {"name": "rateLimits"}]
    assert call("cli/tables", options, "rateLimiter")["page"] == own
    root, component, *inner = call("frontend/components:list", {})
    assert (root["path"], component["path"]) == ("", "rateLimiter")
    assert component["name"] == "rateLimiter"
    assert all(each["path"].startswith("rateLimiter/") for each in inner)
    args = {**options, "componentId": component["id"]}
    assert call("cli/tables", args)["page"] == own
    listed = call("frontend/modules:listForAllComponents", {})
    assert [path for path, _ in listed][:2] == [None, component["id"]]
    bundle = {"path": "testQuery.js", "source": WRAPPERS + COUNT}
    body = {"args": {}, "bundle": bundle, "componentId": component["id"]}
    assert ask("POST", "/api/run_test_function", body).body["value"] == [0, "rateLimits"]


# ---- Queries that come with their code ----------------------------------------------------------

WRAPPERS = 'import { query, internalQuery } from "convex:/_system/repl/wrappers.js";\n'

COUNT = """export default query(async (ctx) => {
  const rows = await ctx.db.query("rateLimits").withIndex("name").collect();
  return [rows.length, "rateLimits"];
});"""


class OneOff(Protocol):
    def __call__(self, text: str, **more: Any) -> Any: ...


@pytest.fixture
def one_off(live: EmbeddedDeployment, ask_once: Ask) -> OneOff:
    """Runs the body of a query; gives the whole answer."""

    def run(text: str, **more: Any) -> Any:
        source = (
            f"{WRAPPERS}export default query({{ handler: async (ctx, args) => {{ {text} }} }});"
        )
        bundle = {"path": "testQuery.js", "source": source}
        body = {"adminKey": live.admin_key, "args": {}, "bundle": bundle, **more}
        answer = ask_once("POST", "/api/run_test_function", body)
        assert answer.status == 200, answer.body
        return answer.body

    return run


ONE_OFFS: Mapping[str, object] = {
    "return (await ctx.db.query('notes').collect()).map((row) => row.n)": [0, 1, 2, 3, 4],
    "return (await ctx.db.query('notes').order('desc').take(2)).map((row) => row.n)": [4, 3],
    """return (await ctx.db.query('notes').withIndex('by_n', (q) => q.gt('n', 0).lte('n', 2))
       .collect()).map((row) => row.n)""": [1, 2],
    """return (await ctx.db.query('notes').filter((q) => q.or(q.eq(q.field('n'), 1),
       q.gt(q.add(q.field('n'), 1), 4))).collect()).map((row) => row.n)""": [1, 4],
    """return (await ctx.db.query('notes').withSearchIndex('by_text', (q) =>
       q.search('text', '3').eq('tag', 'a')).first()).n""": 3,
    "return (await ctx.db.query('notes').withIndex('by_n', (q) => q.eq('n', 2)).unique()).text": (
        "note 2"
    ),
    "return await ctx.db.query('notes').withIndex('by_n', (q) => q.eq('n', 9)).unique()": None,
    """const row = await ctx.db.query('notes').first();
       return [(await ctx.db.get(row._id)).n, (await ctx.db.get('notes', row._id)).n,
               ctx.db.normalizeId('notes', row._id) === row._id, ctx.db.normalizeId('notes', 'x')]
    """: [0, 0, True, None],
    """const found = []; let cursor = null;
       const { page, isDone, continueCursor } =
         await ctx.db.query('notes').paginate({ numItems: 3, cursor });
       return [page.length, isDone, typeof continueCursor]""": [3, False, "string"],
    "return (await ctx.runQuery('app:list', {})).length": 5,
    "return await ctx.auth.getUserIdentity()": None,
    "return (await ctx.db.system.query('_storage').collect()).length": 0,
    "return [7n, -0, new Uint8Array([1, 2]).buffer, args]": [
        {"$integer": "BwAAAAAAAAA="},
        {"$float": "AAAAAAAAAIA="},
        {"$bytes": "AQI="},
        {},
    ],
    "return": None,
}


@pytest.mark.parametrize("text", ONE_OFFS)
def test_a_query_comes_with_its_code(live: EmbeddedDeployment, one_off: OneOff, text: str) -> None:
    live.insert("notes", NOTES)
    answer = one_off(text)
    assert answer.get("value") == ONE_OFFS[text], answer
    assert answer["status"] == "success"


def test_a_query_with_its_code_logs_fails_and_can_not_write(
    live: EmbeddedDeployment, one_off: OneOff, ask_once: Ask
) -> None:
    assert one_off("console.log('seen', 1)")["logLines"] == ["[LOG] 'seen' 1"]
    failed = one_off("throw new Error('no')")
    assert failed["status"] == "error"
    assert "Uncaught Error: no\n    at " in failed["errorMessage"]
    assert "is not a function" in one_off("await ctx.db.insert('notes', {})")["errorMessage"]
    hidden = "await Convex.asyncSyscall('1.0/insert', JSON.stringify({ table: 'x', value: {} }))"
    assert "Only mutations can write" in one_off(hidden)["errorMessage"]
    assert "Can't use fetch()" in one_off("await fetch('https://example.com')")["errorMessage"]
    assert "timed out" in one_off("for (;;) {}")["errorMessage"]
    assert one_off("return ctx.db.query('x').collect()", componentId="none")["status"] == "error"
    bundle = {"path": "testQuery.js", "source": "export default 1;"}
    body = {"adminKey": live.admin_key, "args": {}, "bundle": bundle}
    answer = ask_once("POST", "/api/run_test_function", body).body
    assert "testQuery.js must have a default export of a query" in answer["errorMessage"]
    assert ask_once("POST", "/api/run_test_function", body, key="wrong").status == 403


def test_the_key_of_a_query_with_its_code_may_stand_in_the_body(live: EmbeddedDeployment) -> None:
    bundle = {"path": "testQuery.js", "source": WRAPPERS + "export default query(() => 1);"}
    for key, status in ((live.admin_key, 200), ("wrong", 403)):
        body = json.dumps({"adminKey": key, "args": {}, "bundle": bundle}).encode()
        answer = Client(live.url, "").send("POST", "/api/run_test_function", {}, body)
        assert answer.status == status, answer.body


def test_the_cli_runs_queries_that_are_written_on_its_command_line(
    node: Path,
    make_project: MakeProject,
    live: EmbeddedDeployment,
    compile_cache: Path,
) -> None:
    live.insert("notes", NOTES)
    project = make_project({}, name="caller")
    cli = project / "node_modules" / "convex" / "bin" / "main.js"
    query = "(await ctx.db.query('notes').take(2)).map((row) => row.text)"
    target = ["--url", live.url, "--admin-key", live.admin_key]
    done = processes.run(
        [node, cli, "run", "--inline-query", query, *target],
        cwd=project,
        env=processes.environment(
            home=live.scratch,
            path=[node.parent],
            CI="1",
            NODE_COMPILE_CACHE=str(compile_cache),
        ),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stdout + done.stderr
    assert json.loads(done.stdout) == ["note 0", "note 1"]
