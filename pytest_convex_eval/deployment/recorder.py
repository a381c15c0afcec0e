"""A server in front of a backend that sees how a push ends.

A backend that is not ours keeps no record of its pushes, and the CLI's exit code does not say whose
fault a failure is. So the CLI pushes to this server, which passes everything on unchanged, in both
directions, and keeps what the backend answered to the requests of a push.
"""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.model import PushOutcome
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.places import Place
from pytest_convex_eval.text import well_formed_json

ANSWER_SECONDS = 120.0
"""For the backend to answer one request of the CLI: a big push is analysed in one."""
_IDLE_SECONDS = 120.0

START_PUSH = "/api/deploy2/start_push"
WAIT_FOR_SCHEMA = "/api/deploy2/wait_for_schema"
FINISH_PUSH = "/api/deploy2/finish_push"

_RACE = "RaceDetected"
"""The one code of a refused push that says nothing about the pushed code."""
_WRAPPINGS = (
    "Hit an error while pushing:\n",
    "Loading the pushed modules encountered the following\n    error:\n",
    "Hit an error while evaluating your schema:\n",
)
_FRAME = re.compile(r"\(\.\./(convex/[^\s():]+):(\d+):(\d+)\)")
_OF_ONE_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "host")
)
"""Headers that speak of one connection (RFC 9110, 7.6.1), and the host, which each side names."""


class _Refused(BaseModel):
    code: str
    message: str


class _Schema(BaseModel):
    type: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedPush:
    """The start_push request of a push, as the CLI sent it."""

    headers: Mapping[str, str]
    body: bytes


class PushRecorder:
    """Serves on a loopback port of its own until `close`; what it knows of pushes is in memory."""

    def __init__(self, upstream: str) -> None:
        """`upstream`: the backend's URL, http or https."""
        self.upstream = upstream
        self._lock = threading.Lock()
        self._last = PushOutcome("none")
        self._push: RecordedPush | None = None
        recorder = self

        class Handler(_Handler):
            recording = recorder

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def last(self) -> PushOutcome:
        """How the last push ended."""
        with self._lock:
            return self._last

    def live_push(self) -> RecordedPush | None:
        """The push that is live; None where none was accepted last."""
        with self._lock:
            return self._push if self._last.status == "accepted" else None

    def forget(self) -> None:
        """Knows as much as before the first push; the count of pushes goes on."""
        with self._lock:
            self._last = PushOutcome("none", self._last.number)
            self._push = None

    def record(self, path: str, headers: Mapping[str, str], body: bytes, answer: _Answer) -> None:
        """Keeps what `answer` to a request says about a push."""
        with self._lock:
            number = self._last.number
            if path == START_PUSH:
                number += 1
                self._push = RecordedPush(dict(headers), body)
            if path in (START_PUSH, FINISH_PUSH) and answer.status != 200:
                self._last = _refusal(number, "start" if path == START_PUSH else "finish", answer)
            elif path == START_PUSH:
                self._last = PushOutcome("started", number)
            elif path == FINISH_PUSH:
                self._last = PushOutcome("accepted", number)
            elif path == WAIT_FOR_SCHEMA and (problem := _schema_problem(answer)) is not None:
                self._last = PushOutcome("failed", number, phase="schema", message=problem)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


def _refusal(number: int, phase: str, answer: _Answer) -> PushOutcome:
    """400 is the backend's judgement of what was pushed; anything else is about something else
    (keys, limits of requests, its own trouble), and so is 400 that tells of a race."""
    text = answer.body.decode("utf-8", "replace")
    try:
        said = _Refused.model_validate_json(well_formed_json(text))
    except ValidationError:
        message = f"it answered with HTTP {answer.status}: {text}"
        return PushOutcome("failed", number, phase=phase, message=message)
    if answer.status != 400 or said.code == _RACE:
        message = f"it answered with HTTP {answer.status}: {said.code}: {said.message}"
        return PushOutcome("failed", number, phase=phase, code=said.code, message=message)
    message = said.message
    for wrapping in _WRAPPINGS:
        message = message.removeprefix(wrapping)
    frame = _FRAME.search(message)
    return PushOutcome(
        "refused",
        number,
        phase=phase,
        code=said.code,
        message=message,
        position=Place(frame[1], int(frame[2]), int(frame[3])) if frame else None,
    )


def _schema_problem(answer: _Answer) -> str | None:
    """Documents that do not fit the schema, or another's push: the deployment was empty, so
    neither is the pushed code's doing."""
    if answer.status != 200:
        text = answer.body.decode("utf-8", "replace")
        return f"it answered with HTTP {answer.status}: {text}"
    try:
        schema = _Schema.model_validate_json(answer.body)
    except ValidationError as error:
        return f"it says something unexpected of its schema: {error}"
    if schema.type == "failed":
        return schema.error or "the documents that are there do not fit the schema"
    return "another push came between" if schema.type == "raceDetected" else None


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 32

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is no news; what it missed was answered."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    recording: PushRecorder

    def _pass_on(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._tunnel()
            return
        if "Transfer-Encoding" in self.headers:
            # The CLI knows the length of all that it sends.
            self.send_error(411)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {
            name: value
            for name, value in self.headers.items()
            # Without a coding, so that what is recorded can be read.
            if name.lower() not in _OF_ONE_CONNECTION | {"accept-encoding"}
        }
        path = urlsplit(self.path).path
        client = Client(self.recording.upstream, "", ANSWER_SECONDS)
        try:
            answer = client.send(self.command, self.path, headers, body or None)
        except InfrastructureError as error:
            told = {"code": "BackendDoesNotAnswer", "message": f"{error} {error.detail}"}
            content = json.dumps(told).encode()
            self.recording.record(path, headers, body, _Answer(502, content))
            self._answer(502, (("Content-Type", "application/json"),), content)
            return
        self.recording.record(path, headers, body, _Answer(answer.status, answer.body))
        self._answer(answer.status, answer.headers, answer.body)

    # The names are http.server's.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _pass_on  # noqa: N815

    def _answer(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_ONE_CONNECTION | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _tunnel(self) -> None:
        """The two sides of a WebSocket, byte for byte, until one of them ends it."""
        self.close_connection = True
        parts = urlsplit(self.recording.upstream)
        lines = [f"{self.command} {self.path} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{k}: {v}" for k, v in self.headers.items() if k.lower() != "host"]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            with _connected(self.recording.upstream) as upstream:
                upstream.sendall(head)
                _pump(self.connection, upstream)
        except OSError:
            # The client sees its socket end, and tries again.
            return

    def log_message(self, format: str, *args: object) -> None:
        """A run's output is pytest's."""


@contextlib.contextmanager
def _connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    with socket.create_connection((host, parts.port or (443 if secure else 80)), 10) as plain:
        if not secure:
            yield plain
            return
        with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as wrapped:
            yield wrapped


def _pump(left: socket.socket, right: socket.socket) -> None:
    other = {left: right, right: left}
    with selectors.DefaultSelector() as selector:
        for each in other:
            selector.register(each, selectors.EVENT_READ)
        while ready := selector.select(_IDLE_SECONDS):
            for key, _ in ready:
                source = left if key.fileobj is left else right
                chunk = source.recv(65536)
                if not chunk:
                    return
                while isinstance(source, ssl.SSLSocket) and source.pending():
                    chunk += source.recv(65536)
                other[source].sendall(chunk)
