"""The official CLI's commands: of the oldest version that is supported, the newest, and some."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import NEWEST, Ask, Bundle, MakeProject, OfVersion, PushProject
from tests.patience import HANG_SECONDS

VERSIONS = ["1.28.2", *(["1.31.2", "1.41.0"] if "CI" in os.environ else []), NEWEST]
"""Those between the oldest and the newest speak as one of them does: they push, and their
functions run, in tests of their own."""
FILES = {
    "convex/schema.ts": """
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  rows: defineTable({ n: v.number(), text: v.optional(v.string()) }).index("by_n", ["n"]),
});
""",
    "convex/lib/app.ts": """
import { action, internalMutation, query } from "../_generated/server";
import { internal } from "../_generated/api";
import { v } from "convex/values";
export const list = query({ args: { from: v.optional(v.number()) }, returns: v.array(v.number()),
  handler: async (ctx, { from }) => (await ctx.db.query("rows")
    .withIndex("by_n", (q) => q.gte("n", from ?? 0)).collect()).map(({ n }) => n) });
export const add = internalMutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  await ctx.db.insert("rows", { n, text: process.env.NAME });
  return n;
} });
export const twice = action({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  await ctx.runMutation(internal.lib.app.add, { n });
  console.log("half of it");
  await ctx.runMutation(internal.lib.app.add, { n: n + 1 });
  return { done: n };
} });
export const boom = query({ args: {}, handler: async () => { throw new Error("boom"); } });
""",
}


class Cli(Protocol):
    def __call__(self, project: Path, *args: str) -> processes.Completed: ...


@pytest.fixture
def cli(node: Path, deployment: EmbeddedDeployment, compile_cache: Path) -> Cli:
    """Runs a command of the CLI that a project has, against the deployment."""

    def run(project: Path, *args: str) -> processes.Completed:
        target = ("--url", deployment.url, "--admin-key", deployment.admin_key)
        variables = {"CI": "1", "NO_COLOR": "1", "NODE_COMPILE_CACHE": str(compile_cache)}
        return processes.run(
            [node, project / "node_modules/convex/bin/main.js", *args, *target],
            cwd=project,
            env=processes.environment(home=project, path=[node.parent], **variables),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )

    return run


def printed(done: processes.Completed) -> str:
    """What a command that succeeds prints."""
    assert done.ok, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_commands_of_each_version_do_what_they_say(
    version: str,
    make_project: MakeProject,
    cli: Cli,
    deployment: EmbeddedDeployment,
) -> None:
    project = make_project(FILES, version=version)
    paths = ["lib/app:list", "lib/app:add", "lib/app:twice", "lib/app:boom"]

    generated = project / "convex" / "_generated"
    (generated / "server.js").unlink()
    (generated / "api.d.ts").write_text("// Of something else\n")
    printed(cli(project, "codegen", "--typecheck", "disable"))
    assert deployment.deployed().files == (), "codegen pushes nothing"
    assert "export const internalMutation = " in (generated / "server.js").read_text()
    assert 'import type * as lib_app from "../lib/app.js";' in (generated / "api.d.ts").read_text()

    quiet = ("--typecheck", "disable", "--codegen", "disable")
    dry = cli(project, "deploy", "--dry-run", *quiet)
    assert dry.ok, dry.stdout + dry.stderr
    assert deployment.deployed().files == (), "a dry run pushes nothing"

    done = cli(project, "deploy", *quiet)
    assert done.ok, done.stdout + done.stderr
    assert [each.path for each in deployment.deployed().functions] == paths
    assert deployment.last_push().status == "accepted"
    assert "rows.by_n" in done.stdout + done.stderr, "new indexes are told"

    printed(cli(project, "env", "set", "NAME", "some value"))
    assert printed(cli(project, "env", "get", "NAME")).strip() == "some value"
    assert "NAME=some value" in printed(cli(project, "env", "list"))

    assert json.loads(printed(cli(project, "run", "lib/app:add", '{"n": 7}'))) == 7, "internal"
    acted = cli(project, "run", "lib/app:twice", '{"n": 8}')
    assert json.loads(printed(acted)) == {"done": 8}
    assert "half of it" in acted.stderr
    assert json.loads(printed(cli(project, "run", "lib/app:list", '{"from": 8}'))) == [8, 9]
    failed = cli(project, "run", "lib/app:boom")
    assert failed.returncode == 1
    assert "Uncaught Error: boom" in failed.stderr
    missing = cli(project, "run", "lib/app:nothing")
    assert missing.returncode == 1
    assert "lib/app:twice" in missing.stderr, "it lists the functions that are there"

    assert printed(cli(project, "data")).split() == ["rows"]
    shown = printed(cli(project, "data", "rows", "--order", "asc")).splitlines()
    assert ["some value" in line for line in shown[-3:]] == [True] * 3
    assert [number in line for number, line in zip("789", shown[-3:], strict=True)] == [True] * 3

    spec = json.loads(printed(cli(project, "function-spec")))
    assert spec["url"] == deployment.url
    assert [each["identifier"] for each in spec["functions"]] == [
        path.replace(":", ".js:") for path in paths
    ]
    assert spec["functions"][0] == {
        "identifier": "lib/app.js:list",
        "functionType": "Query",
        "visibility": {"kind": "public"},
        "args": {
            "type": "object",
            "value": {"from": {"fieldType": {"type": "number"}, "optional": True}},
        },
        "returns": {"type": "array", "value": {"type": "number"}},
    }

    printed(cli(project, "env", "remove", "NAME"))
    assert printed(cli(project, "env", "list")).strip() in ("", "No environment variables set.")
    (project / "convex" / "schema.ts").write_text(
        FILES["convex/schema.ts"].replace("n: v.number()", "n: v.string()")
    )
    refused = cli(project, "deploy", *quiet)
    assert refused.returncode == 1
    assert "Schema validation failed." in refused.stderr
    assert len(deployment.documents("rows")) == 3


CONFIG = """
import { defineApp } from "convex/server";
export default defineApp();
"""


@pytest.mark.parametrize("more", [{}, {"convex/convex.config.ts": CONFIG}], ids=["plain", "app"])
def test_a_cli_that_is_too_old_is_told_so(
    more: dict[str, str],
    make_project: MakeProject,
    push_project: PushProject,
    convex_node_modules: OfVersion,
    cli: Cli,
    deployment: EmbeddedDeployment,
) -> None:
    project = make_project({**FILES, **more}, modules=convex_node_modules("1.27.5"))
    text = (
        "This deployment takes pushes from version 1.28.0 of the `convex` package and newer. "
        "Update it in package.json."
    )
    result = push_project(project)
    assert [finding.code for finding in result.findings] == ["deploy/cli"]
    assert f"UnsupportedConvexVersion: {text}" in result.findings[0].message
    done = cli(project, "deploy", "--typecheck", "disable", "--codegen", "disable")
    assert done.returncode == 1
    assert text in done.stderr
    assert deployment.deployed().files == ()


def test_only_the_clis_version_decides(ask: Ask, bundle: Bundle) -> None:
    request = bundle(FILES)
    for client, status in {
        "npm-cli-1.27.5": 400,
        "npm-cli-0.19.1": 400,
        "npm-cli-1.28.0": 200,
        "npm-cli-1.28.0-alpha.1": 200,
        "npm-cli-2.0.0": 200,
        "something-1.0.0": 200,
    }.items():
        answer = ask("POST", "/api/deploy2/start_push", request, headers={"Convex-Client": client})
        assert answer.status == status, client
        if status != 200:
            assert answer.body["code"] == "UnsupportedConvexVersion"
