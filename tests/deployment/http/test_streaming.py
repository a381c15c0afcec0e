"""HTTP actions whose responses are streams."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_convex_eval.deployment.client import BrokenOffError, Client, DeadlineError
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Ask, PushOnce
from tests.patience import HANG_SECONDS, until

GATE = """
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const note = mutation({ args: { text: v.string() },
  handler: async (ctx, { text }) => { await ctx.db.insert("notes", { text }); } });
export const isOpen = query({ args: { text: v.string() }, handler: async (ctx, { text }) =>
  (await ctx.db.query("notes").collect()).some((note) => note.text === text) });
"""
HTTP = """
import { httpRouter } from "convex/server";
import { httpAction, type ActionCtx } from "./_generated/server";
import { api } from "./_generated/api";
const http = httpRouter();
const bytes = (text: string) => new TextEncoder().encode(text);
const opened = async (ctx: ActionCtx, text: string) => {
  while (!(await ctx.runQuery(api.gate.isOpen, { text }))) {
    await new Promise((done) => setTimeout(done, 5));
  }
};
const route = (path: string, respond: (ctx: ActionCtx, request: Request) => Response) =>
  http.route({ path, method: "GET",
    handler: httpAction(async (ctx, request) => respond(ctx, request)) });

route("/gated", (ctx) => new Response(new ReadableStream({
  async start(controller) {
    await opened(ctx, "first");
    controller.enqueue(bytes("one,"));
    await opened(ctx, "second");
    controller.enqueue(bytes("two"));
    controller.close();
  },
  cancel: async () => { await ctx.runMutation(api.gate.note, { text: "cancelled" }); },
}), { status: 202, headers: { "Content-Type": "text/event-stream", "X-Own": "yes" } }));

