"""Requests to a deployment, and what can go wrong with an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_convex_eval.deployment.client import BrokenOffError, Client, DeadlineError
from pytest_convex_eval.outcomes import InfrastructureError


@contextmanager
def answering(*parts: bytes, silent: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """Answers one request with these bytes, and then ends the connection unless it is `silent`;
    its URL, and what it was asked."""
    asked: list[bytes] = []
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(65536))
            if b"Content-Length: " in asked[0] and asked[0].endswith(b"\r\n\r\n"):
                asked[0] += connection.recv(65536)
            for part in parts:
                connection.sendall(part)
            if silent:
                done.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            done.set()
            thread.join()


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_post_has_the_key_and_json_and_a_connection_of_its_own() -> None:
    with answering(whole(b'{"a": [1]}')) as (url, asked):
        assert Client(url, "name|key").post("/p?q=1", {"b": 2}) == {"a": [1]}
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert body == b'{"b": 2}'
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /p?q=1 HTTP/1.1"
    assert {"Authorization: Convex name|key", "Connection: close"} <= set(lines)
    assert "Content-Type: application/json" in lines


def test_a_get_has_no_body() -> None:
    with answering(whole(b" text ")) as (url, asked):
        assert Client(url, "k").text("/p") == " text "
    assert asked[0].startswith(b"GET /p HTTP/1.1\r\n")
    assert asked[0].endswith(b"\r\n\r\n")
    with answering(whole(b"5")) as (url, _):
        assert Client(url, "k").get("/p") == 5


def test_no_body_is_null() -> None:
    with answering(whole(b"null")) as (url, asked):
        assert Client(url, "k").post("/p") is None
    assert asked[0].endswith(b"\r\n\r\nnull")


def test_another_status_is_an_error_that_shows_the_answer() -> None:
    with (
        answering(whole(b"gone", "404 Not Found")) as (url, _),
        pytest.raises(InfrastructureError, match="GET /p with HTTP 404") as raised,
    ):
        Client(url, "k").get("/p")
    assert raised.value.detail == "gone"
    with answering(whole(b"", "201 Created")) as (url, _):
        assert Client(url, "k").send("GET", "/p", {}, None).status == 201


def test_what_is_no_json_is_shown() -> None:
    with (
        answering(whole(b"<html>\xff")) as (url, _),
        pytest.raises(InfrastructureError, match="no JSON") as raised,
    ):
        Client(url, "k").get("/p")
    assert raised.value.detail == "<html>\ufffd"
    with pytest.raises(InfrastructureError, match="no JSON"):
        Client.parse(b"{")


def test_headers_come_in_their_order() -> None:
    head = b"HTTP/1.1 200 OK\r\nB: 1\r\nA: 2\r\nB: 3\r\nContent-Length: 2\r\n\r\n"
    with answering(head, b"o", b"k") as (url, _):
        answer = Client(url, "k").send("GET", "/", {}, None)
    assert answer.body == b"ok"
    assert answer.headers[:3] == (("B", "1"), ("A", "2"), ("B", "3"))


@pytest.mark.parametrize(
    "content",
    [whole(b"whole")[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
)
def test_an_answer_that_ends_too_soon_is_broken_off(content: bytes) -> None:
    with (
        answering(content) as (url, _),
        pytest.raises(BrokenOffError, match=r"answer to GET /p \(HTTP 200\) breaks off"),
    ):
        Client(url, "k").get("/p")


def test_no_answer_is_neither_late_nor_broken_off() -> None:
    with answering() as (url, _), pytest.raises(InfrastructureError) as raised:
        Client(url, "k").get("/p")
    assert type(raised.value) is InfrastructureError
    assert "does not answer GET /p" in str(raised.value)


@pytest.mark.parametrize("parts", [(), (whole(b"whole")[:-1],)], ids=["nothing", "a part"])
def test_an_answer_that_does_not_come_in_time_is_late(parts: tuple[bytes, ...]) -> None:
    with (
        answering(*parts, silent=True) as (url, _),
        pytest.raises(DeadlineError, match=r"did not answer GET /p within 0\.2 s"),
    ):
        Client(url, "k", 0.2).get("/p")
