"""Which stages a check has. Imports nothing heavy: the command line is read with it."""

from __future__ import annotations

from pytest_convex_eval.outcomes import StageName
from pytest_convex_eval.stages.table import STAGES

_OF_CASES: frozenset[StageName] = frozenset({"format", "behaviour"})
"""What a reply or a case is needed for."""

CHECK_STAGES: tuple[StageName, ...] = tuple(stage for stage in STAGES if stage not in _OF_CASES)
"""In the order in which they run."""
