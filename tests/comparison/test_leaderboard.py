"""Several runs as one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.cli import main
from pytest_convex_eval.comparison.leaderboard import leaderboard
from pytest_convex_eval.comparison.samples import ComparisonError
from pytest_convex_eval.outcomes import ItemResult
from tests.runs.stored import item, trials, write_run


def suite(marks: str, **fields: Any) -> list[ItemResult]:
    return [one for i in range(20) for one in trials(f"c{i}", marks, **fields)]


def test_the_best_comes_first_and_equals_tie(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", suite("++-") + suite("---", model="bad", usd=None))
    b = write_run(tmp_path / "b", suite("+-+", model="as good"))
    board = leaderboard([a, b])
    assert [row.entrant for row in board.rows] == ["as good", "model-a", "bad"]
    assert [row.ranked.tie_group for row in board.rows] == [1, 1, 2]
    good, _, bad = board.rows
    assert (good.trials, board.cases) == (3, 20)
    assert good.any_pass is not None
    assert good.all_pass is not None
    assert (good.any_pass.value, good.all_pass.value) == (1.0, 0.0)
    assert good.usd_per_passed == pytest.approx(0.015)
    # What is not known is not nothing.
    assert (bad.usd, bad.usd_per_passed) == (None, None)


def test_only_what_all_did_counts(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [item("x"), item("y", "failed")])
    b = write_run(tmp_path / "b", [item("x", model="m2"), item("z", model="m2")])
    board = leaderboard([a, b])
    assert (board.cases, [row.rate.rate for row in board.rows]) == (1, [1.0, 1.0])
    assert any("left out" in note for note in board.notes)


def test_what_was_not_judged_alike_has_no_order(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", suite("+"))
    b = write_run(tmp_path / "b", suite("+"), fingerprints={"checker": "c2", "toolchain": "t1"})
    with pytest.raises(ComparisonError, match="different checkers"):
        leaderboard([a, b])
    assert len(leaderboard([a, b], anyway=True).rows) == 2


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_the_command_says_it_in_each_format(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", suite("++-") + suite("+++", model="m2"))
    assert main(["leaderboard", "a", "--runs", str(tmp_path), "--format", form]) == 0
    said = capsys.readouterr().out
    if form == "json":
        assert [row["entrant"] for row in json.loads(said)["rows"]] == ["m2", "model-a"]
    else:
        assert said.index("m2") < said.index("model-a")
        assert "66.7%" in said
