"""Trials that are added until a decision is there, with an answer that holds whenever one stops.

Tests for a fixed number of trials are wrong when they are looked at again and again (Armitage,
McPherson and Rowe 1969). This is a bet against each possible mean difference (Waudby-Smith and
Ramdas 2023, "Estimating means of bounded random variables by betting"): the money that a bet at
fair odds makes is evidence against it, and by Ville's inequality it rarely ever reaches 1/alpha
where the mean is true, however often one looks.

One round is a pair of trials of every case. The stakes are fixed in advance (a mixture of them), so
that it does no harm that cases differ: the product over a round of `1 + stake * (x - m)` is at most
1 in expectation when the mean over the cases is `m`, by the inequality of the means. Therefore the
evidence is that of whole rounds, and the claim is about exactly these cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.statistics.paired import ALPHA
from pytest_convex_eval.statistics.samples import Interval

_STAKES = tuple(0.9 * 0.65**step for step in range(12))
"""As shares of the largest that can't be ruined: for large differences and for small ones."""

Stop: TypeAlias = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Pairs of trials of the same case: b alone passed (`gained`), a alone (`lost`), or they ended
    alike (`even`)."""

    gained: int = 0
    lost: int = 0
    even: int = 0

    @property
    def pairs(self) -> int:
        return self.gained + self.lost + self.even

    @property
    def difference(self) -> float:
        """b's rate less a's; 0 where there is no pair."""
        return (self.gained - self.lost) / self.pairs if self.pairs else 0.0


def evidence_above(tally: Tally, difference: float) -> float:
    """The logarithm of the money of who bets that the true difference is above `difference`."""
    m = (difference + 1) / 2
    if m <= 0:
        return math.inf if tally.gained + tally.even else 0.0
    return _mixed(
        [
            tally.lost * math.log1p(-stake)
            + tally.even * math.log(1 - stake + stake * 0.5 / m)
            + tally.gained * math.log(1 - stake + stake / m)
            for stake in _STAKES
        ]
    )


def evidence_below(tally: Tally, difference: float) -> float:
    """The same for who bets that it is below."""
    return evidence_above(Tally(tally.lost, tally.gained, tally.even), -difference)


def confidence_sequence(tally: Tally, alpha: float = ALPHA) -> Interval:
    """Holds the true difference at every look at once with probability `1 - alpha`."""
    # Two bets, each with half of the error.
    limit = math.log(2 / alpha)
    return Interval(
        _lower(tally, limit), -_lower(Tally(tally.lost, tally.gained, tally.even), limit)
    )


def stop(tally: Tally, *, margin: float, alpha: float = ALPHA) -> Stop:
    """Whether the rounds so far decide, for a `margin` that does not matter: whether the sequence's
    interval lies on one side of 0, or within the margin."""
    limit = math.log(2 / alpha)
    if evidence_above(tally, 0.0) >= limit:
        return "better"
    if evidence_below(tally, 0.0) >= limit:
        return "worse"
    inside = min(evidence_above(tally, -margin), evidence_below(tally, margin)) >= limit
    return "equivalent" if inside else "undecided"


def _lower(tally: Tally, limit: float) -> float:
    """The least difference that is not refuted from below: evidence falls as it grows."""
    low, high = -1.0, 1.0
    if evidence_above(tally, low) < limit:
        return low
    while high - low > 1e-9:
        middle = (low + high) / 2
        if evidence_above(tally, middle) < limit:
            high = middle
        else:
            low = middle
    return high


def _mixed(logs: list[float]) -> float:
    most = max(logs)
    return most + math.log(math.fsum(math.exp(each - most) for each in logs) / len(logs))
