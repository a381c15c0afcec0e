"""p-values of a family of tests, adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that one false discovery in the whole family is improbable (Holm 1979)."""
    adjusted = [0.0] * len(p_values)
    most = 0.0
    for rank, index in enumerate(_order(p_values)):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = most
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the share of false discoveries is small (Benjamini and Hochberg 1995)."""
    count = len(p_values)
    adjusted = [0.0] * count
    least = 1.0
    for rank, index in reversed(list(enumerate(_order(p_values), start=1))):
        least = min(least, p_values[index] * count / rank)
        adjusted[index] = least
    return adjusted


def _order(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=p_values.__getitem__)
