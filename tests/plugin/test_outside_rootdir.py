"""Cases run wherever pytest's rootdir is: an ini file elsewhere, `--rootdir`, files of one name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]
QUICK = ("--convex-stages", "format,package")
XDIST = pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])
ELSEWHERE = pytest.mark.parametrize(
    "elsewhere", [("-c", "ci/pytest.ini"), ("--rootdir", "ci")], ids=["ini", "rootdir"]
)


@pytest.fixture
def project(pytester: pytest.Pytester, write_case: Write) -> Path:
    """Two cases of one name, in two folders, and an ini file in a third."""
    write_case("fundamentals/easy/notes")
    write_case("fundamentals/hard/notes")
    ini = pytester.mkdir("ci") / "pytest.ini"
    ini.write_text("[pytest]\naddopts = -p no:cacheprovider --convex-no-cache -p no:randomly\n")
    return pytester.path


def items(project: Path) -> list[dict[str, Any]]:
    """What the run records below `project` hold, and no run but one."""
    (record,) = project.rglob("items.jsonl")
    return [json.loads(line) for line in record.read_text().splitlines()]


@XDIST
@ELSEWHERE
@pytest.mark.parametrize(
    ("named", "difficulties"),
    [
        (["cases"], ["easy", "hard"]),
        (["cases/fundamentals/easy/notes.yaml"], ["easy"]),
        (["cases/fundamentals/hard", "cases/fundamentals/easy/notes.yaml"], ["easy", "hard"]),
    ],
    ids=["folder", "file", "both"],
)
def test_a_case_outside_of_it_runs_and_is_known_by_where_it_lies(
    pytester: pytest.Pytester,
    project: Path,
    elsewhere: tuple[str, str],
    named: list[str],
    difficulties: list[str],
    xdist: list[str],
) -> None:
    result = pytester.runpytest(*elsewhere, *named, *QUICK, *xdist, "--junitxml=junit.xml")
    result.assert_outcomes(passed=len(difficulties))
    ran = items(project)
    assert sorted(item["nodeid"] for item in ran) == [
        f"../cases/fundamentals/{difficulty}/notes.yaml::notes[reference]"
        for difficulty in difficulties
    ]
    assert sorted(item["difficulty"] for item in ran) == difficulties
    (manifest,) = project.rglob("manifest.json")
    assert len(json.loads(manifest.read_text())["cases"]) == len(difficulties)
    assert (project / "junit.xml").read_text().count("<testcase ") == len(difficulties)


@ELSEWHERE
def test_it_is_listed_and_chosen_by_what_stands_on_the_command_line(
    pytester: pytest.Pytester, project: Path, elsewhere: tuple[str, str]
) -> None:
    listed = pytester.runpytest(*elsewhere, "--co", "-q", "cases")
    listed.stdout.fnmatch_lines(
        [
            "../cases/fundamentals/hard/notes.yaml::notes[[]reference[]]",
            "../cases/fundamentals/easy/notes.yaml::notes[[]reference[]]",
        ]
    )
    one = "cases/fundamentals/easy/notes.yaml::notes[reference]"
    pytester.runpytest(*elsewhere, one, *QUICK).assert_outcomes(passed=1)
    assert [item["difficulty"] for item in items(project)] == ["easy"]


@XDIST
def test_a_broken_one_outside_of_it_is_told_and_nothing_runs(
    pytester: pytest.Pytester, project: Path, xdist: list[str]
) -> None:
    (project / "cases/fundamentals/easy/broken.yaml").write_text("summary: [\n")
    result = pytester.runpytest("--rootdir", "ci", "cases", *QUICK, *xdist)
    result.stdout.fnmatch_lines(["*cases/fundamentals/easy/broken.yaml:2:1:*"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not list(project.rglob("items.jsonl"))


def test_what_failed_is_run_again(pytester: pytest.Pytester, write_case: Write) -> None:
    write_case("fundamentals/easy/good")
    write_case("fundamentals/easy/wrong", reference={"package.json": "{"}, expect={})
    (pytester.mkdir("ci") / "pytest.ini").write_text("[pytest]\n")
    for expected in ({"passed": 1, "failed": 1}, {"failed": 1}):
        result = pytester.runpytest("-c", "ci/pytest.ini", "--lf", "cases", *QUICK)
        result.assert_outcomes(**expected)
