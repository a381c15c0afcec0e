"""The run record: readable whatever happens to the run."""

from __future__ import annotations

import json
from pathlib import Path

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
    assert (tmp_path / "kept/one/convex/a.ts").read_text() == "x"
    assert not (tmp_path / "kept/one/node_modules").exists()
