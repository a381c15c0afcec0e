"""A local Messages API with scripted replies, for the real SDK to talk to.

In a test, `MessagesServer` serves until its block is left: each request takes the next script of
its queue, else the first rule whose substring stands in the user message, else the default. It
also limits the rate of requests, has a prompt cache, takes batches, and adds up what it charges
(at 2 and 10 USD a million tokens), where a test asks for it.

As a program (for tests that start pytest in a process of its own and set ANTHROPIC_BASE_URL):

    python messages_server.py PORT SCRIPT.json [LOG.jsonl]

prints `http://127.0.0.1:PORT` when it listens (port 0: any), serves until its stdin ends, and
appends each request's body to the log. The script is `{"rules": [{"contains": ..., "text": ...,
...}], "queue": [...], "default": {...}}` with the fields of `Script`, and optionally `"rate":
[requests, seconds]`, `"caching": true`, `"batch_polls": n`. When stdin ends it prints a JSON line
with its sums.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
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
    `error_type`). `latency` are seconds before anything is answered, `pause` those before each
    piece of text. `batch` is how it ends as an entry of a batch (with `status`: errored).
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
    latency: float = 0.0
    pause: float = 0.0
    batch: Literal["succeeded", "expired", "canceled"] = "succeeded"
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


@dataclass
class Sums:
    """What the server did. `arrivals` and `refusals` are seconds since its start."""

    charged: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    """The user messages that were answered to the end."""
    in_flight: int = 0
    most_in_flight: int = 0
    cache_writes: int = 0


@dataclass
class _Batch:
    identity: str
    created: datetime.datetime
    requests: list[dict[str, Any]]
    polls: int = 0


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # Many clients begin at once, and a refused connection costs a second.
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that is killed is no trouble of the server's."""


class MessagesServer:
    """The server; `requests` holds what it got, `queue`, `rules` and `default` what it answers.

    `rate` are requests per seconds, as a bucket that is full at first; `batch_polls` is how often a
    batch is asked for before it has ended.
    """

    def __init__(self, port: int = 0, *, log: Path | None = None) -> None:
        self.queue: list[Script] = []
        self.rules: list[Script] = []
        self.default = Script()
        self.rate: tuple[int, float] | None = None
        self.caching = False
        self.batch_polls = 1
        self.requests: list[Received] = []
        self.batches: dict[str, _Batch] = {}
        self.sums = Sums()
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._log = log
        self._started = time.monotonic()
        self._tokens: float | None = None
        self._filled = 0.0
        self._cached: set[str] = set()
        owner = self

        class Handler(_Handler):
            messages = owner

        self._http = _Http(("127.0.0.1", port), Handler)
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
            self._note(received.body)
            return self._refusal() or self.pick(received)

    def pick(self, received: Received) -> Script:
        """What the script says for a request; the caller holds the lock."""
        if self.queue:
            return self.queue.pop(0)
        for rule in self.rules:
            if rule.contains is not None and rule.contains in received.user:
                return rule
        return self.default

    def _note(self, body: dict[str, Any]) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(body) + "\n")

    def _refusal(self) -> Script | None:
        now = time.monotonic() - self._started
        self.sums.arrivals.append(now)
        if self.rate is None:
            return None
        count, seconds = self.rate
        if self._tokens is None:
            self._tokens, self._filled = float(count), now
        self._tokens = min(self._tokens + (now - self._filled) * count / seconds, float(count))
        self._filled = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        self.sums.refusals.append(now)
        wait = str(round((1 - self._tokens) * seconds / count, 3))
        return Script(status=429, error_type="rate_limit_error", headers={"retry-after": wait})

    def usage(self, script: Script, body: dict[str, Any]) -> dict[str, Any]:
        """The usage of a reply that begins now, with one output token."""
        written, read = 0, 1000
        if self.caching:
            prefix = json.dumps([body["model"], body.get("system")])
            with self.lock:
                written, read = (0, 1000) if prefix in self._cached else (1000, 0)
                self.sums.cache_writes += bool(written)
        hour = "1h" in json.dumps(body.get("system"))
        return {
            "input_tokens": 25,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 0 if hour else written,
                "ephemeral_1h_input_tokens": written if hour else 0,
            },
            "output_tokens": 1,
            "service_tier": "standard",
        }

    def begin(self, body: dict[str, Any]) -> None:
        """A reply begins: its prefix is cached from now on."""
        with self.lock:
            self._cached.add(json.dumps([body["model"], body.get("system")]))

    def charge(self, usage: dict[str, Any], *, batch: bool = False) -> None:
        """Adds what a reply with this usage costs."""
        parts = usage["cache_creation"]
        tokens = usage["input_tokens"] + 0.05 * usage["cache_read_input_tokens"]
        tokens += 1.25 * parts["ephemeral_5m_input_tokens"]
        tokens += 2.0 * parts["ephemeral_1h_input_tokens"]
        with self.lock:
            usd = (2.0 * tokens + 10.0 * usage["output_tokens"]) / 1e6
            self.sums.charged += usd * (0.5 if batch else 1.0)


