"""What statistics are computed from: counts of passed and valid trials, case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Counts(NamedTuple):
    """Of the trials of one case: `valid` are those with a verdict. Errors are in neither: what is
    missing is never a failure."""

    passed: int
    valid: int

    @property
    def rate(self) -> float:
        """The share that passed. Raises ZeroDivisionError where no trial is valid."""
        return self.passed / self.valid

    @property
    def variance(self) -> float | None:
        """Of one trial within the case, unbiased; None below two trials."""
        if self.valid < 2:
            return None
        return self.rate * (1 - self.rate) * self.valid / (self.valid - 1)


class Interval(NamedTuple):
    """Its two ends."""

    low: float
    high: float

    def inside(self, low: float, high: float) -> bool:
        """Whether the whole of it lies strictly between `low` and `high`."""
        return low < self.low and self.high < high


@dataclass(frozen=True, slots=True)
class Pair:
    """One case as two sides did it. Cases of one `cluster` (the same app, the same starting
    project) are not independent of each other."""

    case: str
    a: Counts
    b: Counts
    cluster: str

    @property
    def difference(self) -> float:
        """Of the rates, b's less a's."""
        return self.b.rate - self.a.rate


def mean(values: Sequence[float]) -> float:
    """Raises ZeroDivisionError where there are none."""
    return math.fsum(values) / len(values)


def cluster_error(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """The standard error of the mean of `values`, each of a cluster; None below two clusters.

    `sqrt(C/(C-1) * sum over clusters of (sum of deviations)^2) / N` (Miller 2024,
    arXiv:2411.00640); where each value is a cluster of its own, that is `sd / sqrt(N)`.
    """
    centre = mean(values)
    sums: dict[str, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - centre
    count = len(sums)
    if count < 2:
        return None
    squares = math.fsum(deviation * deviation for deviation in sums.values())
    return math.sqrt(count / (count - 1) * squares) / len(values)


def pairs_of(
    a: Mapping[str, Counts], b: Mapping[str, Counts], clusters: Mapping[str, str]
) -> list[Pair]:
    """The cases that both sides have a valid trial of, in the order of their names; a case without
    a cluster in `clusters` is one of its own."""
    shared = sorted(case for case in a.keys() & b.keys() if a[case].valid and b[case].valid)
    return [Pair(case, a[case], b[case], clusters.get(case, case)) for case in shared]
