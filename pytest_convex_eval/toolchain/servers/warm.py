"""A tool that stays: one process that checks one workspace after another, and saves its start.

What such a server says is what the tool's command line says. It only ever saves time: where it has
no answer (a limit, a death, something unexpected), the command line is asked, in a process that
shares nothing; what exhausts a tool then ends alone, and costs the next workspace nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from pytest_convex_eval import processes
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError, Pipes

START_SECONDS = 10.0
"""For a server to be ready, on a busy machine."""

WARM_SHARE = 0.25
"""The share of a stage's deadline that a warm server gets, so that a cold process has the rest."""

_MOST_FAILURES = 3

_T = TypeVar("_T")


class WarmServer:
    """One process: started when it is first needed, and again when it has ended.

    It ends at the end of its input, so also when this process is killed. Use as a context manager,
    or call `close`.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._pid = 0
        self._failures = 0
        self._failure: NoAnswerError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The server's process, where one runs."""
        return self._pid or None

    @property
    def failure(self) -> NoAnswerError | None:
        """Why there was no answer when there was none, the last time."""
        return self._failure

    def close(self) -> None:
        """Ends the server; the next question starts another."""
        self._stack.close()
        self._pid = 0

    def abort(self) -> None:
        """Ends the server for whoever waits for it in another thread, who then gets no answer."""
        if self._pid:
            processes.kill(self._pid)

    def _asked(self, ask: Callable[[], _T]) -> _T:
        """What `ask` gives. Raises NoAnswerError where it does, and the server is then gone; at
        once when several servers in a row were of no use."""
        if self._failures >= _MOST_FAILURES:
            raise NoAnswerError("the last servers gave no answers")
        try:
            answer = ask()
        except NoAnswerError as error:
            self._failure = error
            self._failures += error.broken
            self.close()
            raise
        except BaseException:
            # An answer that nobody waits for any more would be taken for the next one's.
            self.close()
            raise
        self._failures = 0
        return answer

    def _run(
        self,
        args: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: processes.Limits,
        stderr: IO[bytes],
    ) -> Pipes:
        """Starts the process. Raises NoAnswerError where it can't be started."""
        try:
            child = self._stack.enter_context(
                processes.running(args, cwd=cwd, env=env, limits=limits, stderr=stderr)
            )
        except OSError as error:
            raise NoAnswerError(f"the server could not be started: {error}") from error
        self._pid = child.pid
        pipes = Pipes.of(child)
        # At the end of its input a server ends at once; a signal may take it a second.
        self._stack.callback(pipes.close)
        return pipes

    def _cpu_seconds(self) -> float:
        """What the process, and what it waited for, have used so far."""
        return processes.cpu_seconds_of(self._pid) if self._pid else 0.0
