"""The sync protocol, message by message."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOverHttp, PushWithUsers
from tests.deployment.sync_socket import SyncSocket
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.deployment.issuer import Issuer

APP = """
import { action, mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const rows = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).map((row) => row.n) });
export const count = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).filter((row) => row.n > 10).length });
export const add = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  await ctx.db.insert("rows", { n }); return n; } });
export const fail = query({ args: {}, handler: async () => { throw new Error("no"); } });
export const name = query({ args: {}, handler: async () => process.env.NAME ?? null });
export const who = query({ args: {}, handler: async (ctx) =>
  (await ctx.auth.getUserIdentity())?.subject ?? null });
export const whoActs = action({ args: {}, handler: async (ctx) =>
  (await ctx.auth.getUserIdentity())?.subject ?? null });
export const spin = mutation({ args: {}, handler: async () => {
  let sum = 0; for (let i = 0; i < 3e8; i++) sum += i; return sum > 0; } });
export const hang = mutation({ args: {}, handler: async () => { for (;;); } });
export const wait = action({ args: { ms: v.number() }, handler: async (ctx, { ms }) => {
  await new Promise((done) => setTimeout(done, ms)); return ms; } });
"""
START = {"querySet": 0, "identity": 0, "ts": base64.b64encode(bytes(8)).decode()}


@pytest.fixture
def live(push_with_users: PushWithUsers) -> EmbeddedDeployment:
    return push_with_users({"convex/app.ts": APP})


def call(kind: str, request: int, path: str, **args: Any) -> dict[str, Any]:
    return {"type": kind, "requestId": request, "udfPath": path, "args": [args]}


def follow(base: int, **paths: str) -> dict[str, Any]:
    """Queries to follow; the name of each is its number, with a letter in front."""
    added = [
        {"type": "Add", "queryId": int(name[1:]), "udfPath": path, "args": [{}]}
        for name, path in paths.items()
    ]
    versions = {"baseVersion": base, "newVersion": base + 1}
    return {"type": "ModifyQuerySet", **versions, "modifications": added}


def authenticate(base: int, token: str | None) -> dict[str, Any]:
    kind = {"tokenType": "None"} if token is None else {"tokenType": "User", "value": token}
    return {"type": "Authenticate", "baseVersion": base, **kind}


def values(transition: Any) -> dict[int, Any]:
    assert transition["type"] == "Transition", transition
    changes = transition["modifications"]
    return {each["queryId"]: each.get("value", each["type"]) for each in changes}


def test_transitions_follow_each_other_and_tell_what_has_changed(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    sync.send(follow(0, q1="app:rows", q2="app:count", q3="app:fail", q4="app:name"))
    first = sync.receive()
    assert first["startVersion"] == START
    assert first["endVersion"]["querySet"] == 1
    assert values(first) == {1: [], 2: 0, 3: "QueryFailed", 4: None}

    sync.send(call("Mutation", 0, "app:add", n=5))
    answer, second = sync.receive(), sync.receive()
    assert (answer["type"], answer["success"], answer["result"]) == ("MutationResponse", True, 5)
    assert second["startVersion"] == first["endVersion"]
    assert second["endVersion"]["ts"] >= answer["ts"]
    assert values(second) == {1: [5]}, "neither the count nor the error is another one"

    live.mutation("app:add", {"n": 50})
    third = sync.receive()
    assert third["startVersion"] == second["endVersion"]
    assert values(third) == {1: [5, 50], 2: 1}

    removal = {"type": "Remove", "queryId": 1}
    sync.send(
        {"type": "ModifyQuerySet", "baseVersion": 1, "newVersion": 2, "modifications": [removal]}
    )
    fourth = sync.receive()
    assert fourth["modifications"] == [{"type": "QueryRemoved", "queryId": 1}]
    live.mutation("app:add", {"n": 6})
    sync.send(call("Action", 1, "app:wait", ms=0))
    answer = sync.receive()
    assert answer["type"] == "ActionResponse", "what is followed has not changed"


def test_a_variable_that_is_set_runs_queries_again(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    sync.send(follow(0, q1="app:name", q2="app:rows"))
    assert values(sync.receive()) == {1: None, 2: []}
    live.set_environment({"NAME": "x"})
    assert values(sync.receive()) == {1: "x"}


def test_a_push_runs_queries_again(
    sync: SyncSocket, bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    sync.send(follow(0, q1="app:name", q2="app:rows"))
    assert values(sync.receive()) == {1: None, 2: []}
    changed = APP.replace("process.env.NAME ?? null", '"pushed"')
    assert push_over_http(bundle({"convex/app.ts": changed}, name="second")).status == 200
    assert values(sync.receive()) == {1: "pushed"}


def test_an_identity_runs_queries_again_and_is_that_of_later_actions(
    sync: SyncSocket, issuer: Issuer
) -> None:
    sync.send(follow(0, q1="app:who", q2="app:rows"))
    assert values(sync.receive()) == {1: None, 2: []}
    # In one piece: the actions come before the first is dealt with.
    sync.send(
        call("Action", 0, "app:whoActs"),
        authenticate(0, issuer.token("good")),
        call("Action", 1, "app:whoActs"),
        authenticate(1, None),
        call("Action", 2, "app:whoActs"),
    )
    told = [sync.receive() for _ in range(5)]
    actions = {
        each["requestId"]: each["result"] for each in told if each["type"] == "ActionResponse"
    }
    transitions = [each for each in told if each["type"] == "Transition"]
    assert actions == {0: None, 1: "ada", 2: None}
    assert [each["endVersion"]["identity"] for each in transitions] == [1, 2]
    assert [values(each) for each in transitions] == [{1: "ada"}, {1: None}]


@pytest.mark.parametrize("name", ["expired", "key", "audience"])
def test_a_bad_token_is_an_error_of_its_version(
    name: str, sync: SyncSocket, issuer: Issuer
) -> None:
    sync.send(follow(0, q1="app:who"), authenticate(0, issuer.token("good")))
    assert [values(sync.receive()) for _ in range(2)] == [{1: None}, {1: "ada"}]
    sync.send(authenticate(1, issuer.token(name)))
    answer = sync.receive()
    assert (answer["type"], answer["baseVersion"], answer["authUpdateAttempted"]) == (
        "AuthError",
        1,
        True,
    )
    assert answer["error"]
    sync.send(call("Action", 0, "app:whoActs"))
    assert sync.receive()["result"] == "ada", "who it was before"


@pytest.mark.parametrize(
    "wrong",
    [follow(3, q1="app:who"), authenticate(3, None), follow(-1, q1="app:who")],
    ids=["query set", "identity", "an older query set"],
)
def test_a_version_out_of_turn_ends_the_connection(wrong: Any, sync: SyncSocket) -> None:
    sync.send(wrong)
    (error,) = sync.until_closed()
    assert error == {
        "type": "FatalError",
        "error": f"Base version {wrong['baseVersion']} passed up doesn't match the current version",
    }
    assert sync.closed == (1008, "FatalError")


@pytest.mark.parametrize("kind", ["Mutation", "Action"])
def test_a_client_has_1_000_of_a_kind_under_way_at_most(
    kind: str, live: EmbeddedDeployment
) -> None:
    path, args = ("app:add", {"n": 1}) if kind == "Mutation" else ("app:wait", {"ms": 60_000})
    first = call(kind, 0, "app:spin") if kind == "Mutation" else call(kind, 0, path, **args)
    with SyncSocket(live.url) as sync:
        sync.send(first, *(call(kind, i, path, **args) for i in range(1, 1001)))
        assert sync.until_closed() == []
        assert sync.closed == (
            1013,
            f"TooManyConcurrentRequests: 1000 {kind.lower()}s are under way",
        )
    live.reset_data()
    with SyncSocket(live.url) as sync:
        quick = call(kind, 0, "app:spin") if kind == "Mutation" else call(kind, 0, path, ms=1)
        more = [
            call(kind, i, path, **({"n": 1} if kind == "Mutation" else {"ms": 1}))
            for i in range(1, 1000)
        ]
        sync.send(quick, *more)
        answers = 0
        while answers < 1000:
            answers += sync.receive()["type"] == f"{kind}Response"
        sync.send(*more[:500])
        assert sync.receive() is not None, "what is over is not counted"


def test_an_operation_that_takes_too_long_ends_the_connection(live: EmbeddedDeployment) -> None:
    client = Client(live.url, live.admin_key)
    live.mutation("app:add", {"n": 0})
    live.action("app:wait", {"ms": 0})
    limits: Any = {
        "operation": {"wall": 4},
        "transaction": {"cpu": HANG_SECONDS, "wall": HANG_SECONDS},
    }
    client.post("/api/convex_eval/time_limits", limits)
    with SyncSocket(live.url) as sync:
        sync.send(call("Action", 0, "app:wait", ms=5000), call("Mutation", 1, "app:add", n=1))
        told = [sync.receive() for _ in range(3)]
        assert [each["type"] for each in told] == [
            *("MutationResponse", "Transition", "ActionResponse"),
        ], "actions take as long as actions may"
        sync.send(call("Mutation", 2, "app:hang"))
        assert sync.until_closed() == []
        assert sync.closed == (1013, "SystemTimeoutError: an operation took more than 4 s")
    live.reset_data()
    assert live.query("app:rows").value == [], "what hung is over"
