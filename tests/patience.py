"""How long tests wait: for a condition, and at most as long as only something that hangs takes."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable

import psutil

HANG_SECONDS = 600.0
"""The one limit of whatever a test waits for, and the deadline of whatever it has done by others.

Reached by a hang alone: a machine with two cores and thirty busy processes takes a minute for what
takes two seconds elsewhere, and no test may ask how busy the machine is.
"""


def until(condition: Callable[[], bool], what: str = "what was waited for") -> None:
    """Waits until something is so. Raises AssertionError where that never comes."""
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.01)


def until_gone(pid: int) -> None:
    """Waits until a process has ended, whoever inherited it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        until_ended([psutil.Process(pid)])


def until_exited(pid: int) -> None:
    """Waits until a child has ended with all its threads, and leaves it to whoever waits for it."""
    if sys.platform == "darwin":
        until_gone(pid)
    else:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def until_ended(processes: Iterable[psutil.Process]) -> None:
    """Waits until all have ended, waited for by whoever inherited them or not."""

    def ended(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    for process in processes:
        until(functools.partial(ended, process), f"the end of {process}")
