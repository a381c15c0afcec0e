"""JSON-RPC with TypeScript's API server, framed as language servers frame it.

One request at a time: what is wanted is the answer to the last one, within limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, JsonValue, ValidationError

from pytest_convex_eval.toolchain.servers.pipes import (
    MOST_BYTES,
    NoAnswerError,
    Pipes,
    Spent,
    TooLongError,
)

_LONGEST_HEADER = 4096


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

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._last = 0

    def close(self) -> None:
        """Lets the server end. Nothing can be called afterwards."""
        self._pipes.close()

    def at_end(self) -> bool:
        """Whether the server is gone."""
        return self._pipes.at_end()

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
        self._pipes.send(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
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
        try:
            header = self._pipes.read_to(
                b"\r\n\r\n", most_bytes=_LONGEST_HEADER, until=until, spent=spent
            )
        except TooLongError as error:
            raise NoAnswerError("an answer without a header") from error
        return self._pipes.read(_content_length(header), until=until, spent=spent)


def _content_length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
            if length > MOST_BYTES:
                raise TooLongError("the answer is too long")
            return length
    raise NoAnswerError("an answer without a length")
