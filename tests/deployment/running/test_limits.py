"""The limits of running functions, components, and tokens."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import push
from tests.deployment.fixtures import Ask, Bundle, MakeProject, PushOverHttp
from tests.patience import HANG_SECONDS

HEAD = """
import { mutation, query, action, internalMutation } from "./_generated/server";
import { api, internal } from "./_generated/api";
import { v } from "convex/values";
"""


def test_log_lines_are_limited(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        f"{HEAD}export const f = query({{ args: {{}}, handler: async () => {{\n"
        "for (let i = 0; i < 300; i++) console.log(i); } });\n"
    )
    assert push_over_http(bundle({"convex/a.ts": text})).status == 200
    lines = deployment.query("a:f").log_lines
    assert lines == (
        *(f"[LOG] {i}" for i in range(255)),
        "[ERROR] Log overflow (maximum 256). Remaining log lines omitted.",
    )


def test_many_documents_are_paged(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        f"{HEAD}export const f = query({{ args: {{ cursor: v.union(v.string(), v.null()) }},\n"
        "handler: async (ctx, { cursor }) => { const page = await ctx.db.query('t')\n"
        ".paginate({ numItems: 1000, cursor });\n"
        "return { n: page.page.length, isDone: page.isDone, cursor: page.continueCursor }; } });\n"
        "export const all = query({ args: {}, handler: async (ctx) =>\n"
        "(await ctx.db.query('t').collect()).length });\n"
    )
    assert push_over_http(bundle({"convex/a.ts": text})).status == 200
    for _ in range(3):
        deployment.insert("t", [{"n": n} for n in range(3500)])
    assert deployment.query("a:all").value == 10_500
    seen, cursor, done = 0, None, False
    while not done:
        page = deployment.query("a:f", {"cursor": cursor}).value
        assert isinstance(page, dict)
        seen += int(str(page["n"]))
        cursor, done = page["cursor"], bool(page["isDone"])
    assert seen == 10_500


UNUSUAL = {
    "await at the top": ("const value = await Promise.resolve(7);", "value"),
    "assigned again": ("export let value = 1; value = 7;", "value"),
    "assigned later": ("let value = 1; export const set = () => { value = 7; };", "value"),
    "first assigned later": ("let value: any; export const set = () => { value = 7; };", "value"),
    "assigned by a pattern": (
        "let value: any; export const set = () => { [value] = [7]; };",
        "value",
    ),
}


@pytest.mark.parametrize(("text", "value"), UNUSUAL.values(), ids=UNUSUAL.keys())
def test_an_import_follows_its_export(
    text: str,
    value: str,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    module = f"{text}\nexport {{ {value} as shown }};\n".replace("export let", "let")
    body = "handler: async () => { (a as any).set?.(); return a.shown; } });\n"
    query = 'import { query } from "./_generated/server";\nimport * as a from "./a";\n'
    files = {
        "convex/a.ts": module,
        "convex/b.ts": f"{query}export const f = query({{ args: {{}}, {body}",
        "convex/c.ts": f"{query}export const g = query({{ args: {{}}, {body}",
    }
    assert push_over_http(bundle(files)).status == 200
    for path in ("b:f", "c:g"):
        for _ in range(2):
            result = deployment.query(path)
            assert (result.value, result.error) == (7, None)


COMPONENTS = {
    "convex/convex.config.ts": (
        'import { defineApp } from "convex/server";\n'
        'import rateLimiter from "@convex-dev/rate-limiter/convex.config.js";\n'
        'import aggregate from "@convex-dev/aggregate/convex.config.js";\n'
        "const app = defineApp();\napp.use(rateLimiter);\n"
        "app.use(aggregate);\nexport default app;\n"
    ),
    "convex/a.ts": """
import { RateLimiter } from "@convex-dev/rate-limiter";
import { TableAggregate } from "@convex-dev/aggregate";
import { components } from "./_generated/api";
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";
const limiter = new RateLimiter((components as any).rateLimiter, {
  send: { kind: "fixed window", rate: 2, period: 60_000 },
});
const scores = new TableAggregate<any>((components as any).aggregate, {
  sortKey: (doc: any) => doc.score, sumValue: (doc: any) => doc.score,
});
export const send = mutation({ args: {}, handler: async (ctx) =>
  (await limiter.limit(ctx as any, "send", { key: "me" })).ok });
