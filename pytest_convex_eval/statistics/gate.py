"""May this be merged: three answers on exactly these cases, and what would decide an open one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.statistics.distributions import student_quantile
from pytest_convex_eval.statistics.paired import paired_error, suite_difference_error
from pytest_convex_eval.statistics.rates import LEVEL
from pytest_convex_eval.statistics.samples import Interval, Pair, mean

GateVerdict: TypeAlias = Literal["non-inferior", "regressed", "inconclusive"]


@dataclass(frozen=True, slots=True)
class GateDecision:
    """`difference` is the candidate's mean rate less the baseline's, as a share of 1.

    `basis` says what the interval allows for: `trials` on exactly these cases, or `cases` like
    these, which is wider, where there are too few trials. `trials_needed` and `cases_needed`
    would decide an inconclusive one if the difference stays what it is; None where none would.
    """

    verdict: GateVerdict
    difference: float
    interval: Interval | None
    margin: float
    basis: Literal["trials", "cases"]
    cases: int
    trials: float
    trials_needed: int | None = None
    cases_needed: int | None = None


def decide(pairs: Sequence[Pair], *, margin: float, level: float = LEVEL) -> GateDecision:
    """`a` is the baseline. Non-inferior: the interval ends above the margin; regressed: it ends
    below 0, and the other does not hold. Raises ValueError where there is no pair."""
    if not pairs:
        raise ValueError("there is no case that both runs have a verdict of")
    difference = mean([pair.difference for pair in pairs])
    trials = mean([min(pair.a.valid, pair.b.valid) for pair in pairs])
    clusters = len({pair.cluster for pair in pairs})
    suite = suite_difference_error(pairs)
    error, degrees = suite if suite is not None else (paired_error(pairs), float(clusters - 1))
    basis: Literal["trials", "cases"] = "cases" if suite is None else "trials"
    if error is None:
        return GateDecision("inconclusive", difference, None, margin, basis, len(pairs), trials)
    half = error * student_quantile((1 + level) / 2, degrees)
    interval = Interval(max(difference - half, -1.0), min(difference + half, 1.0))
    if interval.low > -margin:
        verdict: GateVerdict = "non-inferior"
    elif interval.high < 0:
        verdict = "regressed"
    else:
        verdict = "inconclusive"
    more = _times(half, difference, margin) if verdict == "inconclusive" else None
    return GateDecision(
        verdict,
        difference,
        interval,
        margin,
        basis,
        len(pairs),
        trials,
        trials_needed=None if more is None else math.ceil(trials * more),
        cases_needed=None if more is None else math.ceil(len(pairs) * more),
    )


def _times(half: float, difference: float, margin: float) -> float | None:
    """How many times the sample is needed for one of the two answers; None where the difference
    lies on both their bounds."""
    # The nearer decision: the difference's distance to the margin, or to 0 where it is below.
    distance = max(difference + margin, -difference)
    if distance <= 0:
        return None
    return max((half / distance) ** 2, 1.0)
