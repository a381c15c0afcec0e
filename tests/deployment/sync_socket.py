"""A client of the sync protocol that says what it is told to, and nothing by itself."""

from __future__ import annotations

import base64
import itertools
import json
import os
import socket
import struct
import uuid
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.patience import HANG_SECONDS

_CLOSE = 8
_TEXT = 1


class SyncSocket:
    """One connection. `closed` is the server's code and reason once it has closed it."""

    def __init__(self, url: str, *, seconds: float = HANG_SECONDS) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        self._socket = socket.create_connection(address, timeout=seconds)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /api/1.48.0/sync HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        assert b" 101 " in self._file.readline()
        while self._file.readline() != b"\r\n":
            pass
        self.closed: tuple[int, str] | None = None
        self._probes = itertools.count(1_000_000)
        self.send({"type": "Connect", "sessionId": str(uuid.uuid4()), "connectionCount": 0})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *messages: dict[str, Any]) -> None:
        """All of them in one piece."""
        self._socket.sendall(b"".join(_frame(json.dumps(each).encode()) for each in messages))

    def next_probe(self) -> int:
        """A request's number that no test uses itself."""
        return next(self._probes)

    def receive(self) -> Any:
        """The next message but for pings; None when the server has closed the connection."""
        while (message := self.receive_any()) is not None:
            if message["type"] != "Ping":
                return message
        return None

    def receive_any(self) -> Any:
        """The next message, be it a ping."""
        head = self._file.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._file.read(8))
        body = self._file.read(length)
        if head[0] & 0x0F == _CLOSE:
            (code,) = struct.unpack(">H", body[:2])
            self.closed = (code, body[2:].decode())
            return None
        assert head[0] == 0x80 | _TEXT
        return json.loads(body)

    def until_closed(self) -> list[Any]:
        """All messages up to the end of the connection."""
        messages = []
        while (message := self.receive()) is not None:
            messages.append(message)
        return messages

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        before = self._socket.gettimeout()
        self._socket.settimeout(seconds)
        try:
            # Not through the file: it can't be read any more after a timeout.
            return not self._socket.recv(1, socket.MSG_PEEK)
        except (TimeoutError, BlockingIOError):
            return True
        finally:
            self._socket.settimeout(before)


def _frame(body: bytes) -> bytes:
    """A masked text message (RFC 6455, 5.2)."""
    mask = os.urandom(4)
    size = len(body)
    if size < 126:
        head = struct.pack(">BB", 0x81, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", 0x81, 0xFE, size)
    else:
        head = struct.pack(">BBQ", 0x81, 0xFF, size)
    return head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(body))
