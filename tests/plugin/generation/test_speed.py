"""How fast replies are made: with many in flight, and under a provider's limit of requests.

All times are the server's: when requests came, and when replies were told to the end. What pytest
and its workers need to start is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

NAMES = [f"case_{number:02}" for number in range(60)]


def test_sixty_items_take_little_more_than_sixteen_at_a_time_allow(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str,
) -> None:  # fmt: skip
    """Replies of 20 s are replies of 1 s here, a tenth of it before their first word, and all that
    happens beside them counts for twenty times as much.

    The floor: as many rounds as sixteen at a time need, of replies as they really were (on a busy
    machine the server itself is slow), after the first, which goes alone until it begins.
    """
    server.default = script(text=answer, latency=0.1, pause=0.18)
    project = projects(tmp_path, server.url).write(*NAMES)
    ran = project.run("-n", "8")
    assert ran.status == 0, ran.out
    assert len(server.requests) == len(NAMES)
    replies = server.sums.replies
    assert len(replies) == len(NAMES)
    took = max(reply.ended for reply in replies) - min(server.sums.arrivals)
    mean = sum(reply.seconds for reply in replies) / len(replies)
    floor = math.ceil(len(NAMES) / 16) * mean
    assert took <= 1.3 * floor, (took, floor, mean)
    assert server.sums.most_in_flight <= 16


def test_under_a_limit_of_requests_nothing_is_given_up_and_little_is_refused(
    tmp_path: Path, projects: type[Project], server: MessagesServer, script: Callable[..., Script],
    answer: str,
) -> None:  # fmt: skip
    """The provider's minute is 3 s here, in which it takes ten requests; what the limiter knows
    of minutes is scaled alike."""
    window = 3.0
    server.rate = (10, window)
    server.default = script(text=answer, latency=0.2)
    limits = {"window": window, "cooldown": 0.75, "unknown_pause": 0.1, "longest_pause": window}
    project = projects(tmp_path, server.url, limits=limits).write(*NAMES)
    ran = project.run("-n", "8")
    assert ran.status == 0, ran.out
    assert sorted(project.stored()) == NAMES
    sums = server.sums
    began = min(sums.arrivals)
    later = [one for one in sums.arrivals if one - began > window]
    refused = [one for one in sums.refusals if one - began > window]
    assert len(later) > len(NAMES) // 2
    assert len(refused) <= 0.05 * len(later), (len(refused), len(later))
    # Ten at once, and then ten a minute: five minutes, with room below the limit.
    assert max(sums.arrivals) - began < 5 * window * 1.5
