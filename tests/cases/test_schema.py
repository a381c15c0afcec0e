"""The JSON schema for editors, and the suite's own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.cases.model import Case
from pytest_convex_eval.cases.schema import SCHEMA_FILE, schema_text

ROOT = Path(__file__).parents[2]
SUITE = sorted((ROOT / "cases").rglob("*.yaml"))


def test_the_shipped_schema_is_the_models() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run python -m pytest_convex_eval.cases.schema"
    )


def test_the_schema_names_every_key_and_refuses_others() -> None:
    schema = json.loads(schema_text())
    assert set(schema["properties"]) == set(Case.model_fields)
    assert schema["additionalProperties"] is False
    assert "$defs" not in schema_text()


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_every_case_of_the_suite_points_to_the_schema_and_is_proven(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    target = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / target).resolve() == SCHEMA_FILE.resolve()
    stages = {mutant.fails for mutant in load_case(path, path.name).case.mutants}
    assert len(stages) >= 2, "at least two mutants that fail at different stages"


def test_the_suite_covers_every_cell_of_the_first_three_categories() -> None:
    cells = {(path.parts[-3], path.parts[-2]) for path in SUITE}
    for category in ("fundamentals", "data_modeling", "query_patterns"):
        for difficulty in ("easy", "medium", "hard"):
            assert (category, difficulty) in cells
