"""How long an item may take, behind the deadlines of its parts. Light to import: it is asked while
pytest collects."""

from __future__ import annotations

GENERATION_SECONDS = 1800.0
"""For one reply with all its attempts: long thinking at 64 000 tokens takes minutes."""

SLACK_SECONDS = 60.0
"""For laying out, starting a deployment and tidying up."""


def item_limit_seconds(stages_seconds: float, *, generates: bool) -> float:
    """An item's last limit in seconds of wall time; `stages_seconds` are those of its stages."""
    return stages_seconds + (GENERATION_SECONDS if generates else 0.0) + SLACK_SECONDS
