"""The suite's references, written to disk, are projects in which nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.check.run import CheckOptions
from tests.check.conftest import Check, told, write

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "cases").rglob("*.yaml"))
# A component, environment variables and packages beside Convex's own.
SAMPLE = ("mounted_component", "environment_variables", "node_actions")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in SAMPLE else pytest.mark.sweep)
        for path in CASES
    ],
)
def test_a_reference_passes(path: Path, check: Check, tmp_path: Path) -> None:
    case = load_case(path, path.name).case
    project = write(tmp_path, {**case.files, **case.reference})
    checked = check(project, CheckOptions(env=case.env))
    assert told(checked) == []
    assert checked.exit_code == 0


def test_the_sample_is_of_cases_that_there_are() -> None:
    assert set(SAMPLE) <= {path.stem for path in CASES}
