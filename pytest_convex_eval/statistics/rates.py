"""A pass rate with what is known of its error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_convex_eval.statistics.distributions import student_quantile
from pytest_convex_eval.statistics.samples import Counts, Interval, cluster_error, mean

LEVEL = 0.95
"""Of every interval, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A pass rate: the mean over cases of each case's own rate.

    `error_cases` is its standard error for cases like these, `error_suite` that for exactly these
    cases (None below two trials of each). `interval` is for cases like these. `between` and
    `within` are the two parts of its variance: between cases, which more cases make smaller, and
    within them, which more trials do. None is what can't be told.
    """

    rate: float
    cases: int
    trials: int
    error_cases: float | None
    error_suite: float | None
    interval: Interval | None
    between: float | None
    within: float | None


def pass_rate(
    counts: Mapping[str, Counts], clusters: Mapping[str, str] | None = None, level: float = LEVEL
) -> Rate | None:
    """The rate over the cases of `counts` that have a valid trial; None where none has."""
    valid = {case: one for case, one in counts.items() if one.valid}
    if not valid:
        return None
    rates = [one.rate for one in valid.values()]
    named = [case if clusters is None else clusters.get(case, case) for case in valid]
    trials = sum(one.valid for one in valid.values())
    rate = mean(rates)
    error = cluster_error(rates, named)
    suite = suite_error(list(valid.values()))
    within = None if suite is None else suite * suite
    return Rate(
        rate=rate,
        cases=len(valid),
        trials=trials,
        error_cases=error,
        error_suite=suite,
        interval=None
        if error is None
        else wilson(rate, error, clusters=len(set(named)), trials=trials, level=level),
        between=None if within is None or error is None else max(error * error - within, 0.0),
        within=within,
    )


def suite_error(counts: Sequence[Counts]) -> float | None:
    """The standard error of the mean rate of exactly these cases: of the trials alone. None where a
    case has fewer than two."""
    variances = [(one.variance, one.valid) for one in counts]
    total = 0.0
    for variance, trials in variances:
        if variance is None:
            return None
        total += variance / trials
    return math.sqrt(total) / len(counts)


def wilson(
    rate: float, error: float, *, clusters: int, trials: int, level: float = LEVEL
) -> Interval:
    """Wilson's interval (1927) on the effective sample size of a clustered sample.

    The size is that of a simple sample with the same standard `error` (Kish's design effect), at
    most `trials`; with no error at all it is the number of `clusters`, as it is exactly where each
    has one trial. The quantile is Student's. Raises ValueError below two clusters.
    """
    if clusters < 2:
        raise ValueError("one cluster has no interval")
    spread = rate * (1 - rate)
    # The error of a sample is estimated with one cluster less than it has.
    square = error * error * (clusters - 1) / clusters
    size = spread / square if square > 0 else float(clusters)
    size = min(max(size, 1.0), float(trials))
    quantile = student_quantile((1 + level) / 2, clusters - 1)
    square = quantile * quantile
    centre = (rate + square / (2 * size)) / (1 + square / size)
    half = quantile * math.sqrt(spread / size + square / (4 * size * size)) / (1 + square / size)
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))


@dataclass(frozen=True, slots=True)
class Missing:
    """What became of the trials that were planned. The two bounds are the rate with each trial
    that came to no verdict taken for a failure, and for a pass."""

    planned: int
    valid: int
    all_failed: float | None
    all_passed: float | None

    @property
    def share(self) -> float:
        """Of the planned trials without a verdict; 0 where none was planned."""
        return 1 - self.valid / self.planned if self.planned else 0.0


MOST_MISSING = 0.05
"""The share of trials without a verdict beyond which a run says nothing."""


def missing(counts: Mapping[str, Counts], planned: Mapping[str, int]) -> Missing:
    """`planned` is the number of trials of each case that were to be."""
    cases = [(counts.get(case, Counts(0, 0)), count) for case, count in planned.items() if count]
    if not cases:
        return Missing(0, 0, None, None)
    return Missing(
        planned=sum(count for _, count in cases),
        valid=sum(one.valid for one, _ in cases),
        all_failed=mean([one.passed / count for one, count in cases]),
        all_passed=mean([(one.passed + count - one.valid) / count for one, count in cases]),
    )
