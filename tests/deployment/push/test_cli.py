"""Pushing with the official CLI, and whose fault it is when that fails."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import Component, Cron, Deployed, Index, Route
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.places import Place
from tests.deployment.fixtures import NEWEST, Bundle, MakeProject, PushProject
from tests.patience import HANG_SECONDS

SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  users: defineTable({
    name: v.string(), age: v.optional(v.number()), big: v.int64(), yes: v.boolean(), raw: v.bytes(),
    nothing: v.null(), list: v.array(v.string()), kind: v.union(v.literal("a"), v.literal(1)),
    record: v.record(v.string(), v.any()),
    friend: v.id("users"), nested: v.object({ x: v.string() }),
    embedding: v.array(v.float64()),
  })
    .index("by_name_age", ["name", "age"])
    .index("later", { fields: ["age"], staged: true })
    .searchIndex("search", { searchField: "name", filterFields: ["nested.x", "age"] })
    .vectorIndex("vector", { vectorField: "embedding", dimensions: 4, filterFields: ["name"] }),
  events: defineTable(v.union(v.object({ a: v.string() }), v.object({ b: v.string() }))),
});
"""
FUNCTIONS = """\
import { internalAction, internalMutation, mutation, query } from "../_generated/server";
import { v } from "convex/values";
export const list = query({
  args: { name: v.string() },
  returns: v.array(v.string()),
  handler: async (ctx, { name }) => [name],
});
export const add = mutation({ args: {}, handler: async () => null });
export const clean = internalMutation({ args: {}, handler: async () => null });
export const work = internalAction(async () => null);
export const notOne = () => 1;
"""
HTTP = """\
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
const handler = httpAction(async () => new Response("hi"));
http.route({ path: "/hello", method: "GET", handler });
http.route({ pathPrefix: "/files/", method: "POST", handler });
export default http;
"""
CRONS = """\
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
crons.interval("clean", { hours: 1 }, internal.lib.users.clean, {});
crons.daily("work", { hourUTC: 2, minuteUTC: 30 }, internal.lib.users.work);
crons.cron("often", "*/5 * * * MON-FRI", internal.lib.users.work);
export default crons;
"""
NODE = """\
"use node";
import crypto from "crypto";
import { action } from "./_generated/server";
export const hash = action({
  args: {},
  handler: async () => crypto.createHash("sha256").digest("hex"),
});
"""
AUTH = 'export default { providers: [{ domain: process.env.ISSUER, applicationID: "convex" }] };\n'
CONFIG = """\
import { defineApp } from "convex/server";
import rateLimiter from "@convex-dev/rate-limiter/convex.config";
import aggregate from "@convex-dev/aggregate/convex.config";
const app = defineApp();
app.use(rateLimiter);
app.use(aggregate);
app.use(aggregate, { name: "second" });
export default app;
"""
EVERYTHING = {
    "convex/schema.ts": SCHEMA,
    "convex/lib/users.ts": FUNCTIONS,
    "convex/http.ts": HTTP,
    "convex/crons.ts": CRONS,
    "convex/node.ts": NODE,
    "convex/auth.config.ts": AUTH,
}
SIMPLE = {"convex/lib/users.ts": FUNCTIONS}


TICK_SECONDS = 0.1
"""What may be told later of a process that runs."""


