"""Stand-ins for outside services: a real HTTP server on this machine that a block's actions ask."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import JsonValue

_MOST_BODY_BYTES = 4 * 1024 * 1024
_MOST_REQUESTS = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answers to `method` and `path` (without a query string)."""

    method: str
    path: str
    status: int
    content_type: str
    body: bytes


class Service:
    """One service on a port of its own. Use as a context manager.

    A request that no answer fits gets a 404. `requests` are those that came, in order, as
    `{method, path, query, headers, text, json}`; header names are lower case.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._requests: list[dict[str, JsonValue]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[dict[str, JsonValue]]:
        with self._lock:
            return list(self._requests)

    def _received(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | None:
        parts = urlsplit(target)
        text = body.decode("utf-8", "replace")
        request: dict[str, JsonValue] = {
            "method": method,
            "path": parts.path,
            "query": dict(parse_qsl(parts.query, keep_blank_values=True)),
            "headers": {name.lower(): value for name, value in headers.items()},
            "text": text,
        }
        with contextlib.suppress(ValueError):
            request["json"] = json.loads(text)
        with self._lock:
            if len(self._requests) < _MOST_REQUESTS:
                self._requests.append(request)
        for answer in self._answers:
            if (answer.method, answer.path) == (method, parts.path):
                return answer
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = min(int(self.headers.get("Content-Length") or 0), _MOST_BODY_BYTES)
                body = self.rfile.read(length)
                headers = dict(self.headers.items())
                answer = service._received(self.command, self.path, headers, body)
                missing = Answer(self.command, self.path, 404, "text/plain", b"not found")
                given = answer or missing
                self.send_response(given.status)
                self.send_header("Content-Type", given.content_type)
                self.send_header("Content-Length", str(len(given.body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(given.body)

            # The names are http.server's.
            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what came is in `requests`."""

        return Handler
