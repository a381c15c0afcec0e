"""May this be merged: every end that the gate can have."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.comparison.compare import compare_sides
from pytest_convex_eval.comparison.gate import Gate, gate
from pytest_convex_eval.comparison.samples import find_side
from pytest_convex_eval.outcomes import ItemResult
from pytest_convex_eval.runs import Run
from tests.runs.stored import trials, write_run


def suite(marks: str, cases: int = 40, **fields: Any) -> list[ItemResult]:
    return [one for i in range(cases) for one in trials(f"c{i}", marks, **fields)]


def judged(tmp_path: Path, a: list[ItemResult], b: list[ItemResult], **changes: Any) -> Gate:
    baseline = write_run(tmp_path / "a", a)
    return gate(baseline, write_run(tmp_path / "b", b, **changes), margin=0.05)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("+++", "+++", "non-inferior"),
        ("---", "+++", "non-inferior"),
        ("+++", "+--", "regressed"),
        ("+-+", "+-+", "inconclusive"),
        ("+++", "+!!", "invalid"),
    ],
)
def test_each_end(tmp_path: Path, a: str, b: str, verdict: str) -> None:
    made = judged(tmp_path, suite(a), suite(b))
    assert made.verdict == verdict
    assert made.lines[0] == f"{verdict}: a is the baseline"


def test_one_of_two_that_regressed_is_enough(tmp_path: Path) -> None:
    a = suite("+++") + suite("+++", model="m2")
    assert judged(tmp_path, a, suite("+++") + suite("---", model="m2")).verdict == "regressed"


def test_an_open_end_says_what_would_decide(tmp_path: Path) -> None:
    made = judged(tmp_path, suite("+-+"), suite("-++"))
    assert made.verdict == "inconclusive"
    assert any("would decide" in line for line in made.lines)


@pytest.mark.parametrize(
    ("results", "changes", "said"),
    [
        (suite("+++"), {"fingerprints": {"checker": "c2"}}, "different checkers"),
        (suite("+++", model="m2") + suite("+++", model="m3"), {}, "say who is meant"),
        ([one for i in range(9) for one in trials(f"other{i}", "+++")], {}, "there is no case"),
    ],
)
def test_what_can_t_be_held_against_it_is_invalid(
    tmp_path: Path, results: list[ItemResult], changes: dict[str, Any], said: str
) -> None:
    made = judged(tmp_path, suite("+++"), results, **changes)
    assert made.verdict == "invalid"
    assert said in "\n".join(made.lines)


def drawn(folder: Path, rates: list[float], count: int, chance: random.Random) -> Run:
    """A run of known rates: one trial after another passes with its case's probability."""
    results = [
        one
        for case, rate in enumerate(rates)
        for one in trials(
            f"c{case}", "".join("+" if chance.random() < rate else "-" for _ in range(count))
        )
    ]
    return write_run(folder, results)


@pytest.mark.parametrize("repetitions", [20, pytest.param(200, marks=pytest.mark.sweep)])
def test_runs_of_known_difference_end_as_they_should(tmp_path: Path, repetitions: int) -> None:
    """A is as good as B, C is worse by 25 points: compared and gated, in 95 of 100 repetitions."""
    chance = random.Random(11)
    rates = [0.95] * 20 + [0.7] * 15 + [0.1] * 5
    worse = [max(rate - 0.25, 0.0) for rate in rates]
    same_ok = worse_ok = gate_same = gate_worse = 0
    for _ in range(repetitions):
        a = drawn(tmp_path / "a", rates, 5, chance)
        b = drawn(tmp_path / "b", rates, 5, chance)
        c = drawn(tmp_path / "c", worse, 5, chance)
        sides = {run.id: find_side(str(run.folder), tmp_path) for run in (a, b, c)}
        (one,) = compare_sides(sides["a"], sides["b"], margin=0.05)
        (other,) = compare_sides(sides["a"], sides["c"], margin=0.05)
        same_ok += one.paired.answer not in ("better", "worse")
        worse_ok += other.paired.answer == "worse"
        gate_same += gate(a, b, margin=0.05).verdict != "regressed"
        gate_worse += gate(a, c, margin=0.05).verdict == "regressed"
    assert min(same_ok, worse_ok, gate_same, gate_worse) >= 0.9 * repetitions
    assert same_ok + gate_same >= 2 * 0.94 * repetitions