def cpu_seconds(deployment: EmbeddedDeployment) -> float:
    """Of the deployment, and of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + deployment.cpu_seconds()


def test_a_project_with_everything_is_deployed(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    deployment.set_environment({"ISSUER": "https://a.example"})
    project = make_project({**EVERYTHING, "convex/convex.config.ts": CONFIG})
    generated = {path: path.read_bytes() for path in (project / "convex" / "_generated").iterdir()}

    before = cpu_seconds(deployment)
    result = push_project(project)

    assert result.findings == (), result.output
    # The CLI's and the deployment's own, and nothing twice.
    assert 0.1 < result.cpu_seconds <= cpu_seconds(deployment) - before + TICK_SECONDS
    deployed = deployment.deployed()
    events, users = deployed.tables
    assert (events.name, users.name) == ("events", "users")
    assert users.indexes == (
        Index("by_name_age", ("name", "age"), staged=False),
        Index("later", ("age",), staged=True),
    )
    assert users.document is not None
    fields = users.document["value"]
    assert isinstance(fields, dict)
    assert fields["age"] == {"fieldType": {"type": "number"}, "optional": True}
    (search,) = users.search_indexes
    assert (search.search_field, search.filter_fields) == ("name", ("age", "nested.x"))
    (vector,) = users.vector_indexes
    assert (vector.vector_field, vector.dimensions) == ("embedding", 4)
    functions = [(f.path, f.kind, f.visibility) for f in deployed.functions]
    assert functions == [
        ("lib/users:list", "query", "public"),
        ("lib/users:add", "mutation", "public"),
        ("lib/users:clean", "mutation", "internal"),
        ("lib/users:work", "action", "internal"),
        ("node:hash", "action", "public"),
    ]
    listed = deployed.functions[0]
    assert listed.args == {
        "type": "object",
        "value": {"name": {"fieldType": {"type": "string"}, "optional": False}},
    }
    assert listed.returns == {"type": "array", "value": {"type": "string"}}
    assert deployed.functions[1].returns is None
    assert listed.position == Place("convex/lib/users.ts", 6, 12)
    assert deployed.crons == (
        Cron("clean", "lib/users:clean", ({},), {"type": "interval", "seconds": 3600}),
        Cron("work", "lib/users:work", ({},), {"type": "daily", "hourUTC": 2, "minuteUTC": 30}),
        Cron("often", "lib/users:work", ({},), {"type": "cron", "cronExpr": "*/5 * * * MON-FRI"}),
    )
    assert deployed.routes == (Route("GET", "/hello", None), Route("POST", None, "/files/"))
    assert deployed.auth == ({"applicationID": "convex", "domain": "https://a.example"},)
    assert {Component("rateLimiter", "rateLimiter"), Component("second", "aggregate")} <= set(
        deployed.components
    )
    for path, content in generated.items():
        assert path.read_bytes() == content, "codegen was disabled"


def test_the_bundles_of_these_tests_are_the_clis(
    make_project: MakeProject, bundle: Bundle, node: Path
) -> None:
    files = {path: text for path, text in EVERYTHING.items() if "auth" not in path}
    project = make_project(files, name="official")
    cli = project / "node_modules" / "convex" / "bin" / "main.js"
    flags = ["--push-all-modules", "--codegen", "disable", "--typecheck", "disable"]
    target = ["--url", "http://127.0.0.1:9", "--admin-key", "k"]
    done = processes.run(
        [node, cli, "deploy", "--write-push-request", "request", *flags, *target],
        cwd=project,
        env=processes.environment(home=project, path=[node.parent], CI="1"),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stderr
    official = json.loads((project / "request.json").read_text())["appDefinition"]
    ours = bundle(files, name="ours")["appDefinition"]

    def shape(modules: list[dict[str, Any]]) -> set[tuple[str, str]]:
        kept = [module for module in modules if not module["path"].startswith("_deps/")]
        return {(module["path"], module["environment"]) for module in kept}

    assert shape(ours["changedModules"]) == shape(official["changedModules"])
    sources = {module["path"]: module["source"] for module in official["changedModules"]}
    for module in ours["changedModules"]:
        if module["path"] in ("crons.js", "http.js"):
            assert len(module["source"]) == len(sources[module["path"]])


@pytest.mark.parametrize("version", ["1.28.2", "1.31.2", "1.31.7", "1.41.0"])
def test_older_clis_push_the_same(
    version: str,
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    deployment.set_environment({"ISSUER": "https://a.example"})
    files = {**EVERYTHING, "convex/schema.ts": SCHEMA.replace('    .index("later", ', "    //")}
    project = make_project(files, version=version)
    assert push_project(project).findings == ()
    assert len(deployment.deployed().functions) == 5
    deployment.reset()
    broken = files["convex/schema.ts"].replace('"by_name_age"', '"by_id"')
    (project / "convex" / "schema.ts").write_text(broken)
    deployment.set_environment({"ISSUER": "https://a.example"})
    assert [f.code for f in push_project(project).findings] == ["deploy/IndexNameReserved"]


COMPONENT = {
    "convex/convex.config.ts": """
import { defineApp } from "convex/server";
import counter from "./counter/convex.config";
const app = defineApp();
app.use(counter);
app.use(counter, { name: "second" });
export default app;
""",
    "convex/counter/convex.config.ts": """
import { defineComponent } from "convex/server";
export default defineComponent("counter");
""",
    "convex/counter/lib.ts": """
import { queryGeneric } from "convex/server";
export const one = queryGeneric({ args: {}, handler: async () => 1 });
""",
    "convex/a.ts": """
