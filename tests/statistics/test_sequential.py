"""Looks at every round, and is wrong no more often than one look would be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.statistics.sequential import (
    Stop,
    Tally,
    confidence_sequence,
    evidence_above,
    evidence_below,
    stop,
)

tallies = st.builds(Tally, st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))


@given(tallies)
def test_the_interval_holds_what_was_seen(tally: Tally) -> None:
    made = confidence_sequence(tally)
    assert -1 <= made.low <= tally.difference + 1e-9
    assert tally.difference - 1e-9 <= made.high <= 1


@given(tallies, st.floats(-0.99, 0.99), st.floats(-0.99, 0.99))
def test_evidence_falls_as_the_claim_moves_towards_it(
    tally: Tally, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert evidence_above(tally, low) >= evidence_above(tally, high) - 1e-9
    assert evidence_below(tally, high) >= evidence_below(tally, low) - 1e-9


@given(tallies, st.floats(0.01, 0.5))
def test_turned_round_it_says_the_opposite(tally: Tally, margin: float) -> None:
    opposite: dict[Stop, Stop] = {"better": "worse", "worse": "better"}
    one, other = stop(tally, margin=margin), Tally(tally.lost, tally.gained, tally.even)
    assert stop(other, margin=margin) == opposite.get(one, one)


def test_nothing_seen_says_nothing() -> None:
    assert confidence_sequence(Tally()) == (-1, 1)
    assert stop(Tally(), margin=0.05) == "undecided"


@pytest.mark.parametrize("difference", [-0.6, 0.0, 0.3])
def test_each_bet_is_fair_against_the_truth(difference: float) -> None:
    """Its expected money after one pair is what it was: 1, for each of the three outcomes' chances.

    The chances that make the mean `difference` leave one free, which must not matter."""
    for even in (0.0, 0.2, 0.4):
        gained = (1 - even + difference) / 2
        chances = {
            Tally(gained=1): gained,
            Tally(lost=1): 1 - even - gained,
            Tally(even=1): even,
        }
        money = sum(
            chance * math.exp(evidence_above(tally, difference))
            for tally, chance in chances.items()
        )
        assert money == pytest.approx(1)


def played(
    random: np.random.Generator, a: list[float], b: list[float], rounds: int, margin: float
) -> tuple[Stop, int]:
    """Rounds of a pair of trials of each case, looked at after each, until it stops."""
    tally = Tally()
    for number in range(1, rounds + 1):
        one, other = random.random(len(a)) < a, random.random(len(b)) < b
        tally = Tally(
            tally.gained + int(np.sum(other & ~one)),
            tally.lost + int(np.sum(one & ~other)),
            tally.even + int(np.sum(one == other)),
        )
        said = stop(tally, margin=margin)
        if said != "undecided":
            return said, number
    return "undecided", rounds


@pytest.mark.parametrize("cases", [5, 30])
def test_the_same_subject_is_rarely_called_different_at_any_look(cases: int) -> None:
    """Cases differ, which must do no harm; a margin of 0 lets no look end as equivalent."""
    random = np.random.default_rng(cases)
    rates = [float(rate) for rate in random.beta(1.2, 0.3, size=cases)]
    ends = [played(random, rates, rates, 40, 0.0)[0] for _ in range(200)]
    assert ends.count("worse") <= 10
    assert ends.count("better") <= 10


def test_cases_that_move_apart_with_the_same_mean_are_no_difference() -> None:
    """Half of them always gained, half always lost: the mean is 0, whatever the order."""
    random = np.random.default_rng(1)
    ends = [played(random, [0.0, 1.0] * 10, [1.0, 0.0] * 10, 40, 0.0)[0] for _ in range(20)]
    assert ends == ["undecided"] * 20


def test_a_true_difference_is_found_and_the_sooner_the_larger_it_is() -> None:
    random = np.random.default_rng(4)
    rates = [0.8] * 40
    small = [played(random, rates, [0.65] * 40, 60, 0.05) for _ in range(50)]
    large = [played(random, rates, [0.3] * 40, 60, 0.05) for _ in range(50)]
    assert [end for end, _ in large] == ["worse"] * 50
    assert [end for end, _ in small].count("worse") >= 48
    assert np.mean([rounds for _, rounds in large]) < np.mean([rounds for _, rounds in small]) / 2


def test_the_same_subject_ends_as_equivalent() -> None:
    random = np.random.default_rng(5)
    ends = [played(random, [0.9] * 40, [0.9] * 40, 100, 0.05)[0] for _ in range(40)]
    assert ends.count("equivalent") >= 38
