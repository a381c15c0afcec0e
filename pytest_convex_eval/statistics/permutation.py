"""The sign-flip test: how extreme a sum of differences is where each could as well be turned round.

All flips are counted, and not enumerated: differences are multiples of a small fraction, so that
few sums are possible. Where they are many, flips are drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

DRAWS = 10_000
_MOST_BITS = 2**23
"""Of the number that holds how many flips come to each sum: one megabyte."""

_UNIT = 720_720
"""The least common multiple of 1 to 16: differences of rates of so many trials are whole in it."""


@dataclass(frozen=True, slots=True)
class SignFlip:
    """`draws` is None where the p-value is exact."""

    p_value: float
    draws: int | None


def sign_flip(differences: Sequence[float], *, seed: int) -> SignFlip:
    """The two-sided test of `differences` (one a cluster) around 0; p is 1 where all are 0.

    Drawn p-values are `(1 + extreme) / (1 + draws)`, which is never 0.
    """
    sizes = [abs(round(value * _UNIT)) for value in differences]
    observed = abs(sum(round(value * _UNIT) for value in differences))
    # Rounding of fractions that are not whole in the unit must not tell equals apart.
    least = observed - len(sizes)
    groups = Counter(size for size in sizes if size)
    if not groups:
        return SignFlip(1.0, None)
    exact = _exact(groups, least)
    if exact is not None:
        return SignFlip(exact, None)
    random = Random(seed)
    extreme = sum(abs(_drawn(groups, random)) >= least for _ in range(DRAWS))
    return SignFlip((1 + extreme) / (1 + DRAWS), DRAWS)


def _exact(groups: Counter[int], least: int) -> float | None:
    """The share of all flips whose sum is at least `least` on either side; None where it would take
    too much to count them."""
    if least <= 0:
        return 1.0
    unit = math.gcd(*groups)
    count = groups.total()
    whole = sum(size // unit * times for size, times in groups.items())
    # As many bits for each sum as the number of all flips needs, and one more.
    bits = count + 1
    if (whole + 1) * bits > _MOST_BITS:
        return None
    # A polynomial whose coefficients are the ways to each sum of those that keep their sign.
    ways = 1
    for size, times in groups.items():
        for _ in range(times):
            ways += ways << (size // unit * bits)
    first = (whole + -(-least // unit) + 1) // 2
    # The digits' sum, since it is less than the base: casting out nines.
    extreme = (ways >> (first * bits)) % ((1 << bits) - 1)
    return 2 * extreme / (1 << count)


def _drawn(groups: Counter[int], random: Random) -> int:
    """One sum: of each size, a fair coin's count of those that keep their sign."""
    return sum(
        size * (2 * random.getrandbits(count).bit_count() - count) for size, count in groups.items()
    )
