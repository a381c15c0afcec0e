"""Runs that are read: typed, lazily, and as far as they came."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import Verdict
from pytest_convex_eval.runs import RunError, find_run, load_run
from tests.runs.stored import FINGERPRINT, item, trials, write_run


def test_a_run_gives_back_what_was_recorded(tmp_path: Path) -> None:
    written = [*trials("one", "+-!"), item("two", usd=None)]
    run = write_run(tmp_path / "r", written)
    assert [one.result for one in run.items()] == written
    assert {one.worker for one in run.items()} == {"gw0"}
    assert run.whole
    assert run.manifest.arms == {"default": "text of default"}
    assert {one.fingerprint for one in run.outcomes} == {FINGERPRINT}
    assert (run.manifest.toolchain, run.manifest.checker) == ("t1", "c1")


def test_outcomes_are_what_statistics_need(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [*trials("one", "-"), item("two", usd=None)])
    failed, passed = run.outcomes
    assert (failed.case, failed.verdict) == ("fundamentals/easy/one", Verdict.FAILED)
    assert (failed.stage, failed.code, failed.usd) == ("typecheck", "TS2322", 0.01)
    assert (failed.passed_stages, failed.ran_stages, failed.seconds) == (1, 2, 1.0)
    assert (passed.stage, passed.usd, passed.generation_seconds) == (None, None, 2.0)


def test_mutants_are_no_outcomes_and_the_last_of_a_trial_counts(tmp_path: Path) -> None:
    mutant = dataclasses.replace(item("one"), mutant="broken")
    run = write_run(tmp_path / "r", [item("one", "error"), mutant, item("one", "passed")])
    assert [one.verdict for one in run.outcomes] == [Verdict.PASSED]


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_record_that_was_cut_is_read_as_far_as_it_came(tmp_path: Path, cut: int) -> None:
    run = write_run(tmp_path / "r", trials("one", "+-+"), finished=False)
    path = tmp_path / "r/items.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert [one.result.trial for one in run.items()] == [1, 2]
    assert len(load_run(tmp_path / "r").outcomes) == 2
    assert run.unreadable_lines == 1
    assert not run.whole


@pytest.mark.parametrize(
    "line", ["[]", "{}", "null", '{"verdict": "passed"}', "\x00", '{"case": 1}']
)
def test_lines_that_are_no_items_are_passed_over(tmp_path: Path, line: str) -> None:
    run = write_run(tmp_path / "r", [item("one")])
    path = tmp_path / "r/items.jsonl"
    path.write_text(line + "\n" + path.read_text())
    assert [one.result.case for one in run.items()] == ["one"]
    assert len(run.outcomes) == 1


def test_a_run_without_an_item_has_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [item("one")], finished=False)
    (tmp_path / "r/items.jsonl").unlink()
    assert (list(run.items()), run.outcomes, run.unreadable_lines) == ([], (), 0)


def test_what_a_later_version_adds_to_items_is_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [item("one")])
    path = tmp_path / "r/items.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": 1}) + "\n")
    assert [one.result.case for one in run.items()] == ["one"]


def test_runs_of_format_1_are_still_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [item("one")])
    lines = [json.loads(line) for line in (run.folder / "items.jsonl").read_text().splitlines()]
    for line in lines:
        del line["fingerprint"]
    (run.folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "r/manifest.json"
    data = json.loads(path.read_text())
    data["format"] = 1
    data["fingerprints"] = {
        "suite": "s",
        "prompts": {"default": "d"},
        "toolchain": "t",
        "harness": "h",
    }
    path.write_text(json.dumps(data))
    manifest = load_run(tmp_path / "r").manifest
    assert (manifest.checker, manifest.machine.cores) == ("h", None)
    assert [one.fingerprint for one in load_run(tmp_path / "r").outcomes] == [None]
    assert [one.result.fingerprint for one in load_run(tmp_path / "r").items()] == [None]


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (edited(lambda data: data.update(format=99)), "a newer version wrote"),
        (edited(lambda data: data.pop("started")), "no manifest of a run"),
        (edited(lambda data: data.update(started="soon")), "no manifest of a run"),
        (edited(lambda data: data.update(fingerprints=3)), "no manifest of a run"),
        (lambda text: text[:30], "no manifest of a run"),
        (lambda text: "[]", "no manifest of a run"),
    ],
    ids=["newer", "without", "no date", "no mapping", "cut", "list"],
)
def test_a_manifest_that_can_t_be_read_is_told(
    tmp_path: Path, edit: Callable[[str], str], said: str
) -> None:
    write_run(tmp_path / "r", [item("one")])
    path = tmp_path / "r/manifest.json"
    path.write_text(edit(path.read_text()))
    with pytest.raises(RunError, match=said):
        load_run(tmp_path / "r")


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run record"):
        load_run(tmp_path)


def test_runs_are_found_by_folder_id_beginning_and_age(tmp_path: Path) -> None:
    for name in ("20261101-a", "20261102-b", "20261102-bc", "20261103-d"):
        write_run(tmp_path / name, [item("one")])

    def found(named: str) -> str:
        return find_run(named, tmp_path).id

    assert found(str(tmp_path / "20261101-a")) == "20261101-a"
    assert found("20261102-b") == "20261102-b"
    assert found("20261103") == "20261103-d"
    assert (found("latest"), found("latest~3")) == ("20261103-d", "20261101-a")


@pytest.mark.parametrize("named", ["2026", "x", "latest~4", "latest~x"])
def test_what_names_no_one_run_is_refused(tmp_path: Path, named: str) -> None:
    for name in ("20261101-a", "20261102-b"):
        write_run(tmp_path / name, [item("one")])
    with pytest.raises(RunError):
        find_run(named, tmp_path)
