"""Two sides on the same cases: how far apart they are, and what can be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pytest_convex_eval.statistics.distributions import sign_test, student_quantile
from pytest_convex_eval.statistics.multiplicity import holm
from pytest_convex_eval.statistics.permutation import sign_flip
from pytest_convex_eval.statistics.rates import LEVEL
from pytest_convex_eval.statistics.samples import Interval, Pair, cluster_error, mean

Answer: TypeAlias = Literal["better", "worse", "equivalent", "undecided"]
"""Of b against a. Equivalent: within the margin, both one-sided tests at 5 % say (TOST)."""

ALPHA = 1 - LEVEL

POWER = 0.80


@dataclass(frozen=True, slots=True)
class Paired:
    """b's mean rate less a's, over the cases that both did, in shares of 1 (not points).

    `error` and `interval` are for cases like these; `suite_error` and `suite_interval` for exactly
    these cases (None where most have fewer than two trials). `detectable` is the difference that
    would be found four times in five. `p_value` is the sign-flip test's over clusters, `adjusted`
    the same for all comparisons of its family (Holm), `draws` how many flips were drawn (None:
    exact). `discordant` are the cases that b alone and a alone passed, where each has one trial,
    and `mcnemar` their exact test.
    """

    cases: int
    clusters: int
    rate_a: float
    rate_b: float
    difference: float
    error: float | None
    interval: Interval | None
    suite_error: float | None
    suite_interval: Interval | None
    detectable: float | None
    margin: float
    p_value: float
    adjusted: float
    draws: int | None
    discordant: tuple[int, int] | None
    mcnemar: float | None
    equivalent: bool
    """Whether both one-sided tests say that the difference is within the margin."""
    answer: Answer


def compare_pairs(pairs: Sequence[Pair], *, margin: float, seed: int) -> Paired | None:
    """None where there is no pair; one alone has no interval, and is undecided.

    `margin` is the difference, as a share of 1, that does not matter.
    """
    if not pairs:
        return None
    differences = [pair.difference for pair in pairs]
    names = [pair.cluster for pair in pairs]
    sums: dict[str, float] = {}
    for name, value in zip(names, differences, strict=True):
        sums[name] = sums.get(name, 0.0) + value
    difference = mean(differences)
    error = paired_error(pairs)
    interval = None
    narrow = None
    if error is not None:
        interval = _around(difference, error, len(sums) - 1, LEVEL)
        # Two one-sided tests at 5 % are the interval at 90 %.
        narrow = _around(difference, error, len(sums) - 1, 1 - 2 * ALPHA)
    suite = suite_difference_error(pairs)
    flipped = sign_flip(list(sums.values()), seed=seed)
    discordant = _discordant(pairs)
    made = Paired(
        cases=len(pairs),
        clusters=len(sums),
        rate_a=mean([pair.a.rate for pair in pairs]),
        rate_b=mean([pair.b.rate for pair in pairs]),
        difference=difference,
        error=error,
        interval=interval,
        suite_error=None if suite is None else suite[0],
        suite_interval=None if suite is None else _around(difference, *suite, LEVEL),
        detectable=None if error is None else _errors_found(len(sums) - 1) * error,
        margin=margin,
        p_value=flipped.p_value,
        adjusted=flipped.p_value,
        draws=flipped.draws,
        discordant=discordant,
        mcnemar=None if discordant is None else sign_test(*discordant),
        equivalent=narrow is not None and narrow.inside(-margin, margin),
        answer="undecided",
    )
    return replace(made, answer=_answer(made))


def adjust(family: Sequence[Paired]) -> list[Paired]:
    """The comparisons of one family, each with its p-value adjusted, and its answer by that."""
    adjusted = holm([one.p_value for one in family])
    again = [replace(one, adjusted=p_value) for one, p_value in zip(family, adjusted, strict=True)]
    return [replace(one, answer=_answer(one)) for one in again]


def paired_error(pairs: Sequence[Pair]) -> float | None:
    """The standard error of the mean difference, for cases like these, clusters respected; None
    below two clusters.

    It is at least that with two cases added, of which a half was gained and a half lost (Agresti
    and Min 2005, for single trials; less where a case has more of them): differences that few cases
    did not show may be there all the same. Without, an interval over ten cases that says 95 % is
    right 90 times in 100.
    """
    differences = [pair.difference for pair in pairs]
    error = cluster_error(differences, [pair.cluster for pair in pairs])
    if error is None:
        return None
    size = len(pairs) + 2
    squares = math.fsum(value * value for value in differences) + 1 / math.sqrt(_trials(pairs))
    variance = squares / size - (math.fsum(differences) / size) ** 2
    return max(error, math.sqrt(variance / size))


def _trials(pairs: Sequence[Pair]) -> float:
    return mean([min(pair.a.valid, pair.b.valid) for pair in pairs])


def suite_difference_error(pairs: Sequence[Pair]) -> tuple[float, float] | None:
    """The standard error of the mean difference on exactly these cases, and its degrees of freedom
    (Welch and Satterthwaite); None where most cases have fewer than two trials of a side.

    A case that lost all trials but one is taken to vary as the others of its side do on average.
    It is at least what one discordant pair of all trials would make: that no case flipped is no
    proof that none can.
    """
    parts: list[tuple[float, int]] = []
    for side in ([pair.a for pair in pairs], [pair.b for pair in pairs]):
        known = [one.variance for one in side if one.variance is not None]
        if 2 * len(known) <= len(side):
            return None
        usual = mean(known)
        for one in side:
            variance = one.variance
            if variance is None:
                parts.append((usual, 1))
            else:
                parts.append((variance / one.valid, one.valid - 1))
    total = math.fsum(part for part, _ in parts)
    error = math.sqrt(total) / len(pairs)
    least = 1 / (_trials(pairs) * (len(pairs) + 2))
    if error <= least:
        return least, float(sum(degrees for _, degrees in parts))
    freedom = total * total / math.fsum(part * part / degrees for part, degrees in parts)
    return error, freedom


def detectable_difference(
    *, cases: int, trials: int, variance: float, effects: float = 0.0
) -> float:
    """What `cases` of `trials` each would find four times in five: for planning.

    `variance` is that of one trial within a case, of both sides together, and `effects` that of the
    true difference from case to case.
    """
    return _errors_found(cases - 1) * math.sqrt((effects + variance / trials) / cases)


def _errors_found(degrees: float) -> float:
    """How many standard errors a difference must be for `POWER`; 2.80 with many cases."""
    return student_quantile(1 - ALPHA / 2, degrees) + student_quantile(POWER, degrees)


def _discordant(pairs: Sequence[Pair]) -> tuple[int, int] | None:
    if any(pair.a.valid != 1 or pair.b.valid != 1 for pair in pairs):
        return None
    gained = sum(pair.b.passed > pair.a.passed for pair in pairs)
    lost = sum(pair.b.passed < pair.a.passed for pair in pairs)
    return gained, lost


def _around(centre: float, error: float, degrees: float, level: float) -> Interval:
    half = error * student_quantile((1 + level) / 2, degrees)
    return Interval(max(centre - half, -1.0), min(centre + half, 1.0))


def _answer(one: Paired) -> Answer:
    if one.interval is not None and one.adjusted <= ALPHA:
        if one.interval.low > 0:
            return "better"
        if one.interval.high < 0:
            return "worse"
    return "equivalent" if one.equivalent else "undecided"
