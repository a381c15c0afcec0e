"""What Anthropic says, in this program's words: stop reasons and usage; and stores of format 1."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.usage import Rate, Stop, Tokens, Usage, count
from pytest_convex_eval.outcomes import StopReason

_REASONS: Mapping[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "context_window",
    "refusal": "refusal",
    "tool_use": "unfinished",
    "pause_turn": "unfinished",
}
_STANDARD_SPEEDS = (None, "standard")
_STANDARD_PLACES = (None, "global", "not_available")


def stop_of(reason: str, details: Mapping[str, Json] | None) -> Stop:
    """A message's `stop_reason` and `stop_details`."""
    category = (details or {}).get("category")
    return Stop(
        _REASONS.get(reason, "unknown"), reason, category if isinstance(category, str) else None
    )


def usage_of(told: Mapping[str, Json]) -> Usage:
    """A message's `usage`."""
    tier = told.get("service_tier")
    ordinary = (
        tier in (None, "standard", "batch")
        and told.get("speed") in _STANDARD_SPEEDS
        and told.get("inference_geo") in _STANDARD_PLACES
    )
    rate: Rate = "other" if not ordinary else "batch" if tier == "batch" else "standard"
    return Usage(_tokens(told), rate, told=told)


def upgraded(generation: Json) -> Json:
    """A generation of a store of format 1, which knew no other vendor, as one of format 2."""
    if not isinstance(generation, dict):
        return generation
    rest = dict(generation)
    request, reason = rest.get("request"), rest.pop("stop_reason", None)
    if not isinstance(request, dict) or not isinstance(reason, str):
        return generation
    details, told = rest.pop("stop_details", None), rest.pop("usage", None)
    return {
        **rest,
        "request": {**request, "model_id": None, "settings": {}},
        "stop": stop_of(reason, details if isinstance(details, dict) else None).to_json(),
        "usage": usage_of(told if isinstance(told, dict) else {}).to_json(),
    }


def _tokens(usage: Mapping[str, Json]) -> Tokens | None:
    written = count(usage.get("cache_creation_input_tokens"))
    parts = usage.get("cache_creation")
    counts = (
        count(usage.get("input_tokens"), required=True),
        count(usage.get("cache_read_input_tokens")),
        count(usage.get("output_tokens"), required=True),
    )
    if written is None or None in counts:
        return None
    short, long = 0, 0
    if written:
        # What a write costs depends on how long it is kept.
        if not isinstance(parts, dict):
            return None
        kept = count(parts.get("ephemeral_5m_input_tokens"))
        longer = count(parts.get("ephemeral_1h_input_tokens"))
        if kept is None or longer is None or kept + longer != written:
            return None
        short, long = kept, longer
    read_input, read, output = (one or 0 for one in counts)
    return Tokens(read_input, short, long, read, output)
