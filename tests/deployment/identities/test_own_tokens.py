"""Tokens that a deployment issues itself, or through its own HTTP actions."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import PushOnce
from tests.deployment.issuer import Signer

APP = """
import { getServiceToken } from "convex/server";
import { action, mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const sign = mutation({ args: { claims: v.any(), seconds: v.number() },
  handler: (ctx, { claims, seconds }) =>
    ctx.auth.signJwt({ claims, expiresInSeconds: seconds }) });
export const inQuery = query({ args: {},
  handler: (ctx) => (ctx.auth as any).signJwt?.({}) ?? "no" });
export const who = query({ args: {}, handler: (ctx) => ctx.auth.getUserIdentity() });
export const service = action({ args: {}, handler: () => getServiceToken("ai-gateway") });
"""
AUTH = """
const url = process.env.CONVEX_CLOUD_URL;
export default { providers: [
  { type: "customJwt", issuer: url, jwks: `${url}/.well-known/jwks.json`, algorithm: "ES256",
    applicationID: "own" },
  { domain: process.env.CONVEX_SITE_URL, applicationID: "app" },
] };
"""
HTTP = """
import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
const site = process.env.CONVEX_SITE_URL;
http.route({ path: "/.well-known/openid-configuration", method: "GET", handler: httpAction(
  async () => Response.json({ issuer: site, jwks_uri: `${site}/keys` })) });
http.route({ path: "/keys", method: "GET", handler: httpAction(
  async () => Response.json({ keys: JSON.parse(process.env.KEYS!) })) });
export default http;
"""


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/app.ts": APP, "convex/auth.config.ts": AUTH, "convex/http.ts": HTTP})


def as_user(live: EmbeddedDeployment, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    body = json.dumps({"path": "app:who", "args": {}}).encode()
    return Client.parse(Client(live.url, "").send("POST", "/api/query", headers, body).body)


def part(token: str, number: int) -> Any:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[number] + "=="))


def sign(live: EmbeddedDeployment, claims: dict[str, Any], seconds: float = 60) -> str:
    result = live.mutation("app:sign", {"claims": claims, "seconds": seconds})
    assert result.error is None, result.error
    return str(result.value)


def test_a_deployment_signs_tokens_that_it_and_others_can_check(live: EmbeddedDeployment) -> None:
    token = sign(live, {"sub": "ada", "aud": "own", "role": {"is": "poet"}})
    claims = part(token, 1)
    issued = claims.pop("iat")
    assert abs(issued - time.time()) < 60
    given = {"sub": "ada", "aud": "own", "role": {"is": "poet"}}
    assert claims == {**given, "iss": live.url, "exp": issued + 60}
    (key,) = json.loads(Client(live.url, "").text("/.well-known/jwks.json"))["keys"]
    assert part(token, 0) == {"alg": "ES256", "typ": "JWT", "kid": key["kid"]}
    assert "d" not in key, "the private part stays here"
    assert as_user(live, token)["value"]["subject"] == "ada"
    head, body, signature = token.split(".")
    assert as_user(live, f"{head}.{body}.{signature[:-8]}AAAAAAAA")["code"] == "InvalidAuthHeader"


def test_a_token_ends_in_the_deployments_own_time(live: EmbeddedDeployment) -> None:
    token = sign(live, {"sub": "ada", "aud": "own"}, 3600)
    live.advance(3500)
    assert as_user(live, token)["status"] == "success"
    live.advance(200)
    assert as_user(live, token)["code"] == "InvalidAuthHeader"


@pytest.mark.parametrize(
    ("claims", "seconds", "why"),
    [
        *(
            ({name: 1}, 60, "is reserved")
            for name in ("iss", "iat", "exp", "nbf", "CvX_a", "convexB")
        ),
        *(({}, seconds, "from 1 to 3600") for seconds in (0, 0.5, 3601, -1)),
    ],
)
def test_what_a_token_can_not_say_is_refused(
    live: EmbeddedDeployment, claims: dict[str, Any], seconds: float, why: str
) -> None:
    error = live.mutation("app:sign", {"claims": claims, "seconds": seconds}).error
    assert why in str(error)


def test_only_mutations_sign(live: EmbeddedDeployment) -> None:
    assert live.query("app:inQuery").value == "no"


def test_services_of_convex_are_said_to_be_missing(live: EmbeddedDeployment) -> None:
    error = live.action("app:service").error
    assert "Uncaught Error: AiGatewayUnavailable: " in str(error)
    assert "is Convex's own and not available to this deployment" in str(error)


def test_a_deployments_own_http_actions_can_be_an_issuer(
    live: EmbeddedDeployment, signer: Signer
) -> None:
    key, tokens = signer.sign(live.site_url)
    live.set_environment({"KEYS": json.dumps([key])})
    assert as_user(live, tokens["good"])["value"]["subject"] == "ada"
    assert as_user(live, tokens["key"])["code"] == "InvalidAuthHeader"
    live.set_environment({"KEYS": None})
