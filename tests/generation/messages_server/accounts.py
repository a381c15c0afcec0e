"""What the server counts: who came when, what was refused, cached and charged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

_INPUT_USD = 2.0
_OUTPUT_USD = 10.0


@dataclass(frozen=True)
class Reply:
    """A reply that was told to the end, in seconds since the server's start."""

    user: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Sums:
    """What the server did. `arrivals` and `refusals` are seconds since its start."""

    charged: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    cache_writes: int = 0

    def charge(self, usage: dict[str, Any], *, batch: bool = False) -> None:
        """Adds what a reply with this usage costs."""
        parts = usage["cache_creation"]
        tokens = usage["input_tokens"] + 0.05 * usage["cache_read_input_tokens"]
        tokens += 1.25 * parts["ephemeral_5m_input_tokens"]
        tokens += 2.0 * parts["ephemeral_1h_input_tokens"]
        usd = (_INPUT_USD * tokens + _OUTPUT_USD * usage["output_tokens"]) / 1e6
        self.charged += usd * (0.5 if batch else 1.0)


class RateLimit:
    """`count` requests in `seconds`, as a bucket that is full at first."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._tokens = float(count)
        self._filled: float | None = None

    def wait(self, now: float) -> float | None:
        """None for a request that may pass; else the seconds until one may."""
        since = 0.0 if self._filled is None else now - self._filled
        self._filled = now
        gained = since * self._count / self._seconds
        self._tokens = min(self._tokens + gained, float(self._count))
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        return (1 - self._tokens) * self._seconds / self._count


class PromptCache:
    """The prefixes that were served: a model and a system text."""

    def __init__(self) -> None:
        self._cached: set[str] = set()

    def holds(self, body: dict[str, Any]) -> bool:
        return _prefix(body) in self._cached

    def keep(self, body: dict[str, Any]) -> None:
        self._cached.add(_prefix(body))


def usage_of(body: dict[str, Any], *, cached: bool) -> dict[str, Any]:
    """The usage of a reply that begins, with one output token."""
    written, read = (0, 1000) if cached else (1000, 0)
    hour = "1h" in json.dumps(body.get("system"))
    return {
        "input_tokens": 25,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if hour else written,
            "ephemeral_1h_input_tokens": written if hour else 0,
        },
        "output_tokens": 1,
        "service_tier": "standard",
    }


def _prefix(body: dict[str, Any]) -> str:
    return json.dumps([body["model"], body.get("system")])
