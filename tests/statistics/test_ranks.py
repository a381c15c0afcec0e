"""An order that says which of its steps mean something."""

from __future__ import annotations

import numpy as np

from pytest_convex_eval.statistics.ranks import rank
from pytest_convex_eval.statistics.samples import Counts
from tests.statistics.drawn import suite, trials


def test_those_that_can_t_be_told_apart_share_a_group() -> None:
    random = np.random.default_rng(1)
    rates = suite(random, 60)
    low = [rate * 0.4 for rate in rates]
    subjects = {
        "good": trials(random, rates, 5),
        "as good": trials(random, rates, 5),
        "bad": trials(random, low, 5),
        "as bad": trials(random, low, 5),
    }
    made = {one.subject: one for one in rank(subjects, {}, seed=1)}
    assert [made[name].tie_group for name in ("good", "as good", "bad", "as bad")] == [1, 1, 2, 2]
    assert {(made[name].best, made[name].worst) for name in ("good", "as good")} <= {(1, 2), (1, 1)}
    assert all(made[name].best >= 3 for name in ("bad", "as bad"))


def test_the_same_subject_many_times_is_one_group() -> None:
    random = np.random.default_rng(2)
    one_group = 0
    for _ in range(60):
        rates = suite(random, 40)
        subjects = {f"s{i}": trials(random, rates, 3) for i in range(4)}
        one_group += {one.tie_group for one in rank(subjects, {}, seed=1)} == {1}
    assert one_group >= 54


def test_only_the_cases_that_all_have_are_counted() -> None:
    subjects = {
        "a": {"x": Counts(1, 1), "y": Counts(1, 1), "z": Counts(0, 1)},
        "b": {"x": Counts(0, 1), "y": Counts(1, 1)},
    }
    made = rank(subjects, {}, seed=1)
    assert [(one.subject, one.rate) for one in made] == [("a", 1.0), ("b", 0.5)]
    assert rank({"a": {"x": Counts(1, 1)}, "b": {"y": Counts(1, 1)}}, {}, seed=1) == []
    assert rank({}, {}, seed=1) == []


def test_equals_have_one_rank() -> None:
    same = {f"c{i}": Counts(i % 3, 2) for i in range(9)}
    made = rank({"a": same, "b": dict(same)}, {}, seed=1)
    assert [(one.best, one.worst, one.tie_group) for one in made] == [(1, 1, 1), (1, 1, 1)]
