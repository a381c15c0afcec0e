"""What goes over the wire: messages, errors, and the events of a stream (version 2026-10-21)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .script import Script


def error_event(script: Script) -> dict[str, Any]:
    """The error of a script: the body of a response, or an event within a stream."""
    details = {} if script.error_code is None else {"details": {"error_code": script.error_code}}
    error = {"type": script.error_type, "message": script.message, **details}
    return {"type": "error", "error": error}


def output_tokens(script: Script) -> int:
    return len(script.text) // 4 + 1 if script.output_tokens is None else script.output_tokens


def message(body: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """A message that has just begun."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def whole_message(script: Script, body: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """A message as the results of a batch have it."""
    return {
        **message(body, usage),
        "content": [{"type": "text", "text": script.text}],
        "stop_reason": script.stop_reason,
        "stop_details": script.stop_details,
    }


def events(script: Script, body: dict[str, Any], usage: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A whole stream."""
    yield {"type": "message_start", "message": message(body, usage)}
    yield {"type": "ping"}
    index = 0
    if script.thinking is not None:
        yield from _thinking(script.thinking)
        index = 1
    if script.text:
        block = {"type": "text", "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        size = max(len(script.text) // 4, 1)
        for start in range(0, len(script.text), size):
            delta = {"type": "text_delta", "text": script.text[start : start + size]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {
            "stop_reason": script.stop_reason,
            "stop_sequence": None,
            "stop_details": script.stop_details,
        },
        "usage": {"input_tokens": None, "output_tokens": output_tokens(script)},
    }
    yield {"type": "message_stop"}


def _thinking(text: str) -> Iterator[dict[str, Any]]:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    delta = {"type": "thinking_delta", "thinking": text}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    signature = {"type": "signature_delta", "signature": "c2ln"}
    yield {"type": "content_block_delta", "index": 0, "delta": signature}
    yield {"type": "content_block_stop", "index": 0}
