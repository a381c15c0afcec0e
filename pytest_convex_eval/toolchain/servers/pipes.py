"""The two pipes of a warm server: what is asked goes down one, the answer comes up the other.

One question at a time, each within limits. A server only ever saves time: where it has no answer,
a process of its own is asked instead (`NoAnswerError`).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from typing import IO, TypeAlias

from pytest_convex_eval.outcomes import ConvexEvalError

MOST_BYTES = 32 * 1024 * 1024
"""The limit of one answer: as much as a command line may print."""

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


class TooLongError(NoAnswerError):
    """More came than an answer may hold."""

    def __init__(self, message: str) -> None:
        super().__init__(message, broken=False)


class Pipes:
    """The pipes of a server that was just started. `until` is a time of `time.monotonic`."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._pending = bytearray()

    @classmethod
    def of(cls, child: subprocess.Popen[bytes]) -> Pipes:
        assert child.stdin is not None
        assert child.stdout is not None
        return cls(child.stdin, child.stdout)

    def close(self) -> None:
        """Lets the server end. Nothing can be asked afterwards."""
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

    def send(self, request: bytes) -> None:
        """Raises NoAnswerError when nobody reads. The server has read all that came before, and a
        request is smaller than a pipe holds, or the server reads while it comes."""
        try:
            self._requests.write(request)
            self._requests.flush()
        except OSError as error:
            raise NoAnswerError(f"nothing could be asked: {error}") from error

    def read_to(self, mark: bytes, *, most_bytes: int, until: float, spent: Spent) -> bytes:
        """What comes before the next `mark`, which is taken too.

        Raises NoAnswerError when the time comes, or `spent` says so, before it, and when the
        server ends; TooLongError when more comes than `most_bytes`.
        """
        searched = 0
        while (end := self._pending.find(mark, searched)) < 0:
            if len(self._pending) > most_bytes:
                raise TooLongError("the answer is too long")
            searched = max(0, len(self._pending) - len(mark) + 1)
            self._read(until, spent)
        return self._take(end, len(mark))

    def read(self, length: int, *, until: float, spent: Spent) -> bytes:
        """The next `length` bytes. Raises NoAnswerError as `read_to` does."""
        while len(self._pending) < length:
            self._read(until, spent)
        return self._take(length, 0)

    def _take(self, length: int, more: int) -> bytes:
        taken = bytes(self._pending[:length])
        del self._pending[: length + more]
        return taken

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
