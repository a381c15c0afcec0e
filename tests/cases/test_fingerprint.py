"""What a case was, apart: what is asked, what is checked, and its own answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.outcomes import CaseFingerprint

CASE: dict[str, Any] = {
    "summary": "Notes",
    "tags": ["tables"],
    "prompt": "Write notes.",
    "files": {"convex/old.ts": "export {};"},
    "expect": {"files": ["convex/schema.ts"], "forbid_files": ["src/**"]},
    "lint": {"off": ["no-query-filter"]},
    "reference": {"package.json": "{}", "convex/schema.ts": "x"},
    "mutants": [{"name": "none", "fails": "package", "files": {"package.json": None}}],
}
PARTS = ("prompt", "checks", "reference")


def fingerprint(folder: Path, case: dict[str, Any]) -> CaseFingerprint:
    path = folder / "cases/fundamentals/easy/notes.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(case, sort_keys=False))
    return load_case(path, "notes.yaml").fingerprint()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"prompt": "Write two notes."}, {"prompt"}),
        ({"files": {}}, {"prompt"}),
        ({"files": {"convex/old.ts": "export { };"}}, {"prompt"}),
        ({"expect": {"files": []}}, {"checks"}),
        ({"behaviour": [{"name": "a", "steps": [{"table": "notes", "count": 0}]}]}, {"checks"}),
        ({"lint": {}}, {"checks"}),
        ({"env": {"KEY": "1"}}, {"checks"}),
        ({"reference": {**CASE["reference"], "convex/schema.ts": "y"}}, {"reference"}),
        ({"summary": "More notes", "tags": [], "mutants": []}, set()),
    ],
)
def test_a_change_is_in_its_own_part(
    tmp_path: Path, change: dict[str, Any], parts: set[str]
) -> None:
    before, after = fingerprint(tmp_path, CASE), fingerprint(tmp_path, {**CASE, **change})
    assert {part for part in PARTS if getattr(before, part) != getattr(after, part)} == parts


def test_the_order_of_keys_is_no_change(tmp_path: Path) -> None:
    turned = {
        key: dict(reversed(list(one.items()))) if isinstance(one, dict) else one
        for key, one in reversed(list(CASE.items()))
    }
    assert list(turned) != list(CASE)
    assert fingerprint(tmp_path, turned) == fingerprint(tmp_path, CASE)


def test_every_result_of_a_plan_has_it(tmp_path: Path) -> None:
    made = fingerprint(tmp_path, CASE)
    loaded = load_case(tmp_path / "cases/fundamentals/easy/notes.yaml", "notes.yaml")
    assert Plan(loaded, "reference", "default", 1).unjudged().fingerprint == made
