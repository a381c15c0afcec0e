"""What the recorder makes of a backend's answers: whose fault a failed push is."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.recorder import (
    FINISH_PUSH,
    START_PUSH,
    WAIT_FOR_SCHEMA,
    PushRecorder,
)
from pytest_convex_eval.places import Place

Answers = dict[str, tuple[int, object]]


class Backend:
    """Answers each path as `answers` says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                backend.asked.append((self.command, self.path, dict(self.headers), body))
                status, content = backend.answers.get(self.path.partition("?")[0], (200, {}))
                text = content if isinstance(content, str) else json.dumps(content)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.send_header("X-Convex-Deprecation-State", "fine")
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self) -> None:
                if self.headers.get("Upgrade") == "websocket":
                    self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                    while line := self.rfile.readline():
                        self.wfile.write(line.upper())
                    self.close_connection = True
                    return
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def backend() -> Iterator[Backend]:
    started = Backend()
    yield started
    started.close()


@pytest.fixture
def recorder(backend: Backend) -> Iterator[PushRecorder]:
    started = PushRecorder(backend.url)
    yield started
    started.close()


class Post(Protocol):
    def __call__(self, path: str, body: bytes = b"{}", **headers: str) -> int: ...


@pytest.fixture
def post(recorder: PushRecorder) -> Post:
    def send(path: str, body: bytes = b"{}", **headers: str) -> int:
        return Client(recorder.url, "key").send("POST", path, headers, body).status

    return send


def test_everything_is_passed_on_unchanged(backend: Backend, recorder: PushRecorder) -> None:
    backend.answers["/api/query"] = (560, {"status": "error"})
    answer = Client(recorder.url, "").send(
        "POST", "/api/query?a=%20b", {"Content-Encoding": "br", "X-One": "1"}, b"\x00\xff"
    )
    assert (answer.status, answer.body) == (560, b'{"status": "error"}')
    assert ("X-Convex-Deprecation-State", "fine") in answer.headers
    ((command, path, headers, body),) = backend.asked
    assert (command, path, body) == ("POST", "/api/query?a=%20b", b"\x00\xff")
    assert (headers["Content-Encoding"], headers["X-One"]) == ("br", "1")


def test_a_push_that_is_finished_is_accepted(recorder: PushRecorder, post: Post) -> None:
    assert recorder.last().status == "none"
    post(START_PUSH, b"the push")
    assert (recorder.last().status, recorder.last().number) == ("started", 1)
    assert recorder.live_push() is None
    post(WAIT_FOR_SCHEMA)
    post(FINISH_PUSH)
    assert (recorder.last().status, recorder.last().number) == ("accepted", 1)
    push = recorder.live_push()
    assert push is not None
    assert push.body == b"the push"
    recorder.forget()
    assert (recorder.last().status, recorder.last().number) == ("none", 1)


def test_a_refusal_has_the_backends_code_words_and_place(
    backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    words = "Failed to analyze a.js: Uncaught Error: boom\n    at <anonymous> (../convex/a.ts:3:7)"
    backend.answers[START_PUSH] = (
        400,
        {
            "code": "InvalidModules",
            "message": "Hit an error while pushing:\nLoading the pushed modules encountered the "
            f"following\n    error:\n{words}",
        },
    )
    assert post(START_PUSH) == 400
    last = recorder.last()
    assert (last.status, last.code, last.message) == ("refused", "InvalidModules", words)
    assert last.position == Place("convex/a.ts", 3, 7)


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        (START_PUSH, 403, {"code": "BadDeployKey", "message": "The key is wrong"}),
        (START_PUSH, 429, {"code": "TooManyRequests", "message": "Slow down"}),
        (START_PUSH, 500, {"code": "InternalServerError", "message": "Sorry"}),
        (START_PUSH, 400, "a proxy's page"),
        (FINISH_PUSH, 400, {"code": "RaceDetected", "message": "Another push"}),
        (WAIT_FOR_SCHEMA, 503, "busy"),
        (WAIT_FOR_SCHEMA, 200, {"type": "failed", "error": "Document does not match"}),
        (WAIT_FOR_SCHEMA, 200, {"type": "raceDetected"}),
    ],
)
def test_what_says_nothing_about_the_code_blames_nobody(
    path: str,
    status: int,
    content: object,
    backend: Backend,
    recorder: PushRecorder,
    post: Post,
) -> None:
    backend.answers[path] = (status, content)
    if path != START_PUSH:
        post(START_PUSH)
    assert post(path) == status
    assert (recorder.last().status, recorder.last().number) == ("failed", 1)
    assert recorder.last().message


