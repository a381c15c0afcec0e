"""What changed from one run to another: cases that got worse, and failures that got more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.statistics.distributions import fisher_less, fisher_two_sided
from pytest_convex_eval.statistics.multiplicity import benjamini_hochberg
from pytest_convex_eval.statistics.paired import ALPHA
from pytest_convex_eval.statistics.samples import Counts, Pair

Change: TypeAlias = Literal["regressed", "suspect", "improved", "same"]

_FEWEST_TRIALS = 5
"""3 of 3 that become 0 of 3 still are p = .10, two-sided; below five trials nothing is proved."""


@dataclass(frozen=True, slots=True)
class CaseChange:
    """One case in two runs. `p_value` is Fisher's, one-sided, that it got worse; `adjusted` the
    same among all cases (Benjamini and Hochberg)."""

    case: str
    a: Counts
    b: Counts
    p_value: float
    adjusted: float
    change: Change

    @property
    def difference(self) -> float:
        return self.b.rate - self.a.rate


def case_changes(pairs: Sequence[Pair]) -> list[CaseChange]:
    """One for each pair, the worst first; below five trials a case is at most suspect."""
    p_values = [fisher_less(*pair.a, *pair.b) for pair in pairs]
    changes = [
        CaseChange(pair.case, pair.a, pair.b, p_value, adjusted, _change(pair, adjusted))
        for pair, p_value, adjusted in zip(
            pairs, p_values, benjamini_hochberg(p_values), strict=True
        )
    ]
    return sorted(changes, key=lambda one: (one.difference, one.adjusted, one.case))


def _change(pair: Pair, adjusted: float) -> Change:
    if pair.difference < 0:
        enough = min(pair.a.valid, pair.b.valid) >= _FEWEST_TRIALS
        return "regressed" if enough and adjusted <= ALPHA else "suspect"
    return "improved" if pair.difference > 0 else "same"


@dataclass(frozen=True, slots=True)
class FailureDrift:
    """How often items first failed with one code in a and in b, of all their valid trials of the
    same cases. `adjusted` is Fisher's two-sided p-value among all codes (Benjamini and Hochberg).
    """

    code: str
    a: Counts
    b: Counts
    adjusted: float


def failure_drift(
    a: Mapping[str, int], trials_a: int, b: Mapping[str, int], trials_b: int
) -> list[FailureDrift]:
    """One for each code, that whose share moved most first; none where a side has no trial."""
    if not trials_a or not trials_b:
        return []
    codes = sorted(a.keys() | b.keys())
    counts = [
        (Counts(a.get(code, 0), trials_a), Counts(b.get(code, 0), trials_b)) for code in codes
    ]
    adjusted = benjamini_hochberg([fisher_two_sided(*one, *other) for one, other in counts])
    drifts = [
        FailureDrift(code, one, other, p_value)
        for code, (one, other), p_value in zip(codes, counts, adjusted, strict=True)
    ]
    return sorted(drifts, key=lambda one: (-abs(one.b.rate - one.a.rate), one.code))
