"""What endpoints of Chat Completions say, in this program's words: finish reasons and usage."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.usage import Rate, Stop, Tokens, Usage, count
from pytest_convex_eval.outcomes import StopReason

CONTENT_FILTER = "content_filter"

_REASONS: Mapping[str, StopReason] = {
    "stop": "stop",
    "length": "max_tokens",
    CONTENT_FILTER: "refusal",
    "tool_calls": "unfinished",
    "function_call": "unfinished",
}
_STANDARD_TIERS = (None, "auto", "default", "standard")


def stop_of(reason: str, *, refused: bool = False) -> Stop:
    """A choice's `finish_reason`; `refused` says that its text is a `refusal`."""
    found = _REASONS.get(reason, "unknown")
    if refused and found in ("stop", "refusal"):
        return Stop("refusal", reason)
    return Stop(found, reason, CONTENT_FILTER if reason == CONTENT_FILTER else None)


def usage_of(told: Mapping[str, Json], tier: Json = None) -> Usage:
    """A completion's `usage` and `service_tier`; a `cost` is what OpenRouter charged, in USD."""
    rate: Rate = "standard" if tier in _STANDARD_TIERS else "other"
    return Usage(_tokens(told), rate, _cost(told), told)


def _tokens(usage: Mapping[str, Json]) -> Tokens | None:
    details = usage.get("prompt_tokens_details")
    parts = details if isinstance(details, dict) else {}
    prompt = count(usage.get("prompt_tokens"), required=True)
    output = count(usage.get("completion_tokens"), required=True)
    read, written = count(parts.get("cached_tokens")), count(parts.get("cache_write_tokens"))
    if prompt is None or output is None or read is None or written is None:
        return None
    # The prompt is told as a whole, what caches served and took among it.
    return (
        None
        if read + written > prompt
        else Tokens(prompt - read - written, written, 0, read, output)
    )


def _cost(usage: Mapping[str, Json]) -> float | None:
    cost = _usd(usage.get("cost"))
    if cost is None or usage.get("is_byok") is not True:
        return cost
    # With a key of one's own at the vendor behind it, the vendor's bill comes on top.
    details = usage.get("cost_details")
    upstream = _usd(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if upstream is None else cost + upstream


def _usd(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