def test_missing_variables_are_the_codes_to_declare(
    backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    said = {"code": "MissingEnvironmentVariables", "message": "Required: X"}
    backend.answers[FINISH_PUSH] = (400, said)
    post(START_PUSH)
    post(FINISH_PUSH)
    assert (recorder.last().status, recorder.last().phase) == ("refused", "finish")


def test_a_backend_that_is_gone_blames_nobody() -> None:
    recorder = PushRecorder("http://127.0.0.1:9")
    try:
        answer = Client(recorder.url, "").send("POST", START_PUSH, {}, b"{}")
        assert answer.status == 502
        assert recorder.last().status == "failed"
    finally:
        recorder.close()


def test_only_the_last_push_is_live_and_only_if_it_was_accepted(
    backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    post(START_PUSH, b"one", **{"Content-Encoding": "br", "Connection": "close"})
    post(FINISH_PUSH, b"the end of one")
    live = recorder.live_push()
    assert live is not None
    assert (live.body, live.headers["Content-Encoding"]) == (b"one", "br")
    assert live.headers.keys().isdisjoint({"Host", "Connection", "Accept-Encoding"})
    post(START_PUSH, b"two")
    assert (recorder.last().status, recorder.last().number) == ("started", 2)
    assert recorder.live_push() is None
    backend.answers[FINISH_PUSH] = (400, {"code": "Bad", "message": "no"})
    post(FINISH_PUSH)
    assert (recorder.last().status, recorder.last().number) == ("refused", 2)
    assert recorder.live_push() is None
    recorder.forget()
    post(START_PUSH, b"three")
    assert (recorder.last().status, recorder.last().number) == ("started", 3)
    recorder.forget()
    backend.answers[FINISH_PUSH] = (200, {})
    post(FINISH_PUSH)
    assert recorder.live_push() is None, "what was forgotten is not live"


@pytest.mark.parametrize("kind", ["inProgress", "complete"])
def test_a_schema_that_is_being_checked_says_nothing_yet(
    kind: str, backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    backend.answers[WAIT_FOR_SCHEMA] = (200, {"type": kind})
    post(START_PUSH)
    post(WAIT_FOR_SCHEMA)
    assert (recorder.last().status, recorder.last().number) == ("started", 1)


def test_why_a_push_failed_is_told(backend: Backend, recorder: PushRecorder, post: Post) -> None:
    told = {}
    for content in (
        {"type": "failed", "error": "Document does not match"},
        {"type": "failed"},
        {"type": "raceDetected"},
    ):
        backend.answers[WAIT_FOR_SCHEMA] = (200, content)
        post(START_PUSH)
        post(WAIT_FOR_SCHEMA)
        told[recorder.last().message] = recorder.last().phase
    assert told == {
        "Document does not match": "schema",
        "the documents that are there do not fit the schema": "schema",
        "another push came between": "schema",
    }
    backend.answers[FINISH_PUSH] = (400, {"code": "RaceDetected", "message": "Another push"})
    post(FINISH_PUSH)
    last = recorder.last()
    assert (last.phase, last.code) == ("finish", "RaceDetected")
    assert last.message == "it answered with HTTP 400: RaceDetected: Another push"
    backend.answers[START_PUSH] = (400, "a proxy's page")
    post(START_PUSH)
    last = recorder.last()
    assert (last.phase, last.code) == ("start", None)
    assert last.message == "it answered with HTTP 400: a proxy's page"


def test_a_refusal_without_a_place_has_none(
    backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    said = "Hit an error while pushing:\nHit an error while evaluating your schema:\nno"
    backend.answers[START_PUSH] = (400, {"code": "Bad", "message": said})
    post(START_PUSH)
    last = recorder.last()
    assert (last.message, last.position, last.phase) == ("no", None, "start")


def test_other_requests_say_nothing_of_a_push(
    backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    backend.answers["/api/query"] = (400, {"code": "Bad", "message": "no"})
    assert post("/api/query") == 400
    assert post(f"{START_PUSH}?dry=1") == 200
    assert (recorder.last().status, recorder.last().number) == ("started", 1)
    backend.answers["/api/deploy2"] = (500, "")
    post("/api/deploy2")
    assert recorder.last().status == "started"


def test_a_body_of_unknown_length_is_not_taken(recorder: PushRecorder) -> None:
    answer = Client(recorder.url, "").send(
        "POST", "/api/query", {"Transfer-Encoding": "chunked"}, b"2\r\n{}\r\n0\r\n\r\n"
    )
    assert answer.status == 411


def test_the_backend_sees_its_own_host(
    backend: Backend, recorder: PushRecorder, post: Post
) -> None:
    post("/api/query", Host="a.example", TE="trailers")
    ((_, _, headers, _),) = backend.asked
    assert headers["Host"] == backend.url.removeprefix("http://")
    assert "TE" not in headers


def test_a_websocket_is_passed_through(recorder: PushRecorder) -> None:
    host, port = recorder.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as client, client.makefile("rb") as lines:
        client.sendall(b"GET /api/sync HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n")
        assert lines.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        assert lines.readline() == b"\r\n"
        for word in (b"one\n", b"two\n"):
            client.sendall(word)
            assert lines.readline() == word.upper()
