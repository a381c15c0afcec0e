"""The HTTP side: requests in, scripted answers out."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.patience import HANG_SECONDS

from .batches import Batch
from .events import error_event, events, whole_message
from .script import Received, Script

if TYPE_CHECKING:
    from .server import MessagesServer

_MESSAGES = "/v1/messages"
_BATCHES = "/v1/messages/batches"
_FOREVER_SECONDS = HANG_SECONDS


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    messages: MessagesServer
    path_of_replies = _MESSAGES
    request_id_header = "request-id"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        body = json.loads(self.rfile.read(length))
        received = Received({k.lower(): v for k, v in self.headers.items()}, body)
        if self.path == self.path_of_replies:
            self._answer(received)
        elif self.path == _BATCHES:
            self._create_batch(received)
        else:
            self._error(Script(status=404, error_type="not_found_error", message=self.path))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix(_BATCHES).strip("/")
        identity, _, rest = path.partition("/")
        batch = self.messages.batches.get(identity)
        if not identity:
            found = [self._told(one) for one in reversed(self.messages.batches.values())]
            self._json({"data": found, "has_more": False, "first_id": None, "last_id": None})
        elif batch is None:
            self._error(Script(status=404, error_type="not_found_error", message=self.path))
        elif rest == "results":
            self._results(batch)
        else:
            batch.polls += 1
            self._json(self._told(batch))

    # Messages.

    def _answer(self, received: Received) -> None:
        # Counted first, and as in flight until it is over: who waits for the server to be idle
        # looks at both.
        began = self.messages.enter()
        try:
            script = self.messages.answer(received)
            if self.headers.get("authorization") in (None, "Bearer "):
                script = Script(status=401, error_type="authentication_error", message="no key")
            # What is not in the cache when a request comes is written to it, whoever answers first.
            streams = script.status == 200 and script.raw is None and script.ending != "hangup"
            usage = self.messages.usage(received.body) if streams else {}
            with contextlib.suppress(ConnectionError):
                self.messages.closing.wait(script.latency)
                while script.hold and not script.hold.wait(0.05):
                    if self.messages.closing.is_set():
                        break
                if script.ending == "hangup":
                    self._hang_up()
                elif script.raw is not None:
                    self._send(script.status, script.raw.encode(), "text/html", script.headers)
                elif script.status != 200:
                    self._error(script)
                elif self._stream(script, received.body, usage):
                    self.messages.told(received.user, began)
        finally:
            self.messages.leave()

    def _stream(self, script: Script, body: dict[str, Any], usage: dict[str, Any]) -> bool:
        """Streams a reply; whether all of it was told."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header(self.request_id_header, "req_stream")
        self.send_header("transfer-encoding", "chunked")
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.end_headers()
        whole = self._events(script, body, usage)
        self.messages.begin(script, body, usage)
        for event in whole if script.ending == "whole" else whole[: len(whole) // 2]:
            if script.pause and self._is_text(event):
                self.messages.closing.wait(script.pause)
            self._event(event)
        if script.ending == "whole":
            self._end()
        if script.ending != "whole" and not self._goes_on(script):
            self.close_connection = True
            return False
        self.wfile.write(b"0\r\n\r\n")
        return script.ending == "whole"

    def _goes_on(self, script: Script) -> bool:
        """How a stream that breaks off goes on; whether its response ends in good order."""
        match script.ending:
            case "drop":
                self._hang_up()
                return False
            case "stall":
                self.messages.closing.wait(_FOREVER_SECONDS)
                return False
            case "pings":
                deadline = time.monotonic() + _FOREVER_SECONDS
                while time.monotonic() < deadline and not self.messages.closing.wait(0.05):
                    self._ping()
                return False
            case "noise":
                self.wfile.write(b"\x00\xff no chunk\r\n")
                self._hang_up()
                return False
            case "error":
                self._event(self._error_event(script))
            case "garbage":
                self._chunk(b'event: content_block_delta\ndata: {"type": "content_bl\n\n')
        return True

    def _events(
        self, script: Script, body: dict[str, Any], usage: dict[str, Any]
    ) -> list[dict[str, Any]]:
        return list(events(script, body, usage))

    def _is_text(self, event: dict[str, Any]) -> bool:
        return bool(event["type"] == "content_block_delta")

    def _end(self) -> None:
        """What follows the last event."""

    def _ping(self) -> None:
        self._event({"type": "ping"})

    def _error_event(self, script: Script) -> dict[str, Any]:
        return error_event(script)

    def _error_body(self, script: Script) -> dict[str, Any]:
        return {**error_event(script), "request_id": "req_error"}

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    # Batches.

    def _create_batch(self, received: Received) -> None:
        messages = self.messages
        with messages.lock:
            messages.requests.append(received)
            queue = messages.queue
            # The only troubles of a creation: an error, and an answer that nobody hears.
            troubled = bool(queue) and (queue[0].status != 200 or queue[0].ending == "drop")
            trouble = queue.pop(0) if troubled else None
            batch = Batch(f"msgbatch_{len(messages.batches) + 1}", received.body["requests"])
            if trouble is None or trouble.status == 200:
                messages.batches[batch.identity] = batch
        if trouble is None:
            self._json(self._told(batch))
        elif trouble.status == 200:
            self._hang_up()
        else:
            self._error(trouble)

    def _told(self, batch: Batch) -> dict[str, Any]:
        return batch.told(self.messages.url, after_polls=self.messages.batch_polls)

    def _results(self, batch: Batch) -> None:
        lines = []
        for identity, body in batch.entries():
            result = self._result(body)
            lines.append(json.dumps({"custom_id": identity, "result": result}))
        self._send(200, "\n".join(lines).encode(), "application/x-jsonl")

    def _result(self, body: dict[str, Any]) -> dict[str, Any]:
        script = self.messages.pick(Received({}, body))
        if script.status != 200:
            error = {**error_event(script), "request_id": "req_error"}
            return {"type": "errored", "error": error}
        if script.batch != "succeeded":
            return {"type": script.batch}
        usage = {**self.messages.usage(body), "service_tier": "batch"}
        billed = self.messages.begin(script, body, usage)
        return {"type": "succeeded", "message": whole_message(script, body, billed)}

    # Plain responses.

    def _json(self, data: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            self._send(200, json.dumps(data).encode(), "application/json")

    def _error(self, script: Script) -> None:
        data = json.dumps(self._error_body(script)).encode()
        headers = {self.request_id_header: "req_error", **script.headers}
        self._send(script.status, data, "application/json", headers)

    def _send(
        self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {"request-id": "req_plain"}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
