"""A folder of runs at a glance: right whatever happens to the runs and to the index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_convex_eval.runs import index as module
from pytest_convex_eval.runs.index import INDEX, list_runs, remove_run
from pytest_convex_eval.runs.run import Run
from tests.runs.stored import item, trials, write_run


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs whose own files were read."""
    ids: list[str] = []
    whole = module.summary_of

    def summary_of(run: Run) -> module.RunSummary:
        ids.append(run.id)
        return whole(run)

    monkeypatch.setattr(module, "summary_of", summary_of)
    return ids


def test_a_run_is_told_in_a_line(tmp_path: Path) -> None:
    write_run(tmp_path / "r", [*trials("one", "++-!"), item("two", model="model-b")])
    (one,) = list_runs(tmp_path)
    assert (one.id, one.whole, one.models, one.arms) == (
        "r",
        True,
        ("model-a", "model-b"),
        ("default",),
    )
    assert (one.passed, one.failed, one.errors, one.trials) == (3, 1, 1, 4)


def test_what_was_read_once_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, [item("one")])
    assert list_runs(tmp_path) == list_runs(tmp_path)
    assert sorted(read) == ["a", "b"]


def test_a_run_that_goes_on_is_read_anew(tmp_path: Path) -> None:
    write_run(tmp_path / "a", trials("one", "+"), finished=False)
    before = list_runs(tmp_path)
    path = tmp_path / "a/items.jsonl"
    path.write_text(path.read_text() * 2)
    after = list_runs(tmp_path)
    assert [(one.passed, one.whole) for one in before + after] == [(1, False), (2, False)]
    write_run(tmp_path / "a", trials("one", "+-"))
    assert [(one.passed, one.failed, one.whole) for one in list_runs(tmp_path)] == [(1, 1, True)]


def test_runs_that_are_gone_are_gone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, [item("one")])
    assert len(list_runs(tmp_path)) == 2
    remove_run(tmp_path, "a", artefacts_only=False)
    assert [one.id for one in list_runs(tmp_path)] == ["b"]
    assert not (tmp_path / "a").exists()


def test_only_the_workspaces_can_go(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [item("one")])
    (tmp_path / "a/artefacts/x").mkdir(parents=True)
    for _ in range(2):
        remove_run(tmp_path, "a", artefacts_only=True)
        assert not (tmp_path / "a/artefacts").exists()
    assert [one.id for one in list_runs(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 0}', '{"format": 1, "runs": [[1, {}]]}']
)
def test_a_broken_index_costs_nothing_but_time(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "a", [item("one")])
    right = list_runs(tmp_path)
    (tmp_path / INDEX).write_text(text)
    assert list_runs(tmp_path) == right
    assert json.loads((tmp_path / INDEX).read_text())["format"] == 1


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [item("one")])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/manifest.json").write_text("{")
    (tmp_path / "file").write_text("")
    assert [one.id for one in list_runs(tmp_path)] == ["a"]
    assert list_runs(tmp_path / "nowhere") == []


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    for name, day in (("a", 3), ("b", 1), ("c", 2)):
        started = f"2026-11-0{day}T00:00:00.000+00:00"
        write_run(tmp_path / name, [item("one")], started=started)
    assert [one.id for one in list_runs(tmp_path)] == ["b", "c", "a"]
