"""Who a connection's functions are called by, while it stays open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import PushOnce
from tests.deployment.sync.messages import (
    PROBE,
    add,
    authenticate,
    call,
    follow,
    modify,
    told,
    values,
)
from tests.deployment.sync_socket import SyncSocket

APP = """
import { action, internalQuery, mutation, query } from "./_generated/server";
export const who = query({ args: {}, handler: async (ctx) =>
  (await ctx.auth.getUserIdentity())?.subject ?? null });
export const whoever = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).length });
export const hidden = internalQuery({ args: {}, handler: async () => "seen" });
export const write = mutation({ args: {}, handler: async (ctx) => {
  const { tokenIdentifier } = (await ctx.auth.getUserIdentity()) ?? { tokenIdentifier: null };
  await ctx.db.insert("rows", { tokenIdentifier });
  return tokenIdentifier;
} });
"""
AUTH = """
const url = process.env.CONVEX_CLOUD_URL;
export default { providers: [{ type: "customJwt", issuer: url, algorithm: "ES256",
  jwks: `${url}/.well-known/jwks.json`, applicationID: "app" }] };
"""
SIGN = """
import { mutation } from "./_generated/server";
import { v } from "convex/values";
export const sign = mutation({ args: { sub: v.string() }, handler: (ctx, { sub }) =>
  (ctx.auth as any).signJwt({ claims: { sub, aud: "app" }, expiresInSeconds: 600 }) });
"""


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    files = {"convex/app.ts": APP, "convex/sign.ts": SIGN, "convex/auth.config.ts": AUTH}
    return push_once({**files, "convex/probe.ts": PROBE})


@pytest.fixture
def token(live: EmbeddedDeployment) -> Callable[[str], str]:
    return lambda name: str(live.mutation("sign:sign", {"sub": name}).value)


def test_a_connection_is_one_user_after_another_and_nobody_again(
    sync: SyncSocket, token: Callable[[str], str], live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:who"), add(2, "app:whoever")) == {1: None, 2: 0}
    for base, name in enumerate(["ada", "bob"]):
        sync.send(authenticate(base, "User", value=token(name)))
        changed = sync.receive()
        assert values(changed) == {1: name}, "what is the same for all is not told again"
        assert changed["endVersion"]["identity"] == base + 1
        sync.send(call("Mutation", base, "app:write"))
        assert sync.receive()["result"] == f"{live.url}|{name}"
        assert values(sync.receive()) == {2: base + 1}
    sync.send(authenticate(2), call("Mutation", 2, "app:write"))
    assert values(sync.receive()) == {1: None}
    assert sync.receive()["result"] is None


def test_an_identity_is_its_connections_alone(
    sync: SyncSocket, token: Callable[[str], str], live: EmbeddedDeployment
) -> None:
    assert follow(sync, add(1, "app:who")) == {1: None}
    with SyncSocket(live.url) as other:
        other.send(authenticate(0, "User", value=token("ada")), modify(0, add(1, "app:who")))
        assert [values(other.receive()) for _ in range(2)] == [{}, {1: "ada"}]
        assert told(sync) == []
        sync.send(authenticate(0, "User", value=token("bob")))
        assert values(sync.receive()) == {1: "bob"}
        assert told(other) == []


def test_a_token_that_is_refused_leaves_the_version_for_the_next_one(
    sync: SyncSocket, token: Callable[[str], str]
) -> None:
    assert follow(sync, add(1, "app:who")) == {1: None}
    sync.send(authenticate(0, "User", value="no.token.atall"))
    assert sync.receive() == {
        "type": "AuthError",
        "error": "Could not parse JWT payload. Check that the token is a valid JWT format with "
        "three base64-encoded parts separated by dots.",
        "baseVersion": 0,
        "authUpdateAttempted": True,
    }
    sync.send(authenticate(0, "User", value=token("ada")))
    assert values(sync.receive()) == {1: "ada"}


def test_a_refused_token_does_not_end_the_identity_that_was_there(
    sync: SyncSocket, token: Callable[[str], str]
) -> None:
    sync.send(authenticate(0, "User", value=token("ada")))
    assert values(sync.receive()) == {}
    sync.send(authenticate(1, "User", value=token("bob")[:-9] + "AAAAAAAAA"))
    assert (error := sync.receive())["type"] == "AuthError"
    assert error["baseVersion"] == 1
    assert follow(sync, add(1, "app:who")) == {1: "ada"}


def test_an_admin_sees_what_is_internal_until_it_is_none(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    queries = [add(1, "app:hidden"), add(2, "app:who"), add(3, "_system/cli/tables")]
    assert follow(sync, *queries) == {1: "QueryFailed", 2: None, 3: "QueryFailed"}
    sync.send(authenticate(0, "Admin", value=live.admin_key))
    seen = values(sync.receive())
    assert seen.pop(3)["isDone"]
    assert seen == {1: "seen"}
    sync.send(authenticate(1, "Admin", value=live.admin_key, impersonating={"subject": "ada"}))
    assert values(sync.receive()) == {2: "ada"}
    sync.send(authenticate(2))
    assert values(sync.receive()) == {1: "QueryFailed", 2: None, 3: "QueryFailed"}


@pytest.mark.parametrize("key", ["nobody's", ""])
def test_a_wrong_key_makes_nobody_an_admin(key: str, sync: SyncSocket) -> None:
    sync.send(authenticate(0, "Admin", value=key))
    assert sync.receive()["type"] == "AuthError"
    assert follow(sync, add(1, "app:hidden")) == {1: "QueryFailed"}


def test_a_key_is_no_token_and_a_token_is_no_key(
    sync: SyncSocket, token: Callable[[str], str], live: EmbeddedDeployment
) -> None:
    kinds: list[Any] = [("User", live.admin_key), ("Admin", token("ada"))]
    for kind, value in kinds:
        sync.send(authenticate(0, kind, value=value))
        assert sync.receive()["type"] == "AuthError"
    assert follow(sync, add(1, "app:hidden"), add(2, "app:who")) == {1: "QueryFailed", 2: None}