class _Handler(BaseHTTPRequestHandler):
    messages: MessagesServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        body = json.loads(self.rfile.read(length))
        if self.path not in ("/v1/messages", "/v1/messages/batches"):
            self._error(Script(status=404, error_type="not_found_error", message=self.path))
            return
        headers = {k.lower(): v for k, v in self.headers.items()}
        if self.path == "/v1/messages/batches":
            self._create_batch(headers, body)
            return
        received = Received(headers, body)
        script = self.messages.answer(received)
        if self.headers.get("authorization") in (None, "Bearer "):
            script = Script(status=401, error_type="authentication_error", message="no key")
        sums = self.messages.sums
        with self.messages.lock:
            sums.in_flight += 1
            sums.most_in_flight = max(sums.most_in_flight, sums.in_flight)
        # What is not in the cache when a request comes is written to it, whoever answers first.
        usage = self.messages.usage(script, body) if script.status == 200 else {}
        try:
            with contextlib.suppress(ConnectionError):
                self.messages.closing.wait(script.latency)
                if script.status != 200:
                    self._error(script)
                else:
                    self._stream(script, body, usage, received.user)
        finally:
            with self.messages.lock:
                sums.in_flight -= 1

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/v1/messages/batches").strip("/")
        identity, _, rest = path.partition("/")
        batch = self.messages.batches.get(identity)
        if not identity:
            found = [self._batch(one) for one in reversed(self.messages.batches.values())]
            self._json({"data": found, "has_more": False, "first_id": None, "last_id": None})
        elif batch is None:
            self._error(Script(status=404, error_type="not_found_error", message=self.path))
        elif rest == "results":
            self._results(batch)
        else:
            batch.polls += 1
            self._json(self._batch(batch))

    def _create_batch(self, headers: dict[str, str], body: dict[str, Any]) -> None:
        with self.messages.lock:
            self.messages.requests.append(Received(headers, body))
            self.messages._note(body)
            queue = self.messages.queue
            # The only troubles of a creation: an error, and an answer that nobody hears.
            troubled = bool(queue) and (queue[0].status != 200 or queue[0].ending == "drop")
            trouble = queue.pop(0) if troubled else None
            number = len(self.messages.batches) + 1
            batch = _Batch(
                f"msgbatch_{number}", datetime.datetime.now(datetime.UTC), body["requests"]
            )
            if trouble is None or trouble.status == 200:
                self.messages.batches[batch.identity] = batch
        if trouble is None:
            self._json(self._batch(batch))
        elif trouble.status == 200:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self._error(trouble)

    def _batch(self, batch: _Batch) -> dict[str, Any]:
        ended = batch.polls >= self.messages.batch_polls
        count = len(batch.requests)
        day = datetime.timedelta(hours=24)
        counts = {"processing": 0 if ended else count, "succeeded": count if ended else 0}
        return {
            "id": batch.identity,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {**counts, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": batch.created.isoformat(),
            "expires_at": (batch.created + day).isoformat(),
            "ended_at": batch.created.isoformat() if ended else None,
            "cancel_initiated_at": None,
            "archived_at": None,
            "results_url": f"{self.messages.url}/v1/messages/batches/{batch.identity}/results"
            if ended
            else None,
        }

    def _results(self, batch: _Batch) -> None:
        """In an order that is not that of the requests."""
        lines = []
        for entry in reversed(batch.requests):
            body = entry["params"]
            with self.messages.lock:
                script = self.messages.pick(Received({}, body))
            if script.status != 200:
                error = {**_error_event(script), "request_id": "req_error"}
                result: dict[str, Any] = {"type": "errored", "error": error}
            elif script.batch != "succeeded":
                result = {"type": script.batch}
            else:
                usage = self.messages.usage(script, body)
                self.messages.begin(body)
                usage |= {"output_tokens": _output(script), "service_tier": "batch"}
                self.messages.charge(usage, batch=True)
                message = {
                    **_message(body, usage),
                    "content": [{"type": "text", "text": script.text}],
                    "stop_reason": script.stop_reason,
                    "stop_details": script.stop_details,
                }
                result = {"type": "succeeded", "message": message}
            lines.append(json.dumps({"custom_id": entry["custom_id"], "result": result}))
        self._send(200, "\n".join(lines).encode(), "application/x-jsonl")

    def _json(self, data: dict[str, Any]) -> None:
        self._send(200, json.dumps(data).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("request-id", "req_plain")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

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

    def _stream(
        self, script: Script, body: dict[str, Any], usage: dict[str, Any], user: str
    ) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("request-id", "req_stream")
        self.send_header("transfer-encoding", "chunked")
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.end_headers()
        events = list(_events(script, body, usage))
        if script.ending != "whole":
            events = events[: len(events) // 2]
        self.messages.begin(body)
        # What was begun is billed, whoever hears the end of it.
        self.messages.charge({**usage, "output_tokens": _output(script)})
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
            case "whole":
                with self.messages.lock:
                    self.messages.sums.whole.append(user)
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, Any]) -> None:
        data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def _error_event(script: Script) -> dict[str, Any]:
    details = {} if script.error_code is None else {"details": {"error_code": script.error_code}}
    error = {"type": script.error_type, "message": script.message, **details}
    return {"type": "error", "error": error}


def _output(script: Script) -> int:
    return len(script.text) // 4 + 1 if script.output_tokens is None else script.output_tokens


def _message(body: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
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


def _events(
    script: Script, body: dict[str, Any], usage: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """A stream as the API documents it (Messages streaming, version 2026-10-21)."""
    message = _message(body, usage)
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
    yield {
        "type": "message_delta",
        "delta": {
            "stop_reason": script.stop_reason,
            "stop_sequence": None,
            "stop_details": script.stop_details,
        },
        "usage": {"input_tokens": None, "output_tokens": _output(script)},
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
    if "rate" in data:
        count, seconds = data["rate"]
        server.rate = (count, seconds)
    server.caching = data.get("caching", False)
    server.batch_polls = data.get("batch_polls", 1)
    with server:
        print(server.url, flush=True)
        sys.stdin.read()
        print(json.dumps(asdict(server.sums)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
