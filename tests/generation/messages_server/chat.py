"""Chat Completions, streamed, as OpenAI, OpenRouter and servers of one's own speak them."""

from __future__ import annotations

import json
from typing import Any

from .events import output_tokens
from .handler import Handler
from .script import Script
from .server import MessagesServer

_REASONS = {"end_turn": "stop"}
"""What a script says that was not made for this API."""
_USD = 2.5e-6
"""For any token: what a router that is asked for it says that it charges."""


class ChatHandler(Handler):
    """Serves one connection."""

    path_of_replies = "/v1/chat/completions"
    request_id_header = "x-request-id"

    def _events(
        self, script: Script, body: dict[str, Any], usage: dict[str, Any]
    ) -> list[dict[str, Any]]:
        events = [_chunk(body, {"role": "assistant", "content": ""})]
        if script.thinking is not None:
            events.append(_chunk(body, {"reasoning_content": script.thinking}))
        size = max(len(script.text) // 4, 1)
        for start in range(0, len(script.text), size):
            events.append(_chunk(body, {"content": script.text[start : start + size]}))
        if script.refusal is not None:
            events.append(_chunk(body, {"refusal": script.refusal}))
        reason = _REASONS.get(script.stop_reason, script.stop_reason)
        events.append(_chunk(body, {}, reason))
        if script.counts and body.get("stream_options") == {"include_usage": True}:
            events.append({**_chunk(body, {}), "choices": [], "usage": _usage(script, body, usage)})
        return events

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(event)}\n\n".encode())

    def _is_text(self, event: dict[str, Any]) -> bool:
        return any("content" in choice["delta"] for choice in event["choices"])

    def _end(self) -> None:
        self._chunk(b"data: [DONE]\n\n")

    def _ping(self) -> None:
        # What OpenRouter sends while nothing else comes.
        self._chunk(b": OPENROUTER PROCESSING\n\n")

    def _error_event(self, script: Script) -> dict[str, Any]:
        error: dict[str, Any] = {
            "message": script.message,
            "type": script.error_type,
            "param": None,
            "code": script.error_code,
        }
        if script.error_metadata is not None:
            error["metadata"] = script.error_metadata
        return {"error": error}

    def _error_body(self, script: Script) -> dict[str, Any]:
        return self._error_event(script)


class ChatServer(MessagesServer):
    """As `MessagesServer`; `url` is what clients take for the base."""

    handler = ChatHandler

    def __init__(self) -> None:
        super().__init__()
        self.url += "/v1"


def _chunk(
    body: dict[str, Any], delta: dict[str, Any], reason: str | None = None
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def _usage(script: Script, body: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """The counts of the other API in the words of this one."""
    read = usage["cache_read_input_tokens"]
    prompt = usage["input_tokens"] + usage["cache_creation_input_tokens"] + read
    output = output_tokens(script)
    told = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": read},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    # As OpenRouter's `usage: {include: true}`.
    return told | ({"cost": _USD * (prompt + output)} if body.get("usage") else {})
