"""Functions of components, called from outside."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, MakeProject, PushProject
from tests.deployment.sync_socket import SyncSocket
from tests.patience import HANG_SECONDS

FILES = {
    "convex/convex.config.ts": (
        'import { defineApp } from "convex/server";\nimport mine from "./mine/convex.config";\n'
        'const app = defineApp();\napp.use(mine, { name: "yours" });\nexport default app;\n'
    ),
    "convex/mine/convex.config.ts": (
        'import { defineComponent } from "convex/server";\n'
        'export default defineComponent("mine");\n'
    ),
    "convex/mine/a.ts": (
        'import { mutationGeneric, queryGeneric } from "convex/server";\n'
        "export const list = queryGeneric({ args: {}, handler: async (ctx) =>\n"
        '  (await ctx.db.query("rows").collect()).map((row) => row.n) });\n'
        "export const add = mutationGeneric({ args: {}, handler: async (ctx) => {\n"
        '  await ctx.db.insert("rows", { n: 7 }); } });\n'
        "export const page = queryGeneric({ args: {}, handler: async (ctx) =>\n"
        '  await ctx.db.query("rows").paginate({ numItems: 1, cursor: null }) });\n'
    ),
}


def test_only_admins_call_a_components_public_functions(
    node: Path,
    make_project: MakeProject,
    push_project: PushProject,
    ask: Ask,
    deployment: EmbeddedDeployment,
    compile_cache: Path,
) -> None:
    project = make_project(FILES)
    result = push_project(project)
    assert result.findings == (), result.output

    body = {"path": "a:add", "args": {}, "componentPath": "yours"}
    nobody = Client(deployment.url, "").send("POST", "/api/mutation", {}, json.dumps(body).encode())
    refused = json.loads(nobody.body)
    assert refused["status"] == "error"
    assert refused["errorMessage"].endswith("Could not find public function for 'a:add'.\n")
    assert ask("POST", "/api/mutation", body).body["status"] == "success"

    with SyncSocket(deployment.url) as sync:
        call = {"type": "Mutation", "udfPath": "a:add", "args": [{}], "componentPath": "yours"}
        sync.send({**call, "requestId": 0})
        assert sync.receive()["result"].endswith("Could not find public function for 'a:add'.\n")
        sync.receive()
        key = {"tokenType": "Admin", "value": deployment.admin_key}
        sync.send({"type": "Authenticate", "baseVersion": 0, **key}, {**call, "requestId": 1})
        sync.receive()
        assert sync.receive()["success"]

    cli = project / "node_modules/convex/bin/main.js"
    target = ("--url", deployment.url, "--admin-key", deployment.admin_key)

    def run(*args: str) -> processes.Completed:
        variables = {"CI": "1", "NODE_COMPILE_CACHE": str(compile_cache)}
        return processes.run(
            [node, cli, "run", *args, *target],
            cwd=project,
            env=processes.environment(home=project, path=[node.parent], **variables),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )

    listed = run("--component", "yours", "a:list")
    assert listed.ok, listed.stderr
    assert json.loads(listed.stdout) == [7, 7]
    paged = run("--component", "yours", "a:page")
    assert paged.returncode == 1
    assert "paginate() is only supported in the app." in paged.stderr
    other = run("--component", "nobodys", "a:list")
    assert other.returncode == 1
    assert run("a:list").returncode == 1, "the app has no such function"