import { query } from "./_generated/server";
import { components } from "./_generated/api";
export const sum = query({ args: {}, handler: async (ctx) => {
  const { counter, second } = components as any;
  return (await ctx.runQuery(counter.lib.one, {})) + (await ctx.runQuery(second.lib.one, {}));
} });
""",
}


@pytest.mark.parametrize("version", ["1.28.0", "1.31.2", "1.38.0", NEWEST])
def test_clis_of_every_age_push_apps_with_components(
    version: str,
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    project = make_project(COMPONENT, version=version)
    assert push_project(project, codegen=True).findings == ()
    assert [each.path for each in deployment.deployed().components] == ["counter", "second"]
    assert deployment.query("a:sum").value == 2


def test_a_second_push_sends_only_what_changed(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    project = make_project(SIMPLE)
    assert push_project(project).findings == ()
    (project / "convex" / "more.ts").write_text("export const x = 1;\n")
    assert push_project(project).findings == ()
    assert "more.js" in deployment.deployed().files
    assert len(deployment.deployed().functions) == 4


def test_what_the_server_refuses_is_a_finding_with_its_place(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    wrong = SCHEMA.replace('["name", "age"]', '["name", "agee" as any]')
    (finding,) = push_project(make_project({"convex/schema.ts": wrong, **SIMPLE})).findings
    assert finding.code == "deploy/SchemaDefinitionError"
    assert finding.severity == "error"
    assert finding.message == (
        'In table "users" the index "by_name_age" is invalid because it references the field '
        '"agee" that does not exist.'
    )
    assert finding.location() == "convex/schema.ts:11:12"
    assert finding.excerpt is not None
    assert finding.excerpt[11:].startswith('"by_name_age"')
    assert deployment.deployed() == Deployed()


def test_the_two_errors_that_the_cli_rewords_keep_the_servers_words(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    project = make_project({**SIMPLE, "convex/auth.config.ts": AUTH})
    result = push_project(project)
    (finding,) = result.findings
    assert finding.code == "deploy/AuthConfigMissingEnvironmentVariable"
    assert "npx convex env set" in result.output, "the CLI recognises the error"
    assert deployment.admin_key not in result.output

    config = (
        'import { defineApp } from "convex/server";\nimport { v } from "convex/values";\n'
        "export default defineApp({ env: { NEEDED: v.string(), CAN: v.optional(v.string()) } });\n"
    )
    (project / "convex" / "auth.config.ts").unlink()
    (project / "convex" / "convex.config.ts").write_text(config)
    result = push_project(project)
    (finding,) = result.findings
    assert finding.code == "deploy/MissingEnvironmentVariables"
    assert "npx convex env set" in result.output
    deployment.set_environment({"NEEDED": "x"})
    assert push_project(project).findings == ()


def test_a_component_of_the_projects_own_is_deployed(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    files = {
        **SIMPLE,
        "convex/convex.config.ts": (
            'import { defineApp } from "convex/server";\nimport mine from "./mine/convex.config";\n'
            'const app = defineApp();\napp.use(mine, { name: "yours" });\nexport default app;\n'
        ),
        "convex/mine/convex.config.ts": (
            'import { defineComponent } from "convex/server";\n'
            'export default defineComponent("mine");\n'
        ),
        "convex/mine/fns.ts": (
            'import { queryGeneric } from "convex/server";\n'
            "export const f = queryGeneric({ args: {}, handler: async () => 1 });\n"
        ),
    }
    project = make_project(files)
    result = push_project(project, codegen=True)
    assert result.findings == (), result.output
    assert deployment.deployed().components == (Component("yours", "mine"),)
    (project / "convex" / "mine" / "fns.ts").write_text('"use node";\nexport const x = 1;\n')
    (finding,) = push_project(project).findings
    assert finding.code == "deploy/cli"
    assert finding.message == (
        '"use node" directive is not supported in components. Remove it from the component at: '
        f"{project}/convex/mine."
    )


BUNDLING: Mapping[str, tuple[str, str, str]] = {
    "missing file": (
        'import { x } from "./nowhere";\nexport const y = x;\n',
        'Could not resolve "./nowhere"',
        "convex/a.ts:1:19",
    ),
    "Node builtin": (
        'import fs from "fs";\nexport const y = fs;\n',
        'Could not resolve "fs"',
        "convex/a.ts:1:16",
    ),
    "syntax, behind letters of two bytes": (
        'export const ä = "ööö" +;\n',
        'Unexpected ";"',
        "convex/a.ts:1:25",
    ),
}


@pytest.mark.parametrize(("text", "message", "at"), BUNDLING.values(), ids=BUNDLING.keys())
def test_what_can_not_be_bundled_is_a_finding_with_its_place(
    text: str, message: str, at: str, make_project: MakeProject, push_project: PushProject
) -> None:
    result = push_project(make_project({"convex/a.ts": text}))
    (finding,) = result.findings
    assert finding.code == "deploy/bundle"
    assert finding.message == message
    assert finding.location() == at
    assert finding.excerpt == text.splitlines()[0]
    advice = (
        'It looks like you are using Node APIs from a file without the "use node" directive.\n'
        "Split out actions using Node.js APIs like this into a new file only containing actions "
        'that uses "use node" so these actions will run in a Node.js environment.\n'
    )
    assert (advice in result.output) == ('"fs"' in message)


def test_a_refusal_before_the_server_is_not_blamed_on_an_earlier_push(
    make_project: MakeProject, push_project: PushProject
) -> None:
    project = make_project({"convex/a.ts": 'export const x = 1;\nthrow new Error("boom");\n'})
    assert [f.code for f in push_project(project).findings] == ["deploy/InvalidModules"]
    (project / "convex" / "a.ts").write_text("export const = 1;\n")
    assert [f.code for f in push_project(project).findings] == ["deploy/bundle"]


def test_a_project_without_functions_does_not_pass_silently(
    make_project: MakeProject, push_project: PushProject
) -> None:
    project = make_project({"convex/a.ts": '"use node"; import fs from "fs"; export { fs };\n'})
    error, warning = push_project(project).findings
    assert (error.code, error.severity) == ("deploy/nothing-deployed", "error")
    assert (warning.code, warning.path) == ("deploy/skipped-file", "convex/a.ts")


def test_a_project_without_a_convex_folder_does_not_pass_silently(
    make_project: MakeProject, push_project: PushProject
) -> None:
    project = make_project({})
    shutil.rmtree(project / "convex")
    codes = [finding.code for finding in push_project(project).findings]
    assert codes == ["deploy/nothing-deployed"]


def test_a_dead_server_is_nobodys_bad_code(
    node: Path, make_project: MakeProject, compile_cache: Path
) -> None:
    project = make_project(SIMPLE)
    cli = project / "node_modules" / "convex" / "bin" / "main.js"
    with EmbeddedDeployment(node) as deployment:
        os.kill(deployment.pid, signal.SIGKILL)
        with pytest.raises(InfrastructureError, match="does not answer"):
            push(deployment, node=node, cli=cli, project=project, deadline_seconds=HANG_SECONDS)


PUSHES_ONCE = """
const { readFileSync } = require("node:fs");
const given = (flag) => process.argv[process.argv.indexOf(flag) + 1];
const headers = { Authorization: `Convex ${given("--admin-key")}` };
const body = readFileSync("request.json");
fetch(`${given("--url")}/api/deploy2/start_push`, { method: "POST", headers, body })
  .then(() => process.exit(0), () => process.exit(1));