route("/text", () => new Response("héllo"));
route("/empty", () => new Response(null, { status: 204 }));
route("/piped", (ctx) => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const write = async () => {
    const writer = writable.getWriter();
    for (const text of ["a", "b", "c"]) {
      await writer.write(bytes(text));
      await new Promise((done) => setTimeout(done, 1));
    }
    await writer.close();
  };
  void write();
  return new Response(readable);
});
route("/breaks", (ctx) => new Response(new ReadableStream({
  async start(controller) {
    controller.enqueue(bytes("begun"));
    await opened(ctx, "first");
    throw new Error("halfway");
  },
})));
route("/slow", () => new Response(new ReadableStream({
  async pull(controller) {
    await new Promise((done) => setTimeout(done, 20));
    controller.enqueue(bytes("x"));
  },
})));
route("/strings", (ctx) => new Response(new ReadableStream({
  async start(controller) {
    await new Promise((done) => setTimeout(done, 1));
    controller.enqueue("text");
  },
})));
route("/endless", (ctx) => new Response(new ReadableStream({
  async pull(controller) {
    await ctx.runMutation(api.gate.note, { text: "pulled" });
    controller.enqueue(new Uint8Array(1024 * 1024));
  },
})));
route("/large", () => new Response(new Uint8Array(21 * 1024 * 1024)));
export default http;
"""


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/gate.ts": GATE, "convex/http.ts": HTTP})


@contextmanager
def asking(
    app: EmbeddedDeployment, path: str, method: str = "GET", url: str | None = None
) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(url or app.site_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=HANG_SECONDS)
    try:
        connection.request(method, path)
        yield connection.getresponse()
    finally:
        connection.close()


def texts(app: EmbeddedDeployment) -> list[Any]:
    return [note["text"] for note in app.documents("notes")]


def ended(ask_once: Ask) -> list[Any]:
    """The HTTP actions that have ended: their statuses and errors."""
    entries = ask_once("GET", "/api/stream_function_logs?cursor=0").body["entries"]
    return [(each["success"], each["error"]) for each in entries if each["udfType"] == "HttpAction"]


@pytest.mark.parametrize("port", ["site", "main"])
def test_each_part_arrives_before_the_next_is_made(
    app: EmbeddedDeployment, ask_once: Ask, port: str
) -> None:
    path, url = ("/gated", app.site_url) if port == "site" else ("/http/gated", app.url)
    with asking(app, path, url=url) as response:
        assert (response.status, response.getheader("X-Own")) == (202, "yes")
        assert response.getheader("Content-Type") == "text/event-stream"
        assert response.getheader("Content-Length") is None
        app.mutation("gate:note", {"text": "first"})
        assert response.read(4) == b"one,"
        assert ended(ask_once) == [], "the action goes on"
        app.mutation("gate:note", {"text": "second"})
        assert response.read() == b"two"
    until(lambda: ended(ask_once) == [({"status": "202"}, None)])


def test_a_client_that_goes_away_ends_the_stream(app: EmbeddedDeployment, ask_once: Ask) -> None:
    with asking(app, "/gated"):
        pass
    until(lambda: texts(app) == ["cancelled"])
    until(lambda: ended(ask_once) == [({"status": "202"}, None)])


def test_a_head_alone_ends_the_stream(app: EmbeddedDeployment) -> None:
    with asking(app, "/gated", "HEAD") as response:
        assert (response.status, response.getheader("X-Own")) == (202, "yes")
        assert response.read() == b""
    until(lambda: texts(app) == ["cancelled"])


@pytest.mark.parametrize(
    ("path", "body", "length"), [("/text", "héllo", "6"), ("/empty", "", None)]
)
def test_what_is_whole_has_a_length(
    app: EmbeddedDeployment, path: str, body: str, length: str | None
) -> None:
    with asking(app, path) as response:
        assert response.getheader("Content-Length") == length
        assert response.getheader("Transfer-Encoding") is None
        assert response.read().decode() == body


def test_a_stream_can_be_written_to_after_it_was_returned(app: EmbeddedDeployment) -> None:
    with asking(app, "/piped") as response:
        assert response.read() == b"abc"


def test_a_stream_that_fails_is_seen_to_be_cut_off(app: EmbeddedDeployment, ask_once: Ask) -> None:
    with asking(app, "/breaks") as response:
        assert response.read(5) == b"begun"
        app.mutation("gate:note", {"text": "first"})
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
    until(lambda: len(ended(ask_once)) == 1)
    assert "Uncaught Error: halfway" in ended(ask_once)[0][1]
    with pytest.raises(BrokenOffError, match=r"GET /breaks \(HTTP 200\) breaks off"):
        app.http("GET", "/breaks")
    assert app.http("GET", "/text").body.decode() == "héllo"


def test_an_answer_that_never_ends_is_late(app: EmbeddedDeployment, ask_once: Ask) -> None:
    with pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        Client(app.site_url, "", 0.5).send("GET", "/slow", {}, None)
    until(lambda: len(ended(ask_once)) == 1)


def test_a_stream_is_made_of_bytes(app: EmbeddedDeployment, ask_once: Ask) -> None:
    with asking(app, "/strings") as response:
        # It depends on whether the head was on its way by then.
        if response.status == 200:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                response.read()
        else:
            assert response.status == 500
            assert "Uint8Arrays" in json.loads(response.read())["trace"]
    until(lambda: len(ended(ask_once)) == 1)
    assert "Uint8Arrays" in ended(ask_once)[0][1]


def test_a_client_that_reads_nothing_holds_the_stream_back(
    app: EmbeddedDeployment, ask_once: Ask
) -> None:
    with asking(app, "/endless") as response:
        assert response.status == 200
        response.read(10)
        seen: list[int] = []

        def stands_still() -> bool:
            """It could have made all of it, 20 parts, in the time of so many questions."""
            seen.append(len(texts(app)))
            return len(seen) > 50 and len(set(seen[-50:])) == 1

        until(stands_still)
        assert 0 < seen[-1] < 12
    until(lambda: len(ended(ask_once)) == 1)


def test_a_response_has_a_limit(app: EmbeddedDeployment, ask_once: Ask) -> None:
    received = 0

    def read(response: http.client.HTTPResponse) -> None:
        nonlocal received
        while part := response.read(1024 * 1024):
            received += len(part)

    broken = pytest.raises((http.client.IncompleteRead, ConnectionError))
    with asking(app, "/endless") as response, broken:
        read(response)
    # What was on its way when the connection broke may be lost.
    assert 18 * 1024 * 1024 < received <= 20 * 1024 * 1024
    assert "HTTP actions support responses up to 20 MiB" in ended(ask_once)[0][1]
    answer = app.http("GET", "/large")
    assert answer.status == 500
    assert "up to 20 MiB" in json.loads(answer.body)["trace"]
