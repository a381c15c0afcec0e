"""Probabilities and quantiles: normal, Student's t, binomial, hypergeometric."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

_NORMAL = NormalDist()
_MOST_EXACT = 2_000
"""Trials up to which tails are sums of exact integers."""


def normal_quantile(probability: float) -> float:
    """Of the standard normal distribution. Raises StatisticsError outside of (0, 1)."""
    return _NORMAL.inv_cdf(probability)


@cache
def student_quantile(probability: float, degrees: float) -> float:
    """Of Student's t with `degrees` of freedom, which need not be whole; infinite is the normal.

    Found by bisection of its distribution function. Raises ValueError for a probability outside of
    (0, 1) and for degrees that are not positive.
    """
    if not 0 < probability < 1 or degrees <= 0:
        raise ValueError(f"no quantile {probability} of t with {degrees} degrees of freedom")
    if math.isinf(degrees):
        return normal_quantile(probability)
    if probability < 0.5:
        return -student_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while student_cdf(high, degrees) < probability:
        low, high = high, high * 2
    while high - low > 1e-12 * max(high, 1.0):
        middle = (low + high) / 2
        if student_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_cdf(value: float, degrees: float) -> float:
    """The probability that Student's t is at most `value`."""
    tail = 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + value * value))
    return 1 - tail if value > 0 else tail


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    # The fraction converges fast below the mean, and the function is symmetric.
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    least = 1e-300
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1), least)
    value = d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + factor * d, least)
            c = _away(1 + factor / c, least)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away(value: float, least: float) -> float:
    return value if abs(value) > least else least


def sign_test(one: int, other: int) -> float:
    """The two-sided p-value of `one` against `other` where both are as likely: exact McNemar on the
    discordant pairs (Dietterich 1998); 1 where there are none."""
    count, fewer = one + other, min(one, other)
    if count <= _MOST_EXACT:
        tail = sum(math.comb(count, k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / (1 << count))
    logs = [_log_comb(count, k) - count * math.log(2) for k in range(fewer + 1)]
    return min(1.0, 2 * _sum_exp(logs))


def fisher_less(passed_a: int, trials_a: int, passed_b: int, trials_b: int) -> float:
    """Fisher's exact test, one-sided: how probable `passed_b` or fewer are, given all passes, where
    both have one rate."""
    passed = passed_a + passed_b
    low = max(0, passed - trials_a)
    return min(1.0, sum(_hypergeometric(passed, trials_a, trials_b, range(low, passed_b + 1))))


def fisher_two_sided(passed_a: int, trials_a: int, passed_b: int, trials_b: int) -> float:
    """Fisher's exact test, two-sided: all tables that are no more probable than this one."""
    passed = passed_a + passed_b
    low, high = max(0, passed - trials_a), min(passed, trials_b)
    chances = _hypergeometric(passed, trials_a, trials_b, range(low, high + 1))
    # As R and SciPy: a table as probable as this one counts, whatever rounding says.
    most = chances[passed_b - low] * (1 + 1e-7)
    return min(1.0, sum(chance for chance in chances if chance <= most))


def _hypergeometric(passed: int, trials_a: int, trials_b: int, of_b: range) -> list[float]:
    """The probability of each count in `of_b` of the passes to fall to b."""
    total = trials_a + trials_b
    if total <= _MOST_EXACT:
        ways = math.comb(total, passed)
        return [math.comb(trials_b, b) * math.comb(trials_a, passed - b) / ways for b in of_b]
    ways_log = _log_comb(total, passed)
    return [
        math.exp(_log_comb(trials_b, b) + _log_comb(trials_a, passed - b) - ways_log) for b in of_b
    ]


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _sum_exp(logs: list[float]) -> float:
    most = max(logs)
    return math.exp(most) * math.fsum(math.exp(each - most) for each in logs)
