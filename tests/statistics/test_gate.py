"""The gate: three answers that follow from the printed interval, wrong as rarely as promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.statistics.gate import decide
from pytest_convex_eval.statistics.samples import Counts, Pair
from tests.statistics.drawn import pairs, suite

counts = st.integers(1, 6).flatmap(lambda n: st.builds(Counts, st.integers(0, n), st.just(n)))
pair_lists = st.lists(st.tuples(counts, counts), min_size=1, max_size=40).map(
    lambda rows: [Pair(f"c{i}", a, b, f"c{i}") for i, (a, b) in enumerate(rows)]
)


@given(pair_lists, st.floats(0.01, 0.5))
def test_the_verdict_is_what_the_interval_says(given: list[Pair], margin: float) -> None:
    made = decide(given, margin=margin)
    if made.interval is None:
        assert (len(given), made.verdict) == (1, "inconclusive")
        return
    assert made.interval.low <= made.difference <= made.interval.high
    if made.interval.low > -margin:
        assert made.verdict == "non-inferior"
    else:
        assert made.verdict == ("regressed" if made.interval.high < 0 else "inconclusive")


@given(pair_lists)
def test_single_trials_make_it_one_over_cases(given: list[Pair]) -> None:
    several = min(sum(pair.a.valid > 1 for pair in given), sum(pair.b.valid > 1 for pair in given))
    basis = "trials" if 2 * several > len(given) else "cases"
    assert decide(given, margin=0.05).basis == basis


def test_a_case_that_lost_its_trials_changes_little() -> None:
    """One of forty with a single trial left: the rest still says how trials vary."""
    whole = [Pair(f"c{i}", Counts(2, 3), Counts(2, 3), f"c{i}") for i in range(40)]
    lost = [*whole[1:], Pair("c0", Counts(2, 3), Counts(1, 1), "c0")]
    one, other = decide(whole, margin=0.05), decide(lost, margin=0.05)
    assert (one.basis, other.basis) == ("trials", "trials")
    assert one.interval is not None
    assert other.interval is not None
    width = one.interval.high - one.interval.low
    assert other.interval.high - other.interval.low == pytest.approx(width, rel=0.1)


def test_a_run_against_itself_passes_with_trials_enough() -> None:
    given = [Pair(f"c{i}", Counts(3, 3), Counts(3, 3), f"c{i}") for i in range(72)]
    assert decide(given, margin=0.05).verdict == "non-inferior"
    assert decide(given[:3], margin=0.05).verdict == "inconclusive"


def test_an_open_gate_says_what_would_decide_it() -> None:
    random = np.random.default_rng(2)
    few = decide(pairs(random, [0.5] * 20, [0.5] * 20, 3), margin=0.05)
    assert few.verdict == "inconclusive"
    assert few.trials_needed is not None
    assert few.trials_needed > 3
    assert few.cases_needed is not None
    more = pairs(random, [0.5] * 20, [0.5 + few.difference] * 20, few.trials_needed * 2)
    assert decide(more, margin=0.05).verdict != "inconclusive"


def test_nothing_to_compare_is_told() -> None:
    with pytest.raises(ValueError, match="no case"):
        decide([], margin=0.05)


@pytest.mark.parametrize(("cases", "count"), [(30, 3), (72, 1), (72, 3), (110, 5)])
def test_the_same_model_rarely_regresses_and_a_worse_one_rarely_passes(
    cases: int, count: int
) -> None:
    random = np.random.default_rng(cases + count)
    rates = suite(random, cases)
    worse = [max(rate - 0.3, 0.0) for rate in rates]
    same = [decide(pairs(random, rates, rates, count), margin=0.05).verdict for _ in range(300)]
    lower = [decide(pairs(random, rates, worse, count), margin=0.05).verdict for _ in range(300)]
    assert same.count("regressed") <= 15
    assert lower.count("non-inferior") <= 15
    assert lower.count("regressed") >= 240