"""
"""The CLI itself asks a server that is gone again and again, until its deadline."""


def test_a_server_that_dies_during_the_push_is_nobodys_bad_code(
    node: Path, make_project: MakeProject, bundle: Bundle, tmp_path: Path
) -> None:
    files = {"convex/a.ts": "for (;;);\nexport {};\n"}
    project = make_project(files)
    (project / "request.json").write_text(json.dumps(bundle(files)))
    cli = tmp_path / "main.cjs"
    cli.write_text(PUSHES_ONCE)
    with EmbeddedDeployment(node) as deployment:

        def kill() -> None:
            while deployment.last_push().status == "none":
                time.sleep(0.01)
            os.kill(deployment.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(InfrastructureError, match="died during the push"):
            push(deployment, node=node, cli=cli, project=project, deadline_seconds=HANG_SECONDS)
        killer.join()


def test_a_push_past_its_deadline_is_nobodys_bad_code(
    make_project: MakeProject, push_project: PushProject, deployment: EmbeddedDeployment
) -> None:
    with pytest.raises(InfrastructureError, match=r"0\.05 s"):
        push_project(make_project(SIMPLE), deadline_seconds=0.05)
    assert deployment.alive()


def test_a_cli_that_does_not_run_is_nobodys_bad_code(
    node: Path, make_project: MakeProject, deployment: EmbeddedDeployment, tmp_path: Path
) -> None:
    project = make_project(SIMPLE)
    broken = tmp_path / "main.js"
    with pytest.raises(InfrastructureError, match="not at"):
        push(deployment, node=node, cli=broken, project=project, deadline_seconds=HANG_SECONDS)
    broken.write_text("import 'nothing';\n")
    with pytest.raises(InfrastructureError, match="does not run"):
        push(deployment, node=node, cli=broken, project=project, deadline_seconds=HANG_SECONDS)
    broken.write_text("process.exit(0);\n")
    with pytest.raises(InfrastructureError, match="reports success"):
        push(deployment, node=node, cli=broken, project=project, deadline_seconds=HANG_SECONDS)
