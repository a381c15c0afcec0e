"""How long each stage may take, in seconds of wall time.

Far above what a stage takes (a second at the most): eight workers may share two cores. Light to
import: pytest asks for the sum while it collects.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_convex_eval.outcomes import StageName

DEADLINE_SECONDS: Mapping[StageName, float] = {
    "format": 10.0,
    # A dependency set that this machine does not have yet is installed here.
    "package": 300.0,
    "syntax": 30.0,
    "typecheck": 60.0,
    "deploy": 120.0,
    # Blocks take milliseconds each; one whose code never returns is ended at its call's deadline.
    "behaviour": 300.0,
    "lint": 60.0,
}

GENERATION_SECONDS = 1800.0
"""For one reply with all its attempts: long thinking at 64 000 tokens takes minutes."""

SLACK_SECONDS = 60.0
"""For laying out, starting a deployment and tidying up."""


def item_limit_seconds(*, generates: bool) -> float:
    """An item's last limit, behind the deadlines of its parts."""
    generation = GENERATION_SECONDS if generates else 0.0
    return sum(DEADLINE_SECONDS.values()) + generation + SLACK_SECONDS
