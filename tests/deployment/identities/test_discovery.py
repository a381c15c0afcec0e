"""Providers of identities whose keys are found over HTTP: OpenID Connect Discovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOverHttp

if TYPE_CHECKING:
    from tests.deployment.issuer import Issuer

DISCOVERY = "/.well-known/openid-configuration"
WHO = """
import { query } from "./_generated/server";
export const who = query({ args: {}, handler: (ctx) => ctx.auth.getUserIdentity() });
"""


@pytest.fixture
def ask_as(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
    issuer: Issuer,
) -> Callable[[str], tuple[int, Any]]:
    """What the deployment, which trusts the issuer, answers one of its tokens."""
    auth = f'export default {{ providers: [{{ applicationID: "app", domain: "{issuer.url}" }}] }};'
    answer = push_over_http(bundle({"convex/auth.config.ts": auth, "convex/a.ts": WHO}))
    assert answer.status == 200, answer.body
    client = Client(deployment.url, deployment.admin_key)

    def ask(token: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {issuer.token(token)}"}
        answer = client.send("POST", "/api/query", headers, b'{"path": "a:who", "args": {}}')
        return answer.status, Client.parse(answer.body)

    return ask


def test_keys_are_discovered_where_the_network_may_be_used(
    ask_as: Callable[[str], tuple[int, Any]], deployment: EmbeddedDeployment, issuer: Issuer
) -> None:
    status, body = ask_as("good")
    assert (status, body["code"]) == (401, "AuthProviderDiscoveryFailed")
    assert f"may not reach {issuer.url}" in body["message"]
    assert issuer.asked == []
    deployment.allow_origins([issuer.url])
    found = issuer.answers.pop(DISCOVERY)
    assert "status 404" in ask_as("good")[1]["message"], "a provider without discovery"
    issuer.answers[DISCOVERY] = found
    assert [ask_as("good")[1]["value"]["subject"] for _ in range(3)] == ["ada"] * 3
    assert issuer.asked.count("/keys") == 1, "the keys are kept"


@pytest.mark.parametrize(
    ("token", "code", "why"),
    [
        ("issuer", "NoAuthProvider", "Check that your auth.config matches its `iss` and `aud`"),
        ("audience", "NoAuthProvider", "Check that your auth.config matches its `iss` and `aud`"),
        ("key", "InvalidAuthHeader", "its signature is wrong"),
        ("expired", "InvalidAuthHeader", "it has expired"),
    ],
)
def test_a_token_that_is_wrong_in_one_way_is_refused(
    ask_as: Callable[[str], tuple[int, Any]],
    deployment: EmbeddedDeployment,
    issuer: Issuer,
    token: str,
    code: str,
    why: str,
) -> None:
    deployment.allow_origins([issuer.url])
    status, body = ask_as(token)
    assert (status, body["code"]) == (401, code)
    assert why in body["message"]
    assert ask_as("good")[0] == 200


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"issuer": "https://other.example"}, "says that it is"),
        ({"jwks_uri": None}, "names no `jwks_uri`"),
        ({"jwks_uri": "http://127.0.0.1:9/keys"}, "may not reach http://127.0.0.1:9"),
    ],
)
def test_a_provider_that_says_something_else_is_not_believed(
    ask_as: Callable[[str], tuple[int, Any]],
    deployment: EmbeddedDeployment,
    issuer: Issuer,
    answer: dict[str, str],
    why: str,
) -> None:
    deployment.allow_origins([issuer.url])
    issuer.answers[DISCOVERY] |= answer
    status, body = ask_as("good")
    assert (status, body["code"]) == (401, "AuthProviderDiscoveryFailed")
    assert why in body["message"]
