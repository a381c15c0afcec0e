"""The run record: readable whatever happens to the run."""

from __future__ import annotations

import datetime
import json
import re
import time
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import ItemResult, Verdict
from pytest_convex_eval.runs.record import RunRecord, keep_workspace, new_run_id

RESULT = ItemResult("c", "fundamentals", "easy", "reference", "default", 1, Verdict.PASSED)


def test_a_record_is_whole_after_every_step(tmp_path: Path) -> None:
    record = RunRecord.begin(tmp_path / "run", {"versions": {"convex": "1.48.0"}})
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["versions"] == {"convex": "1.48.0"}
    assert "finished" not in manifest
    record.add("a.yaml::c[reference]", RESULT, worker="gw0")
    record.add("b.yaml::c[reference]", RESULT, worker="gw1")
    lines = [json.loads(line) for line in (tmp_path / "run/items.jsonl").read_text().splitlines()]
    assert [line["nodeid"] for line in lines] == ["a.yaml::c[reference]", "b.yaml::c[reference]"]
    assert lines[0]["verdict"] == "passed"
    record.finish({"passed": 2})
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["outcome"] == {"passed": 2}
    assert manifest["finished"] >= manifest["started"]


def test_run_ids_differ_within_a_second_and_sort_by_time() -> None:
    ids = [new_run_id() for _ in range(20)]
    assert len(set(ids)) == 20
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)


def test_kept_workspaces_leave_the_packages_out(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    (workspace / "convex").mkdir(parents=True)
    (workspace / "convex/a.ts").write_text("x")
    (tmp_path / "packages").mkdir()
    (workspace / "node_modules").symlink_to(tmp_path / "packages")
    keep_workspace(workspace, tmp_path / "kept/one")
    assert (tmp_path / "kept/one/convex/a.ts.txt").read_text() == "x"
    assert not (tmp_path / "kept/one/node_modules").exists()


def test_a_run_s_id_is_its_time_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was made: records of several machines lie beside each other."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        before = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        made = new_run_id()
        after = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert before <= made[:15] <= after
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", made)


def test_records_name_their_format_and_add_what_happened(tmp_path: Path) -> None:
    folder = tmp_path / "runs/one"
    record = RunRecord.begin(folder, {"versions": {}})
    # A run may go on in a folder that is there already.
    RunRecord.begin(folder, {"versions": {}})
    record.add("a.yaml::c[reference]", RESULT, worker="gw0")
    record.finish({"passed": 1})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 2
    assert manifest["versions"] == {}
    line = json.loads((folder / "items.jsonl").read_text())
    assert (line["worker"], line["case"]) == ("gw0", "c")
    assert line["ended"] <= manifest["finished"]
    assert manifest["started"].endswith("+00:00")


def test_a_workspace_is_kept_over_one_of_an_earlier_round(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "a.ts").write_text("one")
    (workspace / "link").symlink_to("nowhere")
    keep_workspace(workspace, tmp_path / "kept/deep/one")
    (workspace / "a.ts").write_text("two")
    keep_workspace(workspace, tmp_path / "kept/deep/one")
    assert (tmp_path / "kept/deep/one/a.ts.txt").read_text() == "two"
    assert [path.name for path in (tmp_path / "kept/deep/one").iterdir()] == ["a.ts.txt"]
