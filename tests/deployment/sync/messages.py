"""Messages of the sync protocol, and what a client has been told of what it follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from tests.deployment.sync_socket import SyncSocket

Message: TypeAlias = dict[str, Any]

_NOTHING = "probe:nothing"
PROBE = """
import { mutation } from "./_generated/server";
export const nothing = mutation({ args: {}, handler: async () => null });
"""
"""`convex/probe.ts` of every app whose clients are asked what they have been `told`."""


def call(kind: str, request: int, path: str, **args: Any) -> Message:
    return {"type": kind, "requestId": request, "udfPath": path, "args": [args]}


def add(query: int, path: str, args: Mapping[str, Any] | None = None, **more: Any) -> Message:
    return {"type": "Add", "queryId": query, "udfPath": path, "args": [args or {}], **more}


def remove(query: int) -> Message:
    return {"type": "Remove", "queryId": query}


def modify(base: int, *modifications: Message) -> Message:
    versions = {"baseVersion": base, "newVersion": base + 1}
    return {"type": "ModifyQuerySet", **versions, "modifications": list(modifications)}


def authenticate(base: int, kind: str = "None", **more: Any) -> Message:
    return {"type": "Authenticate", "baseVersion": base, "tokenType": kind, **more}


def values(transition: Any) -> dict[int, Any]:
    """The new values by query; of one that has none, what has become of it."""
    assert transition["type"] == "Transition", transition
    changes = transition["modifications"]
    return {each["queryId"]: each.get("value", each["type"]) for each in changes}


def follow(socket: SyncSocket, *queries: Message, base: int = 0) -> dict[int, Any]:
    """Follows queries besides those of before; their first values."""
    socket.send(modify(base, *queries))
    return values(socket.receive())


def told(socket: SyncSocket) -> list[dict[int, Any]]:
    """The values of all transitions that were due, without waiting for what does not come: a
    mutation is answered when every client has been told of what was committed before."""
    request = socket.next_probe()
    socket.send(call("Mutation", request, _NOTHING))
    transitions = []
    while (message := socket.receive())["type"] == "Transition":
        transitions.append(values(message))
    assert (message["type"], message["requestId"]) == ("MutationResponse", request), message
    assert message["success"], message
    own = values(socket.receive())
    assert own == {}, own
    return transitions
