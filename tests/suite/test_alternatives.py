"""No false alarms: correct answers that are written unlike the references pass as well."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pydantic
import pytest
import yaml

from pytest_convex_eval.cases.loader import load_case
from tests.patience import HANG_SECONDS

ROOT = Path(__file__).parents[2]
# Seconds; far above what the items take, for machines that do much else.
DEADLINE = HANG_SECONDS


class Alternative(pydantic.BaseModel):
    """A correct answer to a case, and in one line how it differs from what one may expect."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    case: str
    differs: str
    files: dict[str, str]

    @property
    def source(self) -> Path:
        """The file of the case that it answers."""
        return ROOT / "cases" / f"{self.case}.yaml"


ALTERNATIVES = [
    Alternative.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    for path in sorted(Path(__file__).with_name("alternatives").glob("*.yaml"))
]


def test_every_category_has_alternatives_to_its_references() -> None:
    answered = Counter(each.case.split("/")[0] for each in ALTERNATIVES)
    categories = {path.name for path in (ROOT / "cases").iterdir() if path.is_dir()}
    assert answered.keys() == categories
    assert len({each.case for each in ALTERNATIVES}) == len(ALTERNATIVES) >= 25
    assert answered["applications"] >= 10


def test_an_alternative_is_not_the_reference() -> None:
    assert ALTERNATIVES
    for each in ALTERNATIVES:
        reference = load_case(each.source, each.case).case.reference
        written = {path: text for path, text in each.files.items() if path.endswith(".ts")}
        assert written, each.case
        assert [path for path in written if reference.get(path) == written[path]] == [], each.case


@pytest.mark.parametrize(
    "alternatives",
    [ALTERNATIVES[::9], pytest.param(ALTERNATIVES, marks=pytest.mark.sweep)],
    ids=["some", "all"],
)
def test_an_alternative_passes_every_stage(
    pytester: pytest.Pytester, alternatives: Sequence[Alternative]
) -> None:
    assert alternatives
    for each in alternatives:
        path = pytester.path / "cases" / f"{each.case}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _answered_by(each.source.read_text(encoding="utf-8"), each.files)
        path.write_text(text, encoding="utf-8")

    result = pytester.runpytest_subprocess(
        "cases", "-n", "2", "--convex-model", "reference", "--junitxml=report.xml", timeout=DEADLINE
    )

    stages = _stages(pytester.path / "report.xml")
    assert {case for case, passed in stages.items() if passed} == {
        each.case for each in alternatives
    }, "\n".join(result.outlines)
    result.assert_outcomes(passed=len(alternatives))


def _answered_by(text: str, files: dict[str, str]) -> str:
    """The case of that text with `files` for its reference, and without mutants.

    All other lines stay where they are, so that a finding's place is one of the case's own file.
    """
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    lines = text.splitlines(keepends=True)
    starts = {key.value: key.start_mark.line for key, _ in root.value}
    for name in starts.keys() & {"reference", "mutants"}:
        start = starts[name]
        end = min((line for line in starts.values() if line > start), default=len(lines))
        lines[start:end] = ["\n"] * (end - start)
    # What JSON writes is YAML too, whatever the files hold.
    return "".join([*lines, "\nreference: ", json.dumps(files), "\n"])


def _stages(report: Path) -> dict[str, bool]:
    """Whether every stage passed, for each case of a JUnit report by its place."""
    passed = {}
    for item in ElementTree.parse(report).iter("testcase"):
        said = {each.get("name", ""): each.get("value", "") for each in item.iter("property")}
        category, difficulty = said["convex_eval.category"], said["convex_eval.difficulty"]
        name = item.get("name", "").partition("[")[0]
        stages = [value for key, value in said.items() if key.startswith("convex_eval.stage.")]
        passed[f"{category}/{difficulty}/{name}"] = all(stage == "passed" for stage in stages)
    return passed
