"""What a person reads of an item that did not pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_convex_eval.outcomes import (
    ConfigurationError,
    Finding,
    InfrastructureError,
    ItemEndedError,
    ItemResult,
    StageResult,
    Verdict,
)
from pytest_convex_eval.runs.failure import (
    failure_lines,
    failure_representation,
    finding_lines,
    headline,
    stage_lines,
)

WARNING = Finding("w/x", "Odd.", "warning")
WRONG = Finding("a/b", "Wrong.")
RESULT = ItemResult(
    "notes", "fundamentals", "easy", "reference", "default", 1, Verdict.FAILED,
    stages=(StageResult("lint", "failed", 12.345, findings=(WARNING, WRONG, WARNING)),),
    stage="lint", code="a/b", message="lint: a/b: Wrong.\nMore.",
)  # fmt: skip


def text(result: ItemResult) -> list[str]:
    return list(failure_lines(result))


def test_errors_come_before_warnings_whatever_was_found_first() -> None:
    assert text(RESULT) == [
        "lint       failed    12.35s  1 error, 2 warnings",
        "",
        "lint:",
        "  error a/b: Wrong.",
        "  warning w/x: Odd.",
        "  warning w/x: Odd.",
    ]


def test_the_most_that_are_shown_are_errors_and_the_rest_is_counted() -> None:
    errors = tuple(Finding(f"e/{number}", "E") for number in range(20))
    stage = replace(RESULT.stages[0], findings=(WARNING, *errors, WARNING))
    lines = list(stage_lines(stage))
    assert lines[0] == "lint:"
    assert lines[1:-1] == [f"  error e/{number}: E" for number in range(20)]
    assert lines[-1] == "  ... and 2 more in the run record"
    whole = list(stage_lines(replace(stage, findings=errors)))
    assert whole[-1] == "  error e/19: E"
    beyond = list(stage_lines(replace(stage, left_out=7)))
    assert beyond[-1] == "  ... and 2 more in the run record, 7 left out"


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (StageResult("lint", "passed", findings=(WARNING,)), "passed     0.00s  1 warning"),
        (StageResult("lint", "failed", findings=(WRONG, WRONG)), "failed     0.00s  2 errors"),
        (
            StageResult("lint", "failed", findings=(WRONG,), left_out=3),
            "failed     0.00s  1 error, 3 more left out",
        ),
        (StageResult("lint", "passed"), "passed     0.00s"),
        (StageResult("lint", "skipped", reason="no files"), "skipped    0.00s  no files"),
        (
            StageResult("lint", "error", reason="gone", findings=(WARNING,)),
            "error      0.00s  gone",
        ),
    ],
)
def test_each_stage_has_its_line_in_the_table(stage: StageResult, said: str) -> None:
    assert text(replace(RESULT, stages=(stage,)))[0] == f"lint       {said}"


def test_an_error_of_ours_shows_the_end_of_what_the_tool_printed() -> None:
    output = "\n".join(f"line {number}" for number in range(50)) + "\n\n"
    stage = StageResult("deploy", "error", reason="the CLI broke", output=output)
    lines = text(replace(RESULT, stages=(stage,)))
    assert lines[1:3] == ["", "deploy: the CLI broke"]
    assert lines[3:] == [f"    line {number}" for number in range(10, 50)]


def test_a_passed_stage_shows_how_a_design_differs_and_nothing_else() -> None:
    design = Finding("design/missing-index", "It is not there.", "warning")
    deploy = StageResult("deploy", "passed", findings=(design,))
    lint = StageResult("lint", "passed", findings=(WARNING,))
    assert text(replace(RESULT, stages=(deploy, lint)))[2:] == [
        "", "deploy:", "  warning design/missing-index: It is not there."
    ]  # fmt: skip


def test_a_mutant_says_where_it_had_to_fail() -> None:
    result = replace(RESULT, mutant="m", expected="lint (x)", message="it was not caught")
    assert text(result)[1:3] == ["", "mutant 'm' must fail at lint (x): it was not caught"]


def test_an_item_without_stages_says_why() -> None:
    result = replace(RESULT, verdict=Verdict.ERROR, stages=(), message="toolchain: gone")
    assert text(result) == ["toolchain: gone"]
    assert text(replace(result, artefacts="a/b"))[1:] == ["", "workspace kept in a/b"]


def test_a_headline_is_one_line() -> None:
    assert headline(RESULT) == "lint: a/b: Wrong."
    assert headline(replace(RESULT, message="")) == "failed"


@pytest.mark.parametrize(
    ("finding", "lines"),
    [
        (Finding("a", ""), ["  error a: "]),
        (Finding("a", "x", path="p"), ["  p: error a: x"]),
        (Finding("a", "x", path="p", line=3, column=2), ["  p:3:2: error a: x"]),
        (Finding("a", "x", excerpt="code"), ["  error a: x"]),
        (
            Finding("a", "x", path="p", line=3, excerpt="code"),
            ["  p:3: error a: x", "       3 | code"],
        ),
        (
            Finding("a", "x", path="p", line=3, column=1, excerpt="code"),
            ["  p:3:1: error a: x", "       3 | code", "         | ^"],
        ),
    ],
)  # fmt: skip
def test_a_finding_shows_what_is_known_of_its_place(finding: Finding, lines: list[str]) -> None:
    assert list(finding_lines(finding)) == lines


# As pytest shows it.


def shown(error: BaseException, style: str = "auto") -> tuple[str, list[str]] | None:
    """The headline and the lines of an item's failure."""
    made = cast(Any, failure_representation(error, path=Path("/cases/notes.yaml"), style=style))
    if made is None:
        return None
    assert made.reprcrash.path == "/cases/notes.yaml"
    assert made.reprcrash.lineno == 1
    (entry,) = made.reprtraceback.reprentries
    assert made.reprtraceback.style == "native"
    return made.reprcrash.message, [line.removesuffix("\n") for line in entry.lines]


@pytest.mark.parametrize("style", ["auto", "line"])
def test_what_ends_an_item_has_a_headline_and_its_lines(style: str) -> None:
    def lines(*more: str) -> list[str]:
        return [more[0]] if style == "line" else list(more)

    message = "lint: a/b: Wrong."
    found = shown(ItemEndedError(RESULT), style)
    assert found == (message, [message] if style == "line" else text(RESULT))
    error = ConfigurationError("wrong key\nAsk for one.")
    assert shown(error, style) == ("wrong key", lines("wrong key", "Ask for one."))
    assert shown(InfrastructureError("gone"), style) == ("gone", lines("gone"))
    # pytest-timeout's way.
    late = pytest.fail.Exception("Timeout (>940.0s) from pytest-timeout.\nmore")
    said = "the whole item: Timeout (>940.0s) from pytest-timeout."
    assert shown(late, style) == (said, [said])
    silent = pytest.fail.Exception("")
    assert shown(silent, style) == ("the whole item: time limit", ["the whole item: time limit"])


def test_what_pytest_shows_better_is_left_to_it() -> None:
    assert shown(ZeroDivisionError("x")) is None
