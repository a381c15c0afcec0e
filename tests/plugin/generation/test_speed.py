"""How fast replies are made: with many in flight, and under a provider's limit of requests.

What counts is which requests come before which replies are told, and no time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

IN_FLIGHT = 16
UNHURRIED = {"connect": HANG_SECONDS, "read": HANG_SECONDS, "refused": HANG_SECONDS}
"""On a slow machine our server's silence is no trouble."""


class Turnstile(threading.Event):
    """Lets as many pass as were let in, and no more."""

    def __init__(self) -> None:
        super().__init__()
        self._free = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        return self._free.acquire(timeout=timeout)

    def let_in(self, number: int) -> None:
        self._free.release(number)


def test_as_many_replies_are_on_their_way_as_may_be_until_none_is_left_to_ask_for(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str,
) -> None:  # fmt: skip
    """The first goes alone until it begins, so that the others find the prompt cache warm. From
    then on, the place of each that ends is taken at once."""
    names = [f"case_{number:02}" for number in range(60)]
    turnstile = Turnstile()
    server.queue = [script(text=answer)]
    server.default = script(text=answer, hold=turnstile)
    project = projects(tmp_path, server.url, retries=UNHURRIED, deadline=HANG_SECONDS).write(*names)
    run = project.start("-n", "1")
    try:
        for ended in (1, 2, 3, 4, 12, 28, 44):
            server.until_asked(min(ended + IN_FLIGHT, len(names)))
            assert len(server.requests) == ended + IN_FLIGHT
            turnstile.let_in({1: 1, 2: 1, 3: 1, 4: 8, 12: 16, 28: 16}.get(ended, IN_FLIGHT))
    finally:
        turnstile.let_in(len(names))
        out, _ = run.communicate(timeout=HANG_SECONDS)
    assert run.returncode == 0, out
    assert len(server.requests) == len(names)
    assert server.sums.most_in_flight == IN_FLIGHT
    assert sorted(project.stored()) == names


def test_under_a_limit_of_requests_nothing_is_given_up(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str,
) -> None:  # fmt: skip
    """The provider's minute is 2 s here, in which it takes ten requests. How little is refused, the
    limiter's own tests say, by a clock of theirs."""
    names = [f"case_{number:02}" for number in range(25)]
    window = 2.0
    server.rate = (10, window)
    server.default = script(text=answer)
    limits = {"window": window, "cooldown": 0.5, "unknown_pause": 0.1, "longest_pause": window}
    project = projects(
        tmp_path, server.url, retries=UNHURRIED, limits=limits, deadline=HANG_SECONDS
    )
    ran = project.write(*names).run("-n", "2")
    assert ran.status == 0, ran.out
    assert sorted(project.stored()) == names
    assert server.sums.refusals
    assert len(server.requests) == len(names) + len(server.sums.refusals)
