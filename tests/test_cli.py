"""The convex-eval command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_convex_eval.cli import main
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.store import GenerationStore


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one generation and one file that is none."""
    folder = tmp_path / "generations"
    request = Request("claude-sonnet-5-5", "system", "user", 1000)
    moment = "2026-11-01T00:00:00.000+00:00"
    usage = {"input_tokens": 10, "output_tokens": 20}
    generation = Generation(request, "hello", "end_turn", moment, moment, 1.0, usage=usage)
    GenerationStore(folder).put(request, 1, generation, label="notes[claude-sonnet-5-5]")
    (folder / "claude-sonnet-5-5" / "broken.json").write_text("{")
    return folder


def files(store: Path) -> list[str]:
    return sorted(path.name for path in store.glob("*/*.json"))


def test_the_store_is_listed_and_exported(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "ls", "--store", str(store)]) == 0
    listed = capsys.readouterr().out
    assert "claude-sonnet-5-5" in listed
    assert "1 generation" in listed
    assert main(["store", "export", "--store", str(store)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["reply"] == "hello"


def test_pruning_removes_what_is_asked_for(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "prune", "--store", str(store)]) == 2
    assert "--unreadable" in capsys.readouterr().err
    assert main(["store", "prune", "--unreadable", "--dry-run", "--store", str(store)]) == 0
    assert len(files(store)) == 2
    assert main(["store", "prune", "--unreadable", "--store", str(store)]) == 0
    assert "broken.json" not in files(store)
    assert len(files(store)) == 1
    assert main(["store", "prune", "--older-than", "0", "--store", str(store)]) == 0
    assert files(store) == []


def test_an_empty_store_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "ls", "--store", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == "no generations\n"


def test_a_new_case_passes_with_its_mutant(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    os.chdir(pytester.path)
    assert main(["new", "data_modeling/easy/two_tables"]) == 0
    assert "cases/data_modeling/easy/two_tables.yaml" in capsys.readouterr().out
    assert main(["new", "data_modeling/easy/two_tables"]) == 2
    assert "is there already" in capsys.readouterr().err
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    result = pytester.runpytest_subprocess("cases", "--convex-mutants")
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("place", ["x", "a/easy/b/c", "a/hrad/b", "../easy/b", "a/easy/b c"])
def test_a_place_that_is_none_is_refused(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", place, "--cases", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("convex-eval: ")
    assert list(tmp_path.iterdir()) == []
