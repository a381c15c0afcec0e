"""The deployment protocol, spoken without the CLI."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, Bundle, PushOverHttp
from tests.patience import HANG_SECONDS

QUERY = (
    'import { query } from "./_generated/server";\n'
    "export const f = query({ args: {}, handler: async () => 1 });\n"
)
OTHER = QUERY.replace("const f", "const g")
BROKEN = QUERY + 'throw new Error("boom");\n'


def functions(deployment: EmbeddedDeployment) -> list[str]:
    return [function.path for function in deployment.deployed().functions]


def test_a_push_goes_live_only_when_it_is_finished(
    bundle: Bundle, ask: Ask, deployment: EmbeddedDeployment
) -> None:
    started = ask("POST", "/api/deploy2/start_push", bundle({"convex/a.ts": QUERY}))
    assert started.status == 200
    assert (functions(deployment), deployment.last_push().status) == ([], "started")

    change = {"schemaChange": started.body["schemaChange"], "timeoutMs": 10, "dryRun": False}
    assert ask("POST", "/api/deploy2/wait_for_schema", change).body == {"type": "complete"}
    finished = ask("POST", "/api/deploy2/finish_push", {"startPush": started.body, "dryRun": False})
    assert finished.body["componentDiffs"][""]["diffType"] == {"type": "create"}
    assert (functions(deployment), deployment.last_push().status) == (["a:f"], "accepted")


def test_a_refused_push_leaves_the_old_deployment_live(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": QUERY})).status == 200
    assert push_over_http(bundle({"convex/b.ts": BROKEN}, name="second")).status == 400
    assert functions(deployment) == ["a:f"]


def test_a_dry_run_changes_nothing(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    request = {**bundle({"convex/a.ts": QUERY}), "dryRun": True}
    assert push_over_http(request).status == 200
    assert deployment.deployed().files == ()


def test_unchanged_modules_are_pushed_by_hash(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    request = bundle({"convex/a.ts": QUERY, "convex/b.ts": OTHER})
    modules = request["appDefinition"]["changedModules"]
    assert push_over_http(request).status == 200

    hashes = ask("POST", "/api/get_config_hashes", {}).body["moduleHashes"]
    digests = {
        module["path"]: hashlib.sha256(
            (module["source"] + module["sourceMap"]).encode()
        ).hexdigest()
        for module in modules
    }
    assert {each["path"]: each["hash"] for each in hashes} == digests

    app = request["appDefinition"]
    app["changedModules"] = [module for module in modules if module["path"] != "a.js"]
    app["unchangedModuleHashes"] = [
        {"path": "a.js", "environment": "isolate", "sha256": digests["a.js"]}
    ]
    assert push_over_http(request).status == 200
    assert functions(deployment) == ["a:f", "b:g"]

    app["unchangedModuleHashes"][0]["sha256"] = "0" * 64
    answer = push_over_http(request)
    assert (answer.status, answer.body["code"]) == (409, "MissingExistingModule")
    assert deployment.last_push().status == "failed", "a request out of turn is nobody's bad code"


def test_modules_of_older_clis_are_called_functions(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    request = bundle({"convex/a.ts": QUERY})
    app = request["appDefinition"]
    app["functions"] = app.pop("changedModules")
    del app["unchangedModuleHashes"]
    assert push_over_http(request).status == 200
    assert functions(deployment) == ["a:f"]


def test_a_change_of_variables_during_a_push_is_a_race(
    bundle: Bundle, ask: Ask, deployment: EmbeddedDeployment
) -> None:
    started = ask("POST", "/api/deploy2/start_push", bundle({"convex/a.ts": QUERY}))
    deployment.set_environment({"A": "1"})
    answer = ask("POST", "/api/deploy2/finish_push", {"startPush": started.body, "dryRun": False})
    assert (answer.status, answer.body["code"]) == (400, "RaceDetected")
    assert deployment.deployed().files == ()


def test_a_reset_forgets_everything(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    deployment.set_environment({"A": "1"})
    started = ask("POST", "/api/deploy2/start_push", bundle({"convex/a.ts": QUERY}))
    push_over_http(bundle({"convex/a.ts": QUERY}, name="second"))
    deployment.reset()

    assert deployment.deployed() == type(deployment.deployed())()
    assert deployment.last_push().status == "none"
    variables = ask("GET", "/api/v1/list_environment_variables").body
    assert variables == {"environmentVariables": {}}
    answer = ask("POST", "/api/deploy2/finish_push", {"startPush": started.body, "dryRun": False})
    assert answer.body["code"] == "RaceDetected"


def test_functions_are_in_the_order_of_the_source(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    head, _, definition = QUERY.partition("\n")
    text = head + "\n" + "".join(definition.replace("const f", f"const {n}") for n in "zmab")
    push_over_http(bundle({"convex/a.ts": text}))
    assert functions(deployment) == ["a:z", "a:m", "a:a", "a:b"]
    lines = [function.position for function in deployment.deployed().functions]
    assert [place.line for place in lines if place] == [2, 3, 4, 5]


def test_indexes_and_crons_that_change_are_told(
    bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    schema = (
        'import { defineSchema, defineTable } from "convex/server";\n'
        'import { v } from "convex/values";\n'
        'const t = defineTable({ a: v.string(), b: v.string() }).index("i", ["a"]);\n'
        "export default defineSchema({ t });\n"
    )
    crons = (
        'import { cronJobs } from "convex/server";\nimport { api } from "./_generated/api";\n'
        "const crons = cronJobs();\ncrons.interval('x', { seconds: 1 }, api.a.f as any);\n"
        "crons.interval('y', { seconds: 1 }, api.a.f as any);\nexport default crons;\n"
    )
    mutation = QUERY.replace("query", "mutation")
    files = {"convex/schema.ts": schema, "convex/crons.ts": crons, "convex/a.ts": mutation}
    first = push_over_http(bundle(files)).body["componentDiffs"][""]
    assert first["indexDiff"]["added_indexes"] == [
        {"name": "t.i", "type": "database", "fields": ["a", "_creationTime"]}
    ]
    assert first["cronDiff"] == {"added": ["x", "y"], "updated": [], "deleted": []}

    changed = {
        "convex/schema.ts": schema.replace('"i", ["a"]', '"j", ["b"]'),
        "convex/crons.ts": crons.replace("crons.interval('x', { seconds: 1 }", "void ({}").replace(
            "seconds: 1", "hours: 1"
        ),
        "convex/a.ts": mutation,
    }
    second = push_over_http(bundle(changed, name="second")).body["componentDiffs"][""]
    assert [index["name"] for index in second["indexDiff"]["removed_indexes"]] == ["t.i"]
    assert [index["name"] for index in second["indexDiff"]["added_indexes"]] == ["t.j"]
    assert second["cronDiff"] == {"added": [], "updated": ["y"], "deleted": ["x"]}


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity"])
def test_bodies_may_be_packed(
    encoding: str,
    bundle: Bundle,
    ask: Ask,
    node: Path,
    tmp_path: Path,
) -> None:
    plain = json.dumps(bundle({"convex/a.ts": QUERY})).encode()
    body = plain
    if encoding == "gzip":
        body = gzip.compress(plain)
    elif encoding == "br":
        (tmp_path / "plain").write_bytes(plain)
        script = (
            "const fs = require('fs');"
            "fs.writeFileSync('br', require('zlib').brotliCompressSync(fs.readFileSync('plain')))"
        )
        done = processes.run(
            [node, "-e", script],
            cwd=tmp_path,
            env=processes.environment(home=tmp_path),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )
        assert done.ok, done.stderr
        body = (tmp_path / "br").read_bytes()
    answer = ask("POST", "/api/deploy2/evaluate_push", raw=body, encoding=encoding)
    assert answer.status == 200, answer.body
    assert answer.body["schemaChange"]["indexDiffs"][""]["added_indexes"] == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"appDefinition": 3}', b"\xff\xfe"])
def test_a_request_that_is_none_is_answered(
    raw: bytes, ask: Ask, deployment: EmbeddedDeployment
) -> None:
    answer = ask("POST", "/api/deploy2/start_push", raw=raw)
    assert (answer.status, answer.body["code"]) == (400, "BadRequest")
    assert ask("POST", "/api/deploy2/start_push", raw=raw, encoding="br").status == 400
    assert deployment.alive()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/deploy2/start_push"),
        ("POST", "/api/get_config_hashes"),
        ("GET", "/api/v1/get_canonical_urls"),
        ("GET", "/api/convex_eval/deployed"),
        ("POST", "/api/convex_eval/reset"),
    ],
)
@pytest.mark.parametrize("key", ["", "wrong|0", "wrong"])
def test_the_wrong_admin_key_is_refused(
    method: str, path: str, key: str, ask: Ask, deployment: EmbeddedDeployment
) -> None:
    answer = ask(method, path, {}, key=key)
    assert (answer.status, answer.body["code"]) == (403, "BadDeployKey")
    name = deployment.admin_key.partition("|")[0]
    assert answer.body["message"] == (
        f"The provided deploy key was invalid for deployment '{name}'. Double check that the "
        "environment this key was generated for matches the desired deployment."
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/prepare_schema"),
        ("GET", "/api/schema_state/1"),
        ("POST", "/api/push_config"),
    ],
)
def test_clis_too_old_are_told_so(method: str, path: str, ask: Ask) -> None:
    answer = ask(method, path, {})
    assert answer.status == 400
    assert "1.28.0" in answer.body["message"]


ROUTED = """
import { action, mutation, query } from "./_generated/server";
export const f = query({ args: {}, handler: async () => 1 });
export const m = mutation({ args: {}, handler: async () => 2 });
export const a = action({ args: {}, handler: async () => 3 });
export const upload = mutation({ args: {}, handler: (ctx) => ctx.storage.generateUploadUrl() });
"""


def test_every_route_that_the_cli_and_clients_know_is_answered(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    ask: Ask,
    deployment: EmbeddedDeployment,
) -> None:
    request = bundle({"convex/a.ts": ROUTED})
    assert push_over_http(request).status == 200
    upload = str(deployment.mutation("a:upload").value).removeprefix(deployment.url)
    ts = ask("POST", "/api/query_ts").body["ts"]
    (module,) = bundle(
        {"convex/q.ts": QUERY.replace("export const f =", "export default")}, name="q"
    )["appDefinition"]["changedModules"]
    one_off = {"path": "testQuery.js", "source": module["source"]}
    calls = {
        "query": {"path": "a:f", "args": [{}]},
        "mutation": {"path": "a:m", "args": [{}]},
        "action": {"path": "a:a", "args": {}},
        "function": {"path": "a:m", "args": {}},
        "query_at_ts": {"path": "a:f", "args": {}, "ts": ts},
        "run/a/f": {"args": {}},
        "run_test_function": {"args": {}, "bundle": one_off},
    }
    answers = {path: ask("POST", f"/api/{path}", body).body for path, body in calls.items()}
    assert {path: body.get("value") for path, body in answers.items()} == {
        "query": 1,
        "mutation": 2,
        "action": 3,
        "function": 2,
        "query_at_ts": 1,
        "run/a/f": 1,
        "run_test_function": 1,
    }
    changes = {"changes": [{"name": "A", "value": "x"}]}
    posts = {
        upload: {},
        "/api/get_config_hashes": {"version": "1.48.0"},
        "/api/check_admin_key": {},
        "/api/shapes2": {},
        "/api/update_environment_variables": changes,
        "/api/v1/update_environment_variables": changes,
        "/api/deploy2/evaluate_schema": request,
        "/api/deploy2/evaluate_push": request,
        "/api/deploy2/report_push_completed": {"spans": []},
    }
    gets = (
        "/ /version /instance_name /instance_version /api/v1/list_environment_variables "
        "/api/v1/get_canonical_urls /api/stream_function_logs?cursor=0 /.well-known/jwks.json "
        "/api/query?path=a:f&args=%7B%7D"
    )
    statuses = {path: ask("POST", path, body).status for path, body in posts.items()}
    statuses |= {path: ask("GET", path).status for path in gets.split()}
    assert {path: status for path, status in statuses.items() if status != 200} == {}
    for path in ("/api/1.48.0/sync", "/api/sync"):
        answer = ask("GET", path)
        assert (answer.status, answer.body["message"]) == (
            400,
            "The sync protocol needs a WebSocket.",
        )


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A" * 257])
def test_variables_have_proper_names(name: str, ask: Ask) -> None:
    body = {"changes": [{"name": "OK", "value": "1"}, {"name": name, "value": "x"}]}
    assert ask("POST", "/api/update_environment_variables", body).status == 400
    assert ask("GET", "/api/v1/list_environment_variables").body == {"environmentVariables": {}}


AUTH = (
    "export default { providers: [{ domain: process.env.CONVEX_SITE_URL, applicationID: "
    'process.env.APP }, { type: "customJwt", issuer: "https://a.example", '
    'jwks: "https://a.example/jwks", algorithm: "ES256" }] };\n'
)


def test_the_auth_configuration_reads_variables(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    deployment.set_environment({"APP": "mine"})
    assert push_over_http(bundle({"convex/auth.config.ts": AUTH})).status == 200
    assert deployment.deployed().auth == (
        {"applicationID": "mine", "domain": deployment.site_url},
        {
            "type": "customJwt",
            "applicationID": None,
            "issuer": "https://a.example",
            "jwks": "https://a.example/jwks",
            "algorithm": "ES256",
        },
    )


def test_a_broken_websocket_ends_nothing_else(deployment: EmbeddedDeployment) -> None:
    parts = urlsplit(deployment.url)
    head = (
        "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frames = (b"\x81\x05hello", b"\xff\xff\xff", b"\x81\x85\x00\x00\x00\x00nojsn", b"")
    for path, frame in [("//", b""), ("/api/x", b""), *(("/api/sync", each) for each in frames)]:
        with socket.create_connection(
            (parts.hostname, parts.port), timeout=HANG_SECONDS
        ) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\n{head}".encode() + frame)
            assert connection.recv(64).startswith(b"HTTP/1.1 ")
    assert deployment.alive()
