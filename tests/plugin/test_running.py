"""Running items: pytest's own switches, verdicts, the terminal, JUnit and the run record."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]
Records = Callable[[], list[dict[str, Any]]]
TWO = pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])
# One worker is another process, and most of what a second one adds is its start.
XDIST = pytest.mark.parametrize("xdist", [[], ["-n", "1"]], ids=["serial", "xdist"])
QUICK = ("--convex-stages", "format,package")


@pytest.fixture
def mixed(write_case: Write, bad_reference: Mapping[str, str]) -> None:
    """Two good cases and two that fail at the package stage."""
    write_case("fundamentals/hard/good")
    write_case("fundamentals/hard/wrong", reference=dict(bad_reference))
    write_case("fundamentals/easy/fine")
    write_case("fundamentals/easy/worse", reference=dict(bad_reference))


@TWO
def test_an_answer_goes_through_every_stage(
    pytester: pytest.Pytester, write_case: Write, records: Records, xdist: list[str]
) -> None:
    write_case("fundamentals/easy/notes", expect={"tables": {"notes": {"fields": {}}}})
    result = pytester.runpytest("cases", *xdist)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*convex-eval: reference answers (ANTHROPIC_API_KEY is not set) * 1 item",
            "reference * passed *format *package *syntax *typecheck *deploy *lint",
            "fundamentals/easy *1/1 *1/1 *1/1 *1/1 *1/1 *1/1 *1/1",
            "run record: .convex-eval/runs/*",
        ]
    )
    (record,) = records()
    statuses = {stage["stage"]: stage["status"] for stage in record["stages"]}
    assert statuses.pop("behaviour") == "skipped"  # the case has none
    assert set(statuses.values()) == {"passed"}
    assert len(statuses) == 6


@XDIST
def test_the_models_fault_is_a_failure_with_all_that_is_wrong(
    pytester: pytest.Pytester, write_case: Write, records: Records, xdist: list[str]
) -> None:
    reference = {
        "package.json": '{"name": "x", "dependencies": {"convex": "^1.48.0", "nope nope": "1"}}',
        "convex/a.ts": 'import { query } from "./_generated/server";\n'
        "// @ts-ignore\n"
        "export const f = query({ args: {}, handler: async () => { const x: number = 'a'; } });\n",
    }
    write_case("fundamentals/easy/notes", reference=reference, expect={"files": ["convex/b.ts"]})
    result = pytester.runpytest("cases", *xdist)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "package * failed *",
            "typecheck * failed *",
            "  error package/file-missing: the answer must have the file convex/b.ts",
            "  package.json:1:53: error package/forbidden-spec: *",
            "  convex/a.ts:3:65: error TS2322: Type 'string' is not assignable to type 'number'.",
            "       3 | export const f = *",
            "FAILED[[]package] cases/fundamentals/easy/notes.yaml::notes[[]reference] - *",
        ]
    )
    (record,) = records()
    assert (record["verdict"], record["stage"]) == ("failed", "package")
    assert (pytester.path / record["artefacts"] / "convex/a.ts.txt").exists()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@XDIST
def test_what_is_not_the_models_fault_is_an_error(
    pytester: pytest.Pytester, write_case: Write, records: Records, xdist: list[str]
) -> None:
    write_case("fundamentals/easy/notes")
    args = ["--convex-model", "claude-x", "--convex-replay", "replay"]
    result = pytester.runpytest("cases", "--junitxml=r.xml", *args, *xdist)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*is not in the generation store*", "*without a verdict*"])
    (case,) = ET.parse(pytester.path / "r.xml").iter("testcase")
    assert case.find("error") is not None
    assert case.find("failure") is None
    (record,) = records()
    assert record["verdict"] == "error"


@XDIST
def test_junit_has_one_testcase_an_item_with_its_properties(
    pytester: pytest.Pytester, mixed: None, xdist: list[str]
) -> None:
    pytester.runpytest("cases", "--junitxml=r.xml", *QUICK, *xdist)
    suite = next(ET.parse(pytester.path / "r.xml").iter("testsuite"))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "2", "0")
    cases = {str(case.get("name")): case for case in suite.iter("testcase")}
    assert set(cases) == {f"{name}[reference]" for name in ("good", "wrong", "fine", "worse")}
    wrong = cases["wrong[reference]"]
    assert wrong.get("classname") == "cases.fundamentals.hard.wrong.yaml"
    assert wrong.find("failure") is not None
    properties = {p.get("name"): p.get("value") for p in wrong.iter("property")}
    assert float(str(properties.pop("convex_eval.seconds.format"))) >= 0
    assert float(str(properties.pop("convex_eval.seconds.package"))) >= 0
    assert properties == {
        "convex_eval.verdict": "failed",
        "convex_eval.category": "fundamentals",
        "convex_eval.difficulty": "hard",
        "convex_eval.model": "reference",
        "convex_eval.arm": "default",
        "convex_eval.trial": "1",
        "convex_eval.stage.format": "passed",
        "convex_eval.stage.package": "failed",
    }


def test_verbose_shows_a_line_a_stage_and_names_the_failing_one(
    pytester: pytest.Pytester, mixed: None
) -> None:
    text = pytester.runpytest("cases", "-v", *QUICK).stdout.str()
    assert text.count("  format passed 0.") == 4
    assert text.count("  package failed 0.") == 2
    assert "::wrong[reference] FAILED[package]" in text
    under_xdist = pytester.runpytest("cases", "-v", "-n", "2", *QUICK).stdout
    under_xdist.fnmatch_lines_random(
        ["[[]gw*] cases/fundamentals/hard/good.yaml::good[[]reference] package passed 0.*s"]
    )
    quiet = pytester.runpytest("cases", *QUICK).stdout.str()
    assert "format passed" not in quiet


@pytest.fixture
def with_cache(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.pytest]\nstrict = true\n")


@XDIST
def test_last_failed_runs_what_failed(
    pytester: pytest.Pytester, mixed: None, with_cache: None, xdist: list[str]
) -> None:
    pytester.runpytest("cases", *QUICK, *xdist).assert_outcomes(passed=2, failed=2)
    result = pytester.runpytest("cases", "--lf", *QUICK, *xdist)
    result.assert_outcomes(failed=2)


def test_exit_first_stops_after_the_first_failure(pytester: pytest.Pytester, mixed: None) -> None:
    result = pytester.runpytest("cases", "-x", *QUICK)
    result.assert_outcomes(passed=1, failed=1)


def test_exit_first_stops_under_xdist(
    pytester: pytest.Pytester, write_case: Write, bad_reference: Mapping[str, str]
) -> None:
    for number in range(12):
        write_case(f"fundamentals/easy/wrong_{number}", reference=dict(bad_reference))
    result = pytester.runpytest("cases", "-x", "-n", "2", *QUICK)
    assert 1 <= result.parseoutcomes()["failed"] < 12


@XDIST
def test_stepwise_goes_on_where_it_stopped(
    pytester: pytest.Pytester, mixed: None, with_cache: None, xdist: list[str]
) -> None:
    first = pytester.runpytest("cases", "--sw", *QUICK, *xdist).parseoutcomes()
    second = pytester.runpytest("cases", "--sw", *QUICK, *xdist).parseoutcomes()
    assert first["failed"] >= 1
    assert sum(second[key] for key in ("passed", "failed") if key in second) < 4
    assert second["failed"] == 1


@XDIST
def test_durations_list_items_once(
    pytester: pytest.Pytester, mixed: None, xdist: list[str]
) -> None:
    result = pytester.runpytest("cases", "--durations=0", "-vv", *QUICK, *xdist)
    lines = [line for line in result.outlines if "good[reference]" in line and "s call" in line]
    assert len(lines) == 1
    assert " stage " not in result.stdout.str().split("slowest durations")[1]


@pytest.mark.parametrize(
    "selection", [["-k", "hard and good"], ["-m", "hard and fundamentals", "-k", "good"]]
)
@XDIST
def test_selection_runs_what_it_selects(
    pytester: pytest.Pytester, mixed: None, selection: list[str], xdist: list[str]
) -> None:
    result = pytester.runpytest("cases", *selection, *QUICK, *xdist)
    assert result.parseoutcomes()["passed"] == 1
    assert "failed" not in result.parseoutcomes()


@XDIST
def test_a_reference_that_does_not_typecheck_costs_itself_alone(
    pytester: pytest.Pytester, write_case: Write, xdist: list[str]
) -> None:
    write_case("fundamentals/easy/fine")
    package = '{"name": "x", "dependencies": {"convex": "^1.48.0"}}'
    broken = 'export const count: number = "one";\n'
    reference = {"package.json": package, "convex/a.ts": broken}
    write_case("fundamentals/easy/broken", reference=reference, expect={})
    stages = ("--convex-stages", "format,package,syntax,typecheck")
    result = pytester.runpytest("cases", *stages, *xdist)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["  convex/a.ts:1:14: error TS2322: *"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_nothing_is_printed_without_a_terminal_reporter(
    pytester: pytest.Pytester, mixed: None
) -> None:
    result = pytester.runpytest("cases", "-p", "no:terminal", *QUICK)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.stdout.str() == ""


@XDIST
def test_a_mutant_passes_only_if_it_fails_exactly_where_it_says(
    pytester: pytest.Pytester, write_case: Write, xdist: list[str]
) -> None:
    def mutant(name: str, fails: str, code: str, package: str | None) -> dict[str, Any]:
        files = {"package.json": package}
        return {"name": name, "fails": fails, "code": code, "files": files}

    unfit = '{"name": "x", "dependencies": {"convex": "^0.1.0"}}'
    write_case(
        "fundamentals/easy/notes",
        mutants=[
            mutant("caught", "package", "package/missing", None),
            mutant("other-code", "package", "package/invalid-json", None),
            mutant("other-stage", "format", "format/no-files", None),
            mutant("outside", "package", "package/outside-expected", unfit),
            mutant(
                "harmless", "package", "package/missing", '{"dependencies":{"convex":"1.48.0"}}'
            ),
        ],
    )
    result = pytester.runpytest("cases", "--convex-mutants", *QUICK, *xdist)
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "*it failed at package with package/missing, and not with package/invalid-json*",
            "*it failed at package first: package: package/missing*",
            "*it was not caught: every stage passed*",
            "mutants caught where they say: 2/5 (package 2)",
        ]
    )


def test_the_manifest_names_versions_fingerprints_and_settings(
    pytester: pytest.Pytester, mixed: None
) -> None:
    pytester.runpytest("cases", *QUICK)
    (run,) = (pytester.path / ".convex-eval/runs").iterdir()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["versions"]["convex"].startswith("1.")
    assert manifest["settings"]["stages"] == ["format", "package"]
    assert set(manifest["fingerprints"]) == {
        "suite",
        "prompts",
        "toolchain",
        "checker",
        "harness",
    }
    assert len(manifest["cases"]) == 4
    assert manifest["outcome"] == {
        "passed": 2, "failed": 2, "error": 0, "lost": 0, "unpaid": 0, "exit_status": 1
    }  # fmt: skip


@pytest.mark.parametrize(("keep", "kept"), [("failed", 2), ("all", 4), ("none", 0)])
def test_workspaces_are_kept_as_asked(
    pytester: pytest.Pytester, mixed: None, keep: str, kept: int
) -> None:
    stages = ["--convex-stages", "format,package,syntax"]
    pytester.runpytest("cases", "--convex-keep", keep, *stages)
    found = list(
        (pytester.path / ".convex-eval/runs").glob("*/artefacts/*/*/*/*/convex/schema.ts.txt")
    )
    assert len(found) == kept
