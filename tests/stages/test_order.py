"""Which stages run, in which order, and how what they say becomes a verdict; no tool runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import (
    STAGES,
    STATIC_STAGES,
    Finding,
    InfrastructureError,
    ItemResult,
    Severity,
    StageName,
    StageResult,
    Verdict,
)
from pytest_convex_eval.runs.failure import failure_lines
from pytest_convex_eval.stages.cache import Cached, VerdictCache
from pytest_convex_eval.stages.deadlines import DEADLINE_SECONDS, item_limit_seconds
from pytest_convex_eval.stages.protocol import Report, StageContext, Subject, Tools
from pytest_convex_eval.stages.runner import (
    ALL_STAGES,
    MOST_FINDINGS,
    MOST_OUTPUT_CHARACTERS,
    all_stages,
    judge,
    run_stages,
)

SUBJECT = Subject({}, {}, (), Expectations(), LintPolicy())


def said(*severities: Severity, code: str = "a/b") -> tuple[Finding, ...]:
    return tuple(Finding(code, f"number {n}", each) for n, each in enumerate(severities))


@dataclass
class Told:
    """A stage that says what a test says, and notes that it ran."""

    name: StageName
    needs: tuple[StageName, ...] = ()
    report: Report | Exception = field(default_factory=Report)
    log: list[str] = field(default_factory=list)
    deadline_seconds: float = 1.0

    def check(self, context: StageContext) -> Report:
        self.log.append(self.name)
        if isinstance(self.report, Exception):
            raise self.report
        return self.report


class Run(Protocol):
    def __call__(
        self, stages: Sequence[Told], selected: Sequence[StageName] = STAGES
    ) -> tuple[StageResult, ...]: ...


@pytest.fixture
def run(bare: Tools, tmp_path: Path) -> Run:
    def run(
        stages: Sequence[Told], selected: Sequence[StageName] = STAGES
    ) -> tuple[StageResult, ...]:
        return run_stages(SUBJECT, bare, tmp_path, selected, lambda _: None, stages)

    return run


def test_the_stages_are_those_that_are_named_in_their_order(tmp_path: Path) -> None:
    assert tuple(stage.name for stage in ALL_STAGES) == STAGES
    assert {stage.name: stage.needs for stage in ALL_STAGES} == {
        "format": (),
        "package": (),
        "syntax": (),
        "typecheck": ("syntax",),
        "deploy": ("syntax",),
        "behaviour": ("deploy",),
        "lint": ("syntax",),
    }
    assert {stage.name: stage.deadline_seconds for stage in ALL_STAGES} == DEADLINE_SECONDS
    kept = [stage.name for stage in all_stages(VerdictCache(tmp_path)) if isinstance(stage, Cached)]
    assert tuple(kept) == STATIC_STAGES


def test_an_items_limit_is_above_the_deadlines_of_its_parts() -> None:
    parts = sum(DEADLINE_SECONDS.values())
    assert item_limit_seconds(generates=False) == parts + 60
    assert item_limit_seconds(generates=True) == parts + 60 + 1800


@pytest.mark.parametrize(
    "report",
    [Report(said("error")), InfrastructureError("gone"), KeyError("ours"), Report(missing="none")],
    ids=["failed", "error", "internal-error", "skipped"],
)
def test_what_needs_a_stage_that_did_not_pass_is_skipped(
    run: Run, report: Report | Exception
) -> None:
    log: list[str] = []
    syntax = Told("syntax", report=report, log=log)
    after = Told("deploy", ("syntax",), log=log)
    last, other = Told("behaviour", ("deploy",), log=log), Told("lint", log=log)
    results = run([syntax, after, last, other])
    assert log == ["syntax", "lint"]
    assert [(one.status, one.reason) for one in results[1:]] == [
        ("skipped", "syntax did not pass"),
        ("skipped", "deploy did not pass"),
        ("passed", ""),
    ]


def test_the_first_of_its_needs_that_did_not_pass_is_named(run: Run) -> None:
    stages = [
        Told("syntax"),
        Told("typecheck", report=Report(said("error"))),
        Told("deploy", report=Report(said("error"))),
        Told("lint", ("syntax", "typecheck", "deploy")),
    ]
    assert run(stages)[-1].reason == "typecheck did not pass"


def test_a_need_that_was_not_selected_is_taken_for_met(run: Run) -> None:
    log: list[str] = []
    failing = Told("syntax", report=Report(said("error")), log=log)
    (result,) = run([failing, Told("lint", ("syntax",), log=log)], ["lint"])
    assert (log, result.status) == (["lint"], "passed")


@pytest.mark.parametrize(
    ("selected", "ran"),
    [
        (["lint"], ["format", "package", "lint"]),
        (["behaviour"], ["format", "package", "deploy", "behaviour"]),
        (["deploy"], ["format", "package", "deploy"]),
        (["syntax", "format"], ["format", "package", "syntax"]),
    ],
)
def test_what_later_stages_stand_on_runs_and_is_not_told(
    bare: Tools, tmp_path: Path, selected: Sequence[StageName], ran: Sequence[str]
) -> None:
    log: list[str] = []
    stages = [Told(name, log=log) for name in STAGES]
    emitted: list[StageResult] = []
    results = run_stages(SUBJECT, bare, tmp_path, selected, emitted.append, stages)
    assert log == ran
    assert [one.stage for one in results] == [name for name in STAGES if name in selected]
    assert tuple(emitted) == results


def test_what_a_stage_stands_on_counts_though_it_is_not_told(run: Run) -> None:
    stages = [
        Told("deploy", report=Report(said("error"))),
        Told("behaviour", ("deploy",)),
    ]
    (result,) = run(stages, ["behaviour"])
    assert (result.status, result.reason) == ("skipped", "deploy did not pass")


def test_each_result_is_told_before_the_next_stage_runs(bare: Tools, tmp_path: Path) -> None:
    log: list[str] = []
    stages = [Told("syntax", log=log), Told("lint", log=log)]
    run_stages(SUBJECT, bare, tmp_path, STAGES, lambda one: log.append(f"told {one.stage}"), stages)
    assert log == ["syntax", "told syntax", "lint", "told lint"]


def test_only_errors_fail_and_only_a_failure_has_the_tools_words(run: Run) -> None:
    warned, failed, skipped = run(
        [
            Told("syntax", report=Report(said("warning", "info"), "words", 0.5, cached=True)),
            Told("typecheck", report=Report(said("warning", "error"), "words", 0.25)),
            Told("lint", report=Report(missing="there is nothing")),
        ]
    )
    assert (warned.status, warned.output, warned.cpu_seconds) == ("passed", "", 0.5)
    assert (warned.findings, warned.cached) == (said("warning", "info"), True)
    assert (failed.status, failed.output, failed.cpu_seconds) == ("failed", "words", 0.25)
    assert (failed.cached, failed.left_out) == (False, 0)
    assert (skipped.status, skipped.reason) == ("skipped", "there is nothing")


def test_an_error_of_ours_has_its_reason_and_the_end_of_its_words(run: Run) -> None:
    detail = "first" + "x" * MOST_OUTPUT_CHARACTERS
    gone, ours = run(
        [
            Told("syntax", report=InfrastructureError("gone", detail=detail)),
            Told("lint", report=KeyError("ours")),
        ]
    )
    assert (gone.status, gone.reason) == ("error", "gone")
    assert gone.output == "...\n" + "x" * MOST_OUTPUT_CHARACTERS
    assert (ours.status, ours.reason) == ("error", "internal error: KeyError: 'ours'")
    assert ours.output.startswith("Traceback")
    assert "raise self.report\nKeyError: 'ours'" in ours.output


def shown(result: StageResult) -> list[str]:
    item = ItemResult("a", "b", "easy", "m", "none", 1, Verdict.FAILED, stages=(result,))
    return [line for line in failure_lines(item) if "number" in line]


def test_an_error_behind_a_warning_is_the_headline_and_comes_first(run: Run) -> None:
    (result,) = run([Told("lint", report=Report(said("warning", "error", "error")))])
    verdict, stage, finding, message = judge([result])
    assert (verdict, stage, finding) == (Verdict.FAILED, "lint", result.findings[1])
    assert message == "lint: a/b: number 1"
    assert ["number 1" in line for line in shown(result)] == [True, False, False]


@pytest.mark.parametrize("codes", ["one", "many"])
def test_an_error_behind_more_warnings_than_are_kept_is_kept_and_comes_first(
    run: Run, codes: str
) -> None:
    warnings = [
        Finding(f"w/{n}" if codes == "many" else "a/b", f"warned {n}", "warning")
        for n in range(MOST_FINDINGS + 50)
    ]
    error = Finding("a/b", "number 1")
    (result,) = run([Told("lint", report=Report((*warnings, error)))])
    assert len(result.findings) == MOST_FINDINGS
    assert result.findings[-1] == error
    assert result.left_out == 51
    assert judge([result])[2] == error
    item = ItemResult("a", "b", "easy", "m", "none", 1, Verdict.FAILED, stages=(result,))
    lines = list(failure_lines(item))
    first, second = (
        next(n for n, line in enumerate(lines) if words in line) for words in ("number 1", "warned")
    )
    assert first < second


def test_as_many_findings_as_are_kept_stay_as_they_are(run: Run) -> None:
    warnings: list[Severity] = ["warning"] * (MOST_FINDINGS - 1)
    findings = said(*warnings, "error")
    (result,) = run([Told("lint", report=Report(findings))])
    assert (result.findings, result.left_out) == (findings, 0)


def test_the_first_stage_that_failed_and_then_the_first_error_is_the_verdict() -> None:
    passed = StageResult("format", "passed", findings=said("warning"))
    one = StageResult("syntax", "failed", findings=(Finding("a", "first\nsecond"),))
    other = StageResult("lint", "failed", findings=said("error"))
    gone, broken = (StageResult("deploy", "error", reason=text) for text in ("gone", "broken"))
    assert judge([passed, gone, one, other]) == (
        *(Verdict.FAILED, "syntax", one.findings[0]),
        "syntax: a: first",
    )
    assert judge([passed, gone, broken]) == (Verdict.ERROR, "deploy", None, "deploy: gone")
    assert judge([passed]) == (Verdict.PASSED, None, None, "")
    silent = StageResult("lint", "failed", findings=(Finding("a", "", path="c.ts", line=2),))
    assert judge([silent])[3] == "lint: a:  (c.ts:2)"
