"""What crosses pytest's processes arrives as it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_convex_eval.xdist import WorkerInput, file_id, is_worker, path_of


def config(**given: object) -> pytest.Config:
    return cast(pytest.Config, SimpleNamespace(**given))


def test_a_worker_knows_what_it_was_given_and_no_other_process_is_one() -> None:
    given: dict[str, Any] = {}
    WorkerInput("20261130-1", "/tmp/tools/socket").give(given)
    worker = config(workerinput=given)
    assert is_worker(worker)
    assert WorkerInput.of(worker) == WorkerInput("20261130-1", "/tmp/tools/socket")
    assert not is_worker(config())
    assert WorkerInput.of(config()) is None
    assert WorkerInput.of(config(workerinput={"workerid": "gw0"})) is None


IDS: Mapping[str, str] = {
    "cases/a/easy/x.yaml": "cases/a/easy/x.yaml",
    "x.yaml": "x.yaml",
    "../misc/easy/case.yaml": "../misc/easy/case.yaml",
    "../../case.yaml": "../../case.yaml",
    "cases/../other/x.yaml": "other/x.yaml",
}


@pytest.mark.parametrize("path", IDS)
def test_a_file_is_found_by_its_id_wherever_it_lies(tmp_path: Path, path: str) -> None:
    root = tmp_path / "one" / "two"
    nodeid = file_id(root / path, root)
    assert nodeid == IDS[path]
    for held in (nodeid, f"{nodeid}::x[m-1]", f"{nodeid}::x[openai/m]"):
        assert path_of(held, root) == (root / path).resolve()
