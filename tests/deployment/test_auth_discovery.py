"""Providers of identities whose keys are found over HTTP: OpenID Connect Discovery."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment

SIGN = """
const { generateKeyPairSync, sign } = require("node:crypto");
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = { iss: process.argv[1], sub: "ada", aud: "app", exp: 4e9 };
const text = part({ alg: "RS256", typ: "JWT", kid: "1" }) + "." + part(claims);
const token = text + "." + sign("sha256", Buffer.from(text), privateKey).toString("base64url");
const key = { ...publicKey.export({ format: "jwk" }), kid: "1" };
console.log(JSON.stringify({ token, keys: [key] }));
"""


@pytest.fixture
def provider() -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """An OpenID provider: its address, what it answers by path, and what it was asked."""
    answers: dict[str, Any] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(answers.get(self.path)).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers, asked
        server.shutdown()
        thread.join()


def test_keys_are_discovered_where_the_network_may_be_used(
    node: Path,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
    provider: tuple[str, dict[str, Any], list[str]],
) -> None:
    issuer, answers, asked = provider
    signed = subprocess.run([node, "-e", SIGN, issuer], capture_output=True, check=True).stdout
    made = json.loads(signed)
    files = {
        "convex/auth.config.ts": (
            f'export default {{ providers: [{{ applicationID: "app", domain: "{issuer}" }}] }};'
        ),
        "convex/a.ts": (
            'import { query } from "./_generated/server";\nexport const who = query({ args: {}, '
            "handler: async (ctx) => (await ctx.auth.getUserIdentity())?.subject });\n"
        ),
    }
    assert push_over_http(bundle(files)).status == 200
    client = Client(deployment.url, deployment.admin_key)
    headers = {"Authorization": f"Bearer {made['token']}"}
    call = json.dumps({"path": "a:who", "args": {}}).encode()

    def ask() -> tuple[int, Any]:
        answer = client.send("POST", "/api/query", headers, call)
        return answer.status, json.loads(answer.body)

    status, body = ask()
    assert (status, body["code"]) == (401, "AuthProviderDiscoveryFailed")
    assert f"may not reach {issuer}" in body["message"]
    assert asked == []
    deployment.allow_origins([issuer])
    assert "status 404" in ask()[1]["message"], "a provider without discovery"
    answers["/.well-known/openid-configuration"] = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
    answers["/keys"] = {"keys": made["keys"]}
    assert [ask()[1].get("value") for _ in range(3)] == ["ada"] * 3
    assert asked.count("/keys") == 1, "the keys are kept"
