"""pass@k and pass^k: what k trials of a case come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pytest_convex_eval.statistics.rates import LEVEL
from pytest_convex_eval.statistics.samples import Counts, Interval, mean

BOOTSTRAP_DRAWS = 2_000
_MOST_WORK = 4_000_000
"""Values that are added up for one interval: draws get fewer where there are many cases."""


def pass_at_k(counts: Counts, k: int) -> float | None:
    """The probability that one of `k` trials passes, unbiased (Chen et al. 2021, arXiv:2107.03374);
    None where there are fewer than `k` trials."""
    if counts.valid < k:
        return None
    failed = counts.valid - counts.passed
    return 1 - math.comb(failed, k) / math.comb(counts.valid, k)


def pass_hat_k(counts: Counts, k: int) -> float | None:
    """The probability that all of `k` trials pass (pass^k; tau-bench, arXiv:2406.12045); None where
    there are fewer than `k` trials."""
    if counts.valid < k:
        return None
    return math.comb(counts.passed, k) / math.comb(counts.valid, k)


@dataclass(frozen=True, slots=True)
class OverCases:
    """A mean over cases with its interval; `left_out` counts the cases that have too few trials."""

    value: float
    interval: Interval | None
    cases: int
    left_out: int


def over_cases(
    counts: Mapping[str, Counts],
    measure: Callable[[Counts, int], float | None],
    k: int,
    *,
    seed: int,
    clusters: Mapping[str, str] | None = None,
) -> OverCases | None:
    """`measure` (pass_at_k, pass_hat_k) of the cases that have `k` trials; None where none has."""
    values = {case: value for case, one in counts.items() if (value := measure(one, k)) is not None}
    if not values:
        return None
    grouped: dict[str, list[float]] = {}
    for case, value in values.items():
        grouped.setdefault(case if clusters is None else clusters.get(case, case), []).append(value)
    interval = bootstrap(list(grouped.values()), seed=seed)
    return OverCases(mean(list(values.values())), interval, len(values), len(counts) - len(values))


def bootstrap(
    clusters: Sequence[Sequence[float]], *, seed: int, level: float = LEVEL
) -> Interval | None:
    """The percentile interval of the mean, clusters drawn with replacement; None below two."""
    count = len(clusters)
    if count < 2:
        return None
    sums = [(math.fsum(values), len(values)) for values in clusters]
    random = Random(seed)
    means = []
    for _ in range(bootstrap_draws(count)):
        drawn = random.choices(sums, k=count)
        means.append(sum(one for one, _ in drawn) / sum(size for _, size in drawn))
    means.sort()
    return Interval(quantile(means, (1 - level) / 2), quantile(means, (1 + level) / 2))


def bootstrap_draws(values: int) -> int:
    """How often a sample of so many `values` is drawn anew."""
    return min(BOOTSTRAP_DRAWS, max(200, _MOST_WORK // max(values, 1)))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, between two in proportion. Raises IndexError where there are none."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
