"""How the work on a text grows with it: model-written text is read in the worker's own process,
where no limit on CPU time ends what takes an hour."""

from __future__ import annotations

import time
from collections.abc import Callable

SIZES = (1 << 10, 1 << 12, 1 << 14, 1 << 16)
RATIO = 10.0
"""Of the work on four times the text: 4 where it is linear, 16 where it is quadratic."""

NOTICED = 0.04
"""CPU seconds. What takes less is not measured well, and on the longest file that is admitted (16
times of the last size) takes 10 s where it is quadratic."""

MOST = 8.0
"""CPU seconds on the last size: linear work takes 0.2 at the most."""

ATTEMPTS = 10
"""A slow moment of the machine must not look like growth."""


def assert_linear(read: Callable[[str], object], text: Callable[[int], str]) -> None:
    """That `read` takes about four times the CPU for a `text` of four times the size."""
    before = 0.0
    for size in SIZES:
        sample = text(size)
        for attempt in range(ATTEMPTS):
            seconds = _cpu_seconds(read, sample)
            ratio = seconds / max(before, NOTICED / RATIO)
            if seconds < MOST and ratio < RATIO:
                break
            if attempt == ATTEMPTS - 1:
                raise AssertionError(f"{size} characters take {seconds:.2f} s, × {ratio:.0f}")
        before = seconds


def _cpu_seconds(read: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    read(text)
    return time.process_time() - started


def repeated(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """A text of any size: `unit` again and again, between `before` and `after`."""
    return lambda size: f"{before}{unit * (size // len(unit))}{after}"
