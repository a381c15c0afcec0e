"""Suites whose truth is known, and what trials of them came to, drawn with a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_convex_eval.statistics.samples import Counts, Pair

Rates = Sequence[float]

# The rates of cases as models have them: most are always passed, some never.
SHAPE = (1.2, 0.3)
MEAN_RATE = SHAPE[0] / sum(SHAPE)


def suite(random: np.random.Generator, cases: int) -> Rates:
    """The true rates of so many cases."""
    return [float(rate) for rate in random.beta(*SHAPE, size=cases)]


def trials(random: np.random.Generator, rates: Rates, count: int) -> dict[str, Counts]:
    """What `count` trials of each case came to."""
    return {
        f"c{index}": Counts(int(passed), count)
        for index, passed in enumerate(random.binomial(count, rates))
    }


def pairs(random: np.random.Generator, a: Rates, b: Rates, count: int) -> list[Pair]:
    """Two sides of the same cases."""
    one, other = trials(random, a, count), trials(random, b, count)
    return [Pair(case, one[case], other[case], case) for case in one]
