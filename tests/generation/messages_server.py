"""A local Messages API with scripted replies, for the real SDK to talk to.

In a test, `MessagesServer` serves until its block is left: each request takes the next script of
its queue, else the first rule whose substring stands in the user message, else the default.

As a program (for tests that start pytest in a process of its own and set ANTHROPIC_BASE_URL):

    python messages_server.py PORT SCRIPT.json [LOG.jsonl]

prints `http://127.0.0.1:PORT` when it listens (port 0: any), serves until its stdin ends, and
appends each request's body to the log. The script is `{"rules": [{"contains": ..., "text": ...,
...}], "queue": [...], "default": {...}}` with the fields of `Script`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, cast

KEY = "sk-ant-test-key"


@dataclass(frozen=True)
class Script:
    """How one request is answered.

    `status` other than 200 answers with an error of `error_type`. Of a stream, `ending` says how it
    goes on after half of the text: as it should, `drop` (connection reset), `cut` (ends in good
    order, but early), `stall` (silence), `pings` (nothing but pings), `error` (an event of
    `error_type`). `pause` are seconds before each piece of text.
    """

    text: str = "hello"
    thinking: str | None = None
    stop_reason: str = "end_turn"
    stop_details: dict[str, Any] | None = None
    output_tokens: int | None = None
    status: int = 200
    error_type: str = "api_error"
    error_code: str | None = None
    message: str = "scripted trouble"
    headers: dict[str, str] = field(default_factory=dict)
    ending: Literal["whole", "drop", "cut", "stall", "pings", "error"] = "whole"
    pause: float = 0.0
    contains: str | None = None


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def user(self) -> str:
        """The last user message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)


class MessagesServer:
    """The server; `requests` holds what it got, `queue`, `rules` and `default` what it answers."""

    def __init__(self, port: int = 0, *, log: Path | None = None) -> None:
        self.queue: list[Script] = []
        self.rules: list[Script] = []
        self.default = Script()
        self.requests: list[Received] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._log = log
        owner = self

        class Handler(_Handler):
            messages = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> MessagesServer:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, received: Received) -> Script:
        """Notes the request and picks what to answer."""
        with self.lock:
            self.requests.append(received)
            if self._log is not None:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(received.body) + "\n")
            if self.queue:
                return self.queue.pop(0)
            for rule in self.rules:
                if rule.contains is not None and rule.contains in received.user:
                    return rule
            return self.default


class _Handler(BaseHTTPRequestHandler):
    messages: MessagesServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        body = json.loads(self.rfile.read(length))
        if self.path != "/v1/messages":
            self._error(Script(status=404, error_type="not_found_error", message=self.path))
            return
        script = self.messages.answer(
            Received({k.lower(): v for k, v in self.headers.items()}, body)
        )
        if self.headers.get("authorization") in (None, "Bearer "):
            script = Script(status=401, error_type="authentication_error", message="no key")
        with contextlib.suppress(ConnectionError):
            if script.status != 200:
                self._error(script)
            else:
                self._stream(script, body)

    def _error(self, script: Script) -> None:
        data = json.dumps({**_error_event(script), "request_id": "req_error"}).encode()
        self.send_response(script.status)
        self.send_header("content-type", "application/json")
        self.send_header("request-id", "req_error")
        self.send_header("content-length", str(len(data)))
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, script: Script, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("request-id", "req_stream")
        self.send_header("transfer-encoding", "chunked")
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.end_headers()
        events = list(_events(script, body))
        if script.ending != "whole":
            events = events[: len(events) // 2]
        for event in events:
            if script.pause and event["type"] == "content_block_delta":
                self.messages.closing.wait(script.pause)
            self._event(event)
        match script.ending:
            case "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            case "stall":
                self.messages.closing.wait(30)
                self.close_connection = True
                return
            case "pings":
                deadline = time.monotonic() + 30
                while time.monotonic() < deadline and not self.messages.closing.wait(0.05):
                    self._event({"type": "ping"})
                self.close_connection = True
                return
            case "error":
                self._event(_error_event(script))
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, Any]) -> None:
        data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def _error_event(script: Script) -> dict[str, Any]:
    details = {} if script.error_code is None else {"details": {"error_code": script.error_code}}
    error = {"type": script.error_type, "message": script.message, **details}
    return {"type": "error", "error": error}


def _events(script: Script, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A stream as the API documents it (Messages streaming, version 2026-10-21)."""
    usage = {
        "input_tokens": 25,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
        "service_tier": "standard",
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    index = 0
    if script.thinking is not None:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        delta = {"type": "thinking_delta", "thinking": script.thinking}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        signature = {"type": "signature_delta", "signature": "c2ln"}
        yield {"type": "content_block_delta", "index": 0, "delta": signature}
        yield {"type": "content_block_stop", "index": 0}
        index = 1
    if script.text:
        block = {"type": "text", "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        size = max(len(script.text) // 4, 1)
        for start in range(0, len(script.text), size):
            delta = {"type": "text_delta", "text": script.text[start : start + size]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    counted = len(script.text) // 4 + 1 if script.output_tokens is None else script.output_tokens
    yield {
        "type": "message_delta",
        "delta": {
            "stop_reason": script.stop_reason,
            "stop_sequence": None,
            "stop_details": script.stop_details,
        },
        "usage": {"input_tokens": None, "output_tokens": counted},
    }
    yield {"type": "message_stop"}


def _script(data: dict[str, Any]) -> Script:
    known = {entry.name for entry in fields(Script)}
    if unknown := set(data) - known:
        raise SystemExit(f"no field of a script: {', '.join(sorted(unknown))}")
    return Script(**data)


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    port, path, *log = arguments
    data = cast("dict[str, Any]", json.loads(Path(path).read_text("utf-8")))
    server = MessagesServer(int(port), log=Path(log[0]) if log else None)
    server.rules = [_script(entry) for entry in data.get("rules", [])]
    server.queue = [_script(entry) for entry in data.get("queue", [])]
    server.default = _script(data.get("default", {}))
    with server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
