"""No test of ours is one that cannot fail, and the check that says so finds those that are."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.honesty.asserting import Weight, findings
from tests.honesty.bad import CANNOT_FAIL
from tests.honesty.good import CAN_FAIL, CONFTEST, HEAD, HELPERS

TESTS = Path(__file__).parent

GOOD = [pytest.param(body, id=name) for name, body in CAN_FAIL.items()]
BAD = [
    pytest.param(body, weight, id=f"{weight.name.lower()}: {name}")
    for weight, bodies in CANNOT_FAIL.items()
    for name, body in bodies.items()
]


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """A project's folder; the file there that a test is to be written to."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST)
    (tmp_path / "tests" / "helpers.py").write_text(HELPERS)
    (tmp_path / "product.py").write_text("def check():\n    assert size() == 1\n")
    return tmp_path / "tests" / "test_it.py"


def weights(path: Path, body: str) -> list[Weight]:
    path.write_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "))
    root = next(folder for folder in path.parents if (folder / "product.py").exists())
    return [each.weight for each in findings(root, [path])]


def test_no_test_is_one_that_cannot_fail() -> None:
    paths = sorted(TESTS.rglob("test_*.py"))
    assert Path(__file__) in paths
    assert len(paths) > 100
    assert "\n".join(map(str, findings(TESTS.parent, paths))) == ""


@pytest.mark.parametrize("body", GOOD)
def test_what_can_fail_is_left_alone(write: Path, body: str) -> None:
    assert weights(write, body) == []


@pytest.mark.parametrize(("body", "weight"), BAD)
def test_what_cannot_fail_is_found(write: Path, body: str, weight: Weight) -> None:
    assert weights(write, body) == [weight]


def test_the_fixtures_of_all_folders_above_are_known(write: Path) -> None:
    folder = write.parent / "folder"
    folder.mkdir()
    (folder / "conftest.py").write_text("")
    assert weights(folder / "test_it.py", "compare(f(), 1)") == []


def test_a_finding_names_its_place_the_reason_and_the_way_out(write: Path) -> None:
    write.write_text("def test_one():\n    pass\n\nclass TestMany:\n    def test_two(self): ...\n")
    assert [str(each) for each in findings(write.parents[1], [write])] == [
        "tests/test_it.py:1: test_one: it asserts nothing; assert what the code is to have done",
        "tests/test_it.py:5: test_two: it asserts nothing; assert what the code is to have done",
    ]
