"""JSON-RPC over the pipes of TypeScript's API server, framed as language servers frame it.

One request at a time: what is wanted is the answer to the last one, within limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import time
from collections.abc import Callable, Mapping
from typing import IO, TypeAlias

from pydantic import BaseModel, JsonValue, ValidationError

from pytest_convex_eval.outcomes import ConvexEvalError

MOST_BYTES = 32 * 1024 * 1024
"""Of one answer; as much as a command line may print."""

_LONGEST_HEADER = 4096
_LOOK_SECONDS = 0.1

Spent: TypeAlias = Callable[[], bool]
"""Whether what an answer may cost has been spent."""


class NoAnswerError(ConvexEvalError):
    """The server gave no answer that can be used, which says nothing about the code.

    `broken`: the server is to blame; not so, where an answer took more than it may.
    """

    def __init__(self, message: str, *, broken: bool = True) -> None:
        super().__init__(message)
        self.broken = broken


class _Failure(BaseModel):
    code: int
    message: str


class _Message(BaseModel):
    """What the server sends: an answer, or (with a method) something of its own."""

    id: JsonValue = None
    method: str | None = None
    result: JsonValue = None
    error: _Failure | None = None


class Wire:
    """The two pipes of a server that was just started."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._pending = bytearray()
        self._last = 0

    def close(self) -> None:
        """Lets the server end. Nothing can be called afterwards."""
        with contextlib.suppress(OSError):
            self._requests.close()

    def at_end(self) -> bool:
        """Whether the server is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(0):
                return False
        chunk = os.read(self._answers.fileno(), 65536)
        self._pending += chunk
        return not chunk

    def call(
        self, method: str, params: Mapping[str, JsonValue] | None, *, until: float, spent: Spent
    ) -> JsonValue:
        """The result of `method`. `until` is a time of `time.monotonic`.

        Raises NoAnswerError when that comes, or `spent` says so, before the answer, and when the
        server ends, refuses, or says what is no answer.
        """
        self._last += 1
        request = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        body = json.dumps(request).encode()
        try:
            # Smaller than a pipe holds, and the server has read all that came before.
            self._requests.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            self._requests.flush()
        except OSError as error:
            raise NoAnswerError(f"{method} could not be sent: {error}") from error
        while True:
            try:
                message = _Message.model_validate_json(self._body(until, spent))
            except ValidationError as error:
                raise NoAnswerError(f"{method} was answered with no message: {error}") from error
            if message.method is not None or message.id != self._last:
                continue
            if message.error is not None:
                raise NoAnswerError(f"{method} was refused: {message.error.message}")
            return message.result

    def _body(self, until: float, spent: Spent) -> bytes:
        while (end := self._pending.find(b"\r\n\r\n")) < 0:
            if len(self._pending) > _LONGEST_HEADER:
                raise NoAnswerError("an answer without a header")
            self._read(until, spent)
        length = _content_length(bytes(self._pending[:end]))
        start = end + 4
        while len(self._pending) < start + length:
            self._read(until, spent)
        body = bytes(self._pending[start : start + length])
        del self._pending[: start + length]
        return body

    def _read(self, until: float, spent: Spent) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while not selector.select(min(max(until - time.monotonic(), 0), _LOOK_SECONDS)):
                if time.monotonic() >= until or spent():
                    raise NoAnswerError("the answer took too long", broken=False)
        chunk = os.read(self._answers.fileno(), 65536)
        if not chunk:
            raise NoAnswerError("the server ended")
        self._pending += chunk


def _content_length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
            if length > MOST_BYTES:
                raise NoAnswerError("the answer is too long", broken=False)
            return length
    raise NoAnswerError("an answer without a length")
