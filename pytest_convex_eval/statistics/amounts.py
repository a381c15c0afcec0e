"""Costs and latencies: amounts of items, of which some are not known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_convex_eval.statistics.samples import Interval, mean
from pytest_convex_eval.statistics.several_trials import bootstrap, quantile


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of items: the mean over cases of each case's own, with its interval, and the middle and the
    slowest tenth of all items. `unknown` counts the items whose amount is not known: they are in
    none of the figures, and never 0."""

    mean: float
    interval: Interval | None
    median: float
    p90: float
    total: float
    known: int
    unknown: int


def amounts(by_case: Mapping[str, Sequence[float | None]], *, seed: int) -> Amounts | None:
    """None where no amount is known."""
    known = {
        case: [value for value in values if value is not None] for case, values in by_case.items()
    }
    known = {case: values for case, values in known.items() if values}
    if not known:
        return None
    every = sorted(value for values in known.values() for value in values)
    means = [mean(values) for values in known.values()]
    return Amounts(
        mean=mean(means),
        interval=bootstrap([[value] for value in means], seed=seed),
        median=quantile(every, 0.5),
        p90=quantile(every, 0.9),
        total=math.fsum(every),
        known=len(every),
        unknown=sum(len(values) for values in by_case.values()) - len(every),
    )


def per_passed(total: float | None, passed: int) -> float | None:
    """What one passed item cost: all that was spent, by what it bought; None where nothing passed
    or where the total is not known."""
    return total / passed if passed and total is not None else None


@dataclass(frozen=True, slots=True)
class PairedAmounts:
    """How b's amounts differ from a's over the cases of which both are known."""

    mean_a: float
    mean_b: float
    difference: float
    interval: Interval | None
    cases: int


def compare_amounts(
    a: Mapping[str, Sequence[float | None]], b: Mapping[str, Sequence[float | None]], *, seed: int
) -> PairedAmounts | None:
    """None where no case has a known amount on both sides."""
    means_a, means_b = _means(a), _means(b)
    shared = sorted(means_a.keys() & means_b.keys())
    if not shared:
        return None
    differences = [means_b[case] - means_a[case] for case in shared]
    return PairedAmounts(
        mean_a=mean([means_a[case] for case in shared]),
        mean_b=mean([means_b[case] for case in shared]),
        difference=mean(differences),
        interval=bootstrap([[value] for value in differences], seed=seed),
        cases=len(shared),
    )


def _means(by_case: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    known = {
        case: [value for value in values if value is not None] for case, values in by_case.items()
    }
    return {case: mean(values) for case, values in known.items() if values}
