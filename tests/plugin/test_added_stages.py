"""A stage that another plugin adds is one like ours: it runs, counts, and is told everywhere."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Write = Callable[..., Path]
Records = Callable[[], list[dict[str, Any]]]
XDIST = pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])

PLUGIN = '''\
from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.stages.protocol import Report, Stage


class SpellingStage(Stage):
    """spelling: no file says teh."""

    name = "spelling"
    order = 250
    deadline_seconds = 5.0
    needs = ("package",)

    def check(self, context):
        wrong = [path for path, text in context.files.items() if "teh" in text]
        return Report(tuple(Finding("spelling/teh", "it says teh", path=path) for path in wrong))


def pytest_convex_eval_stage(config):
    return {given}
'''
STAGES = ["format", "package", "spelling", "syntax"]
NOTES = "export const teh = 1;\n"


@pytest.fixture
def spelling(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the plugin `spelling`, whose hook gives `given`."""

    def write(given: str = "SpellingStage()") -> None:
        pytester.path.joinpath("spelling.py").write_text(PLUGIN.replace("{given}", given))

    write()
    pytester.syspathinsert()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    return write


@XDIST
def test_it_runs_at_its_place_and_its_result_is_told_everywhere(
    pytester: pytest.Pytester,
    write_case: Write,
    records: Records,
    spelling: object,
    xdist: list[str],
) -> None:
    write_case("fundamentals/easy/good")
    files = {"package.json": '{"dependencies": {"convex": "^1.48.0"}}', "convex/a.ts": NOTES}
    write_case("fundamentals/easy/wrong", reference=files, expect={})
    mutant = {"name": "teh", "fails": "spelling", "files": {"convex/a.ts": NOTES}}
    write_case("fundamentals/easy/caught", mutants=[{**mutant, "code": "spelling/teh"}])
    # Workers get the sys.path with which the controller's process began.
    run = pytester.runpytest_subprocess if xdist else pytester.runpytest
    result = run(
        *("-p", "spelling", "cases", "-v", "--convex-mutants", "--junitxml=junit.xml"),
        *("--convex-stages", "syntax,spelling,package,format", *xdist),
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*FAILED[[]spelling[]]*wrong*",
            "reference *passed *format *package *spelling *syntax",
            "fundamentals/easy *2/3 *3/3 *3/3 *2/3 *3/3",
            "mutants caught where they say: 1/1 (spelling 1)",
            "*spelling failed *spelling/teh*",
        ]
    )
    by_case = {item["case"]: item for item in records() if item["mutant"] is None}
    assert [stage["stage"] for stage in by_case["good"]["stages"]] == STAGES
    assert {stage["status"] for stage in by_case["good"]["stages"]} == {"passed"}
    wrong = by_case["wrong"]
    assert (wrong["stage"], wrong["code"], wrong["verdict"]) == (
        "spelling", "spelling/teh", "failed",
    )  # fmt: skip
    (finding,) = wrong["stages"][2]["findings"]
    assert (finding["message"], finding["path"]) == ("it says teh", "convex/a.ts")
    root = ET.parse(pytester.path / "junit.xml").getroot()
    (failed,) = (case for case in root.iter("testcase") if case.find("failure") is not None)
    told = {each.get("name"): each.get("value") for each in failed.iter("property")}
    assert told["convex_eval.stage.spelling"] == "failed"
    (manifest,) = pytester.path.glob(".convex-eval/runs/*/manifest.json")
    assert json.loads(manifest.read_text())["settings"]["stages"] == STAGES


def test_it_is_skipped_where_what_it_needs_did_not_pass_and_can_be_left_out(
    pytester: pytest.Pytester, write_case: Write, records: Records, spelling: object
) -> None:
    write_case("fundamentals/easy/wrong", reference={"package.json": "{", "convex/a.ts": NOTES})
    pytester.runpytest("-p", "spelling", "cases", "--convex-stages", "package,spelling")
    (item,) = records()
    assert [(one["stage"], one["status"]) for one in item["stages"]] == [
        ("package", "failed"),
        ("spelling", "skipped"),
    ]
    result = pytester.runpytest("-p", "spelling", "cases", "--convex-stages", "format")
    result.assert_outcomes(passed=1)


@XDIST
def test_a_mutant_that_fails_at_no_stage_is_a_broken_case(
    pytester: pytest.Pytester, write_case: Write, xdist: list[str]
) -> None:
    mutant = {"name": "teh", "fails": "spelling", "files": {"convex/a.ts": NOTES}}
    write_case("fundamentals/easy/notes", mutants=[mutant])
    result = pytester.runpytest("cases", *xdist)
    result.stdout.fnmatch_lines(
        ["*notes.yaml:14:10: mutants?0?.fails: no stage is called 'spelling'; the stages are*"]
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[SpellingStage(), SpellingStage()]", "two stages are called 'spelling'"),
        ("SpellingStage", "<class 'spelling.SpellingStage'> is no Stage"),
    ],
)
@XDIST
def test_what_can_not_be_a_stage_ends_the_run_before_it_begins(
    pytester: pytest.Pytester,
    write_case: Write,
    spelling: Callable[[str], None],
    given: str,
    message: str,
    xdist: list[str],
) -> None:
    write_case("fundamentals/easy/notes")
    spelling(given)
    result = pytester.runpytest_subprocess("-p", "spelling", "cases", *xdist)
    result.stderr.fnmatch_lines([f"ERROR: pytest_convex_eval_stage: {message}"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