export const add = mutation({ args: { score: v.number() }, handler: async (ctx, { score }) => {
  const id = await ctx.db.insert("scores", { score });
  await scores.insert(ctx as any, (await ctx.db.get(id))! as any);
} });
export const sum = query({ args: {}, handler: async (ctx) =>
  [await scores.count(ctx as any), await scores.sum(ctx as any)] });
""",
}


def test_published_components_run(
    node: Path,
    make_project: MakeProject,
    deployment: EmbeddedDeployment,
    compile_cache: Path,
) -> None:
    project = make_project(COMPONENTS)
    result = push(
        deployment,
        node=node,
        cli=project / "node_modules/convex/bin/main.js",
        project=project,
        deadline_seconds=HANG_SECONDS,
        compile_cache=compile_cache,
        codegen=True,
    )
    assert [f for f in result.findings if f.severity == "error"] == []
    assert [deployment.mutation("a:send").value for _ in range(3)] == [True, True, False]
    deployment.advance(61)
    assert deployment.mutation("a:send").value is True
    for score in (5, 7, 30):
        done = deployment.mutation("a:add", {"score": score})
        assert done.error is None
    found = deployment.query("a:sum")
    assert (found.value, found.error) == ([3, 42], None)
    assert [row["score"] for row in deployment.documents("scores")] == [5, 7, 30]
    assert deployment.documents("rateLimits") == [], "a component's tables are its own"


def test_a_token_of_a_provider_identifies_its_user(
    node: Path,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
    tmp_path: Path,
) -> None:
    sign = """
    const { generateKeyPairSync, sign } = require("node:crypto");
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = (claims) => {
      const text = part({ alg: "RS256", typ: "JWT", kid: "k" }) + "." + part(claims);
      return text + "." + sign("sha256", Buffer.from(text), privateKey).toString("base64url");
    };
    const claims = { iss: "https://issuer.example", sub: "ada", aud: "app", exp: 4e9,
      given_name: "Ada", role: "x" };
    const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k" };
    console.log(JSON.stringify({ jwk, good: token(claims),
      late: token({ ...claims, exp: 1 }), other: token({ ...claims, aud: "b" }) }));
    """
    made = json.loads(subprocess.run([node, "-e", sign], capture_output=True, check=True).stdout)
    keys = base64.b64encode(json.dumps({"keys": [made["jwk"]]}).encode()).decode()
    files = {
        "convex/auth.config.ts": (
            'export default { providers: [{ type: "customJwt", applicationID: "app", algorithm: '
            '"RS256", issuer: "https://issuer.example", '
            f'jwks: "data:text/plain;base64,{keys}" }}] }};'
        ),
        "convex/a.ts": (
            'import { query } from "./_generated/server";\nexport const who = query({ args: {}, '
            "handler: async (ctx) => await ctx.auth.getUserIdentity() });\n"
        ),
    }
    assert push_over_http(bundle(files)).status == 200
    client = Client(deployment.url, deployment.admin_key)

    def ask(token: str) -> Any:
        answer = client.send(
            "POST",
            "/api/query",
            {"Authorization": f"Bearer {token}"},
            json.dumps({"path": "a:who", "args": {}}).encode(),
        )
        return answer.status, json.loads(answer.body)

    status, body = ask(made["good"])
    assert (status, body["value"]) == (
        200,
        {
            "tokenIdentifier": "https://issuer.example|ada",
            "issuer": "https://issuer.example",
            "subject": "ada",
            "given_name": "Ada",
            "role": "x",
        },
    )
    head, claims, signature = made["good"].split(".")
    forged = ".".join([head, claims, signature[:-8] + "AAAAAAAA"])
    assert [ask(token)[0] for token in (made["late"], made["other"], forged, "x")] == [401] * 4


def test_plain_json_is_for_those_who_ask_for_it(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        'import { query } from "./_generated/server";\n'
        "export const f = query({ args: {}, handler: async () => ({ n: 5n, x: [1.5] }) });\n"
    )
    assert (
        push_over_http(bundle({"convex/dir/a.ts": text.replace("./_gen", "../_gen")})).status == 200
    )
    run = ask("POST", "/api/run/dir/a/f", {"args": {}})
    assert run.body == {"status": "success", "value": {"n": "5", "x": [1.5]}}
    encoded = ask("POST", "/api/query", {"path": "dir/a:f", "args": {}})
    assert encoded.body["value"] == {"n": {"$integer": "BQAAAAAAAAA="}, "x": [1.5]}
    got = ask("GET", "/api/query?path=dir/a:f&args=%7B%7D&format=json")
    assert got.body["value"] == {"n": "5", "x": [1.5]}
