"""Durations as people write them."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float:
    """`1h30m` as seconds. Raises ValueError for what is no duration."""
    if not _WHOLE.match(text):
        raise ValueError(f"{text!r} is no duration; write it like 500ms, 61s, 2h or 1d12h")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
