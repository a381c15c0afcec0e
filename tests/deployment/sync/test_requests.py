"""Mutations and actions of a client: their order, their answers, and those that are sent again."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import PushOnce
from tests.deployment.sync.messages import PROBE, add, call, follow, modify, told, values
from tests.deployment.sync_socket import SyncSocket

APP = """
import { action, internalMutation, mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { ConvexError, v } from "convex/values";
export const list = query({ args: {}, handler: async (ctx) =>
  (await ctx.db.query("rows").collect()).map((row) => row.n) });
export const put = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  console.log("put", n);
  await ctx.db.insert("rows", { n });
  return (await ctx.db.query("rows").collect()).length;
} });
export const slowPut = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  let spent = 0;
  for (let i = 0; i < 5e7; i++) spent += i;
  await ctx.db.insert("rows", { n });
  return spent > 0;
} });
export const failing = mutation({ args: { data: v.optional(v.any()) },
  handler: async (ctx, { data }) => {
    await ctx.db.insert("tries", {});
    console.error("about to fail");
    throw data === undefined ? new Error("no") : new ConvexError(data);
  } });
export const values = mutation({ args: { given: v.any() }, handler: async (_, { given }) =>
  ({ given, more: [1n, new ArrayBuffer(2), -0] }) });
export const hidden = internalMutation({ args: {}, handler: async () => 1 });
export const act = action({ args: { n: v.number() }, handler: async (ctx, { n }): Promise<any> => {
  console.info("acting");
  return [n, await ctx.runMutation(api.app.put, { n })];
} });
export const failingAction = action({ args: {}, handler: async (ctx): Promise<any> => {
  console.log("begun");
  await ctx.runMutation(api.app.failing, { data: { code: 9n } });
} });
export const until = action({ args: {}, handler: async (ctx): Promise<any> => {
  for (;;) {
    const rows: any = await ctx.runQuery(api.app.list, {});
    if (rows.includes(99)) return rows;
    await new Promise((done) => setTimeout(done, 5));
  }
} });
"""


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/app.ts": APP, "convex/probe.ts": PROBE})


def answers(socket: SyncSocket, count: int) -> dict[int, Any]:
    """The next so many answers by their requests, without the transitions between them."""
    found: dict[int, Any] = {}
    while len(found) < count:
        message = socket.receive()
        if message["type"] != "Transition":
            found[message["requestId"]] = message
    return found


def connect(socket: SyncSocket, session: str) -> None:
    socket.send({"type": "Connect", "sessionId": session, "connectionCount": 1})


def test_mutations_run_in_the_order_in_which_they_were_sent(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    numbers = [5, 3, 9, 1, 7]
    first = call("Mutation", 0, "app:slowPut", n=0)
    sync.send(first, *(call("Mutation", n, "app:put", n=n) for n in numbers))
    found = answers(sync, 6)
    assert list(found) == [0, *numbers]
    assert [found[n]["result"] for n in numbers] == [2, 3, 4, 5, 6]
    assert [row["n"] for row in live.documents("rows")] == [0, *numbers]


def test_a_query_that_is_followed_after_a_mutation_sees_it(sync: SyncSocket) -> None:
    sync.send(call("Mutation", 0, "app:slowPut", n=4), modify(0, add(1, "app:list")))
    kinds = [sync.receive() for _ in range(3)]
    assert [each["type"] for each in kinds] == ["MutationResponse", "Transition", "Transition"]
    assert values(kinds[2]) == {1: [4]}


def test_an_answer_comes_before_the_transition_with_its_result(sync: SyncSocket) -> None:
    assert follow(sync, add(1, "app:list")) == {1: []}
    sync.send(call("Mutation", 7, "app:put", n=4))
    answer, transition = sync.receive(), sync.receive()
    ts = answer.pop("ts")
    assert answer == {
        "type": "MutationResponse",
        "requestId": 7,
        "success": True,
        "result": 1,
        "logLines": ["[LOG] 'put' 4"],
    }
    assert values(transition) == {1: [4]}
    assert transition["endVersion"]["ts"] >= ts


@pytest.mark.parametrize("function", ["failing", "failingAction"])
def test_a_convex_error_comes_with_its_data(function: str, sync: SyncSocket) -> None:
    kind = "Action" if function == "failingAction" else "Mutation"
    args = {} if kind == "Action" else {"data": {"code": {"$integer": "CQAAAAAAAAA="}}}
    sync.send(call(kind, 3, f"app:{function}", **args))
    (answer,) = answers(sync, 1).values()
    head, _, text = answer.pop("result").partition("\n")
    assert head.startswith("[Request ID: ")
    assert head.endswith("] Server Error")
    called = "Uncaught ConvexError: " if kind == "Action" else ""
    assert text.startswith(f'Uncaught ConvexError: {called}{{"code":"9n"}}\n    at ')
    assert answer == {
        "type": f"{kind}Response",
        "requestId": 3,
        "success": False,
        "errorData": {"code": {"$integer": "CQAAAAAAAAA="}},
        "logLines": [
            *(["[LOG] 'begun'"] if kind == "Action" else []),
            "[ERROR] 'about to fail'",
        ],
    }


def test_a_plain_error_has_no_data(sync: SyncSocket) -> None:
    sync.send(call("Mutation", 0, "app:failing"))
    (answer,) = answers(sync, 1).values()
    assert "\nUncaught Error: no\n    at " in answer["result"]
    assert set(answer) == {"type", "requestId", "success", "result", "logLines"}


@pytest.mark.parametrize(
    ("kind", "path", "args", "text"),
    [
        ("Mutation", "app:nothing", {}, "Could not find public function for 'app:nothing'."),
        ("Mutation", "app:hidden", {}, "Could not find public function for 'app:hidden'."),
        ("Mutation", "app:put", {}, "ArgumentValidationError: Object is missing the required"),
        (
            *("Mutation", "app:act", {"n": 1}),
            "Trying to execute app.js:act as Mutation, but it is defined as Action.",
        ),
        (
            *("Action", "app:put", {"n": 1}),
            "Trying to execute app.js:put as Action, but it is defined as Mutation.",
        ),
    ],
)
def test_what_can_not_be_called_is_an_answer_and_the_connection_goes_on(
    kind: str, path: str, args: dict[str, Any], text: str, sync: SyncSocket
) -> None:
    sync.send(call(kind, 0, path, **args))
    (answer,) = answers(sync, 1).values()
    assert (answer["type"], answer["success"]) == (f"{kind}Response", False)
    assert answer["result"].partition("\n")[2].startswith(text)
    sync.send(call("Mutation", 1, "app:put", n=1))
    assert answers(sync, 1)[1]["result"] == 1


def test_values_of_every_kind_come_back(sync: SyncSocket) -> None:
    given = [{"$integer": "AQAAAAAAAAA="}, {"$float": "AAAAAAAAAIA="}, {"$bytes": "AAE="}, None]
    sync.send(call("Mutation", 0, "app:values", given=given))
    (answer,) = answers(sync, 1).values()
    assert answer["result"] == {
        "given": given,
        "more": [{"$integer": "AQAAAAAAAAA="}, {"$bytes": "AAA="}, {"$float": "AAAAAAAAAIA="}],
    }


def test_an_action_answers_with_its_lines_and_those_of_what_it_called(sync: SyncSocket) -> None:
    sync.send(call("Action", 5, "app:act", n=2))
    assert answers(sync, 1) == {
        5: {
            "type": "ActionResponse",
            "requestId": 5,
            "success": True,
            "result": [2, 1],
            "logLines": ["[INFO] 'acting'", "[LOG] 'put' 2"],
        }
    }


def test_an_action_holds_up_nothing_that_comes_after_it(sync: SyncSocket) -> None:
    sync.send(
        call("Action", 0, "app:until"),
        modify(0, add(1, "app:list")),
        call("Mutation", 1, "app:put", n=99),
    )
    found = answers(sync, 2)
    assert (found[0]["result"], found[1]["result"]) == ([99], 1)
    assert list(found) == [1, 0]


def test_a_request_that_is_sent_again_is_answered_as_before(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    request = call("Mutation", 7, "app:put", n=1)
    connect(sync, "mine")
    sync.send(request)
    (before,) = answers(sync, 1).values()
    live.mutation("app:put", {"n": 2})
    with SyncSocket(live.url) as again:
        connect(again, "mine")
        for socket in (sync, again):
            socket.send(request)
            (after,) = answers(socket, 1).values()
            assert {**after, "ts": None} == {**before, "ts": None}
    assert [row["n"] for row in live.documents("rows")] == [1, 2]


def test_requests_are_told_apart_by_their_numbers_and_sessions(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    connect(sync, "a")
    sync.send(call("Mutation", 11, "app:put", n=1), call("Mutation", 1, "app:put", n=2))
    assert [each["result"] for each in answers(sync, 2).values()] == [1, 2]
    with SyncSocket(live.url) as other:
        connect(other, "a 1")
        other.send(call("Mutation", 1, "app:put", n=3))
        assert answers(other, 1)[1]["result"] == 3


def test_a_request_that_is_sent_again_while_it_runs_runs_once(
    live: EmbeddedDeployment,
) -> None:
    with SyncSocket(live.url) as lost, SyncSocket(live.url) as again:
        for each in (lost, again):
            connect(each, "impatient")
        lost.send(call("Mutation", 0, "app:slowPut", n=1))
        again.send(call("Mutation", 0, "app:slowPut", n=1))
        found = [answers(each, 1)[0]["success"] for each in (lost, again)]
    assert found == [True, True]
    assert len(live.documents("rows")) == 1


def test_a_request_that_failed_fails_as_before_when_it_is_sent_again(
    sync: SyncSocket,
) -> None:
    connect(sync, "failed")
    sync.send(call("Mutation", 0, "app:failing"))
    before = answers(sync, 1)[0]
    sync.send(call("Mutation", 0, "app:failing"))
    assert answers(sync, 1)[0] == before, "also the number of the request"


def test_a_request_of_long_ago_is_not_known_any_more(
    sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    connect(sync, "long ago")
    sync.send(call("Mutation", 0, "app:put", n=1))
    assert answers(sync, 1)[0]["result"] == 1
    for start in (1, 501):
        sync.send(*(call("Mutation", start + i, "app:nothing") for i in range(500)))
        answers(sync, 500)
    sync.send(call("Mutation", 0, "app:put", n=1))
    assert answers(sync, 1)[0]["result"] == 2


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "Mutation", "requestId": 0, "udfPath": "a:b:c", "args": [{}]}, "is no function"),
        ({"type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1}, "not iterable"),
        ({"type": "Action", "requestId": 0, "udfPath": "a:b:c", "args": [{}]}, "is no function"),
    ],
)
def test_what_is_no_message_ends_its_connection_alone(
    message: dict[str, Any], error: str, sync: SyncSocket, live: EmbeddedDeployment
) -> None:
    with SyncSocket(live.url) as wrong:
        wrong.send(message)
        (told_of,) = wrong.until_closed()
        assert told_of["type"] == "FatalError"
        assert error in told_of["error"]
        assert wrong.closed == (1008, "FatalError")
    assert told(sync) == []


def test_a_message_of_a_kind_that_is_not_known_is_left_alone(sync: SyncSocket) -> None:
    sync.send({"type": "Event", "eventType": "ClientConnect", "event": {}})
    assert told(sync) == []
