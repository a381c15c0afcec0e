"""The server's side of a WebSocket (RFC 6455), byte by byte."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

OPEN = """
const { WebSocketConnection } = await load("sync/websocket");
const { PassThrough, Duplex } = await import("node:stream");
const sent = [];
const stream = new Duplex({ read() {}, write(chunk, _, done) { sent.push(chunk); done(); } });
const connection = new WebSocketConnection(stream);
const messages = [];
let closed = 0;
connection.onMessage = (text) => messages.push(text);
connection.onClose = () => { closed += 1; };
const settle = () => new Promise((done) => setImmediate(() => setImmediate(done)));
const receive = async (hex) => { stream.push(Buffer.from(hex, "hex")); await settle(); };
const told = () => {
  const hex = Buffer.concat(sent.splice(0)).toString("hex");
  return { messages: messages.splice(0), sent: hex, closed, ended: stream.writableEnded };
};
"""
MASK = bytes([1, 2, 3, 4])


def frame(body: bytes, *, first: int = 0x81, masked: bool = True) -> bytes:
    size = len(body)
    if size < 126:
        head = bytes([size])
    elif size < 65536:
        head = bytes([126]) + size.to_bytes(2, "big")
    else:
        head = bytes([127]) + size.to_bytes(8, "big")
    if not masked:
        return bytes([first]) + head + body
    hidden = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(body))
    return bytes([first, head[0] | 0x80]) + head[1:] + MASK + hidden


def after(in_server: InServer, *pieces: bytes) -> Any:
    """What has come of pieces that arrive one after another."""
    body = f"{OPEN} for (const piece of args.pieces) await receive(piece); return told();"
    return in_server(body, pieces=[piece.hex() for piece in pieces])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_a_message_of_each_size_is_read_and_written(size: int, in_server: InServer) -> None:
    text = "ab"[: size % 2 + 1] * size
    text = text[:size]
    assert after(in_server, frame(text.encode()))["messages"] == [text]
    written = in_server(f"{OPEN} connection.send(args.text); return told();", text=text)
    assert written["sent"] == frame(text.encode(), masked=False).hex()


def test_frames_come_in_any_pieces(in_server: InServer) -> None:
    for text in ("hé", "x" * 200, "y" * 66_000):
        whole = frame(text.encode())
        assert after(in_server, *(whole[i : i + 1] for i in range(12)), whole[12:])["messages"] == [
            text
        ], "a part that is none yet is waited for"
    both = frame(b"one") + frame(b"two") + frame(b"three")[:3]
    assert after(in_server, both)["messages"] == ["one", "two"]
    assert after(in_server, both, frame(b"three")[3:])["messages"] == ["one", "two", "three"]


def test_a_message_can_be_in_fragments_with_a_ping_between(in_server: InServer) -> None:
    parts = [
        frame(b"one ", first=0x01),
        frame(b"beat", first=0x89),
        frame(b"two ", first=0x00),
        frame(b"three", first=0x80),
        frame(b"again"),
    ]
    told = after(in_server, *parts)
    assert told["messages"] == ["one two three", "again"]
    assert told["sent"] == frame(b"beat", first=0x8A, masked=False).hex()
    assert after(in_server, *parts[:3])["messages"] == []


@pytest.mark.parametrize(
    ("piece", "code", "reason"),
    [
        (frame(b"x", masked=False), 1002, "Protocol error"),
        (frame(b"x", first=0xC1), 1002, "Protocol error"),
        (frame(b"x", first=0x91), 1002, "Protocol error"),
        (bytes([0x81, 0xFF]) + (64 * 1024 * 1024 + 1).to_bytes(8, "big"), 1009, "The message is "),
        (frame(b"", first=0x88), 1000, ""),
        (frame((1001).to_bytes(2, "big") + b"gone", first=0x88), 1001, ""),
    ],
    ids=["not masked", "compressed", "reserved", "too large", "closed", "closed with a code"],
)
def test_what_ends_a_connection_is_answered_with_why(
    piece: bytes, code: int, reason: str, in_server: InServer
) -> None:
    told = after(in_server, piece, frame(b"later"))
    full = f"{reason}too large" if reason.endswith(" ") else reason
    body = code.to_bytes(2, "big") + full.encode()
    assert told == {
        "messages": [],
        "sent": frame(body, first=0x88, masked=False).hex(),
        "closed": 1,
        "ended": True,
    }


def test_fragments_together_have_the_largest_size_too(in_server: InServer) -> None:
    told = in_server(
        f"""{OPEN}
        const part = Buffer.alloc(33 * 1024 * 1024);
        const head = Buffer.from([0x01, 0xff, 0, 0, 0, 0, 0x02, 0x10, 0, 0, 0, 0, 0, 0]);
        stream.push(Buffer.concat([head, part]));
        await settle();
        const before = told();
        head[0] = 0x80;
        stream.push(Buffer.concat([head, part]));
        await settle();
        return [before, told()];"""
    )
    assert [each["closed"] for each in told] == [0, 1]
    assert told[1]["sent"][:8] == "881a03f1", "1009"


def test_it_is_told_once_that_a_connection_has_ended(in_server: InServer) -> None:
    told = in_server(
        f"""{OPEN}
        connection.close(1013, "why");
        connection.close(1000, "again");
        connection.send("late");
        stream.destroy();
        await settle();
        return told();"""
    )
    assert (told["closed"], told["messages"]) == (1, [])
    assert told["sent"] == frame((1013).to_bytes(2, "big") + b"why", first=0x88, masked=False).hex()
    for ending in ("stream.destroy()", 'stream.destroy(new Error("reset"))', "stream.push(null)"):
        lost = in_server(f"{OPEN} {ending}; stream.end(); await settle(); return told();")
        assert (lost["closed"], lost["sent"]) == (1, "")


ACCEPT = """
const { accept } = await load("sync/websocket");
const { Duplex } = await import("node:stream");
const sent = [];
const stream = new Duplex({ read() {}, write(chunk, _, done) { sent.push(chunk); done(); } });
const connection = accept({ headers: args.headers }, stream, Buffer.from(args.head, "hex"));
const messages = [];
if (connection !== null) connection.onMessage = (text) => messages.push(text);
await new Promise((done) => setImmediate(() => setImmediate(done)));
return [Buffer.concat(sent).toString(), messages, stream.writableEnded];
"""
HEADERS = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}


def test_a_handshake_is_answered_and_what_came_with_it_is_read(in_server: InServer) -> None:
    answer, messages, _ = in_server(ACCEPT, headers=HEADERS, head=frame(b"early").hex())
    assert answer == (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        # The key's answer in RFC 6455, 1.3.
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    assert messages == ["early"]


@pytest.mark.parametrize(
    "headers",
    [{**HEADERS, "sec-websocket-version": "12"}, {"sec-websocket-version": "13"}, {}],
)
def test_what_is_no_handshake_is_refused(headers: dict[str, str], in_server: InServer) -> None:
    answer, messages, ended = in_server(ACCEPT, headers=headers, head="")
    assert answer.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert (messages, ended) == ([], True)
