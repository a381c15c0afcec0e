"""`convex-eval runs`: what people and other programs are told."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pytest_convex_eval.cli import main
from tests.runs.stored import item, trials, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    started = {"a": "2020-01-01T00:00:00+00:00", "b": "2026-11-29T00:00:00+00:00"}
    for name, moment in started.items():
        results = [*trials("one", "+-"), item("two", "failed", code="=cmd|' /C calc'!A0")]
        write_run(tmp_path / name, results, started=moment)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], runs: Path, *arguments: str) -> str:
    assert main(["runs", *arguments, "--runs", str(runs)]) == 0
    return capsys.readouterr().out


def test_runs_are_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heading, first, _ = said(capsys, runs, "list").splitlines()
    assert heading.split() == ["run", "passed", "errors", "subjects"]
    assert first.split() == ["a", "1/3", "0", "model-a", "×", "2", "trials"]
    assert [one["id"] for one in json.loads(said(capsys, runs, "list", "--format", "json"))] == [
        "a",
        "b",
    ]


def test_a_run_is_shown(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, runs, "show", "a")
    assert "run a\n" in text
    assert "fundamentals/easy" in text
    assert "checker c1" in text


def test_items_are_exported_whole(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, runs, "export", "a").splitlines()
    assert lines == [
        json.dumps(json.loads(line)) for line in (runs / "a/items.jsonl").read_text().splitlines()
    ]


def test_a_spreadsheet_runs_nothing_that_a_model_wrote(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.DictReader(said(capsys, runs, "export", "a", "--format", "csv").splitlines()))
    assert [row["verdict"] for row in rows] == ["passed", "failed", "failed"]
    assert rows[2]["code"] == "'=cmd|' /C calc'!A0"
    assert (rows[0]["usd"], rows[0]["code"], rows[0]["output_tokens"]) == ("0.01", "", "20")


def test_markdown_shows_what_a_model_wrote_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", [item("one", "failed", code="<img src=x>|[a](b)")])
    text = said(capsys, tmp_path, "export", "a", "--format", "markdown")
    assert r"\<img src=x\>\|\[a\](b)" in text
    assert len({line.replace(r"\|", "").count("|") for line in text.splitlines()}) == 1


def test_runs_are_removed_by_age_and_number(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = ("prune", "--older-than", "1000")
    assert said(capsys, runs, *days, "--dry-run") == "would remove a\n"
    assert said(capsys, runs, *days, "--artefacts") == "removed the workspaces of a\n"
    assert said(capsys, runs, *days, "--beyond", "2") == ""
    assert said(capsys, runs, *days) == "removed a\n"
    assert said(capsys, runs, "prune", "--beyond", "0") == "removed b\n"
    assert said(capsys, runs, "list") == ""


@pytest.mark.parametrize(
    "arguments", [["prune"], ["prune", "--beyond", "-1"], ["show", "nothing"], ["export", "x"]]
)
def test_what_can_t_be_done_is_told(
    runs: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", *arguments, "--runs", str(runs)]) == 2
    assert capsys.readouterr().err.startswith("convex-eval: ")
