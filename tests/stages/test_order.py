"""Which stages run, in which order, and how what they say becomes a verdict; no tool runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval.evaluation.limits import item_limit_seconds
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import (
    ConfigurationError,
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
from pytest_convex_eval.stages.protocol import (
    Report,
    Stage,
    StageContext,
    StaticStage,
    Subject,
    Tools,
)
from pytest_convex_eval.stages.registry import built_in, ordered, select, together
from pytest_convex_eval.stages.runner import (
    MOST_FINDINGS,
    MOST_OUTPUT_CHARACTERS,
    judge,
    run_stages,
)
from pytest_convex_eval.stages.syntax import SyntaxStage
from pytest_convex_eval.stages.table import STAGES

SUBJECT = Subject({}, {}, (), Expectations(), LintPolicy())


def said(*severities: Severity, code: str = "a/b") -> tuple[Finding, ...]:
    return tuple(Finding(code, f"number {n}", each) for n, each in enumerate(severities))


@dataclass
class Told(Stage):
    """A stage that says what a test says, and notes that it ran."""

    name: StageName
    needs: tuple[StageName, ...] = ()
    stands_on: tuple[StageName, ...] = ()
    order: int = 0
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
        self, stages: Sequence[Told], selected: Sequence[StageName] | None = None
    ) -> tuple[StageResult, ...]: ...


@pytest.fixture
def run(bare: Tools, tmp_path: Path) -> Run:
    def run(
        stages: Sequence[Told], selected: Sequence[StageName] | None = None
    ) -> tuple[StageResult, ...]:
        return run_stages(SUBJECT, bare, tmp_path, select(selected, stages), lambda _: None)

    return run


def test_the_stages_are_those_that_are_named_in_their_order() -> None:
    stages = built_in()
    assert tuple(stage.name for stage in stages) == STAGES
    assert len({stage.order for stage in stages}) == len(stages)
    assert {stage.name: stage.needs for stage in stages} == {
        "format": (),
        "package": (),
        "syntax": (),
        "typecheck": ("syntax",),
        "deploy": ("syntax",),
        "behaviour": ("deploy",),
        "lint": ("syntax",),
    }
    assert [stage.name for stage in stages if stage.deploys] == ["deploy"]


def test_static_stages_alone_are_kept_and_keep_all_that_is_known_of_them(tmp_path: Path) -> None:
    selection = select()
    keeping = selection.keeping(VerdictCache(tmp_path))
    assert selection.counting == keeping.counting == STAGES
    kept = [stage for stage in keeping.running if isinstance(stage, Cached)]
    assert [stage.name for stage in kept] == ["syntax", "typecheck", "lint"]
    static = [stage for stage in selection.running if isinstance(stage, StaticStage)]
    for name in ("name", "order", "deadline_seconds", "needs", "stands_on", "deploys"):
        assert [getattr(one, name) for one in kept] == [getattr(one, name) for one in static]


def test_an_items_limit_is_above_the_deadlines_of_its_parts() -> None:
    parts = sum(stage.deadline_seconds for stage in built_in())
    assert parts > 600
    assert select().deadline_seconds == parts
    assert item_limit_seconds(parts, generates=False) == parts + 60
    assert item_limit_seconds(parts, generates=True) == parts + 60 + 1800


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (Told("lint", order=800), "two stages are called 'lint'"),
        (Told("late", ("lint",), order=650), "'late' names 'lint', and no such stage runs before"),
        (Told("own", stands_on=("none",), order=650), "'own' names 'none', and no such stage"),
        (Told("own", ("own",), order=650), "'own' names 'own', and no such stage runs before it"),
    ],
)
def test_stages_that_can_not_be_together_are_told(added: Told, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        together([added])


def test_added_stages_run_by_their_order_and_those_of_one_order_by_name() -> None:
    added = [Told("zeta", order=350), Told("alpha", order=350), Told("last", order=9999)]
    assert [stage.name for stage in together(added)] == [
        *("format", "package", "syntax", "alpha", "zeta", "typecheck", "deploy", "behaviour"),
        *("lint", "last"),
    ]
    assert ordered(added) == (added[1], added[0], added[2])


def test_a_stage_of_another_package_is_not_kept() -> None:
    class Own(SyntaxStage):
        name = "own"
        order = 350

    with pytest.raises(ConfigurationError, match="'own' can't be a StaticStage"):
        together([Own()])


def test_a_name_that_no_stage_has_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no stage is called 'lnt'; did you mean 'lint'"):
        select(["lnt"])
    with pytest.raises(ConfigurationError, match="called 'x'; the stages are format, package, sy"):
        select(["x"])


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
        (["format"], ["format"]),
        (["typecheck", "behaviour"], ["format", "package", "typecheck", "deploy", "behaviour"]),
    ],
)
def test_what_later_stages_stand_on_runs_and_is_not_told(
    bare: Tools, tmp_path: Path, selected: Sequence[StageName], ran: Sequence[str]
) -> None:
    log: list[str] = []
    stages = [Told(one.name, stands_on=one.stands_on, log=log) for one in built_in()]
    emitted: list[StageResult] = []
    results = run_stages(SUBJECT, bare, tmp_path, select(selected, stages), emitted.append)
    assert log == ran
    assert [one.stage for one in results] == [name for name in STAGES if name in selected]
    assert tuple(emitted) == results


def test_what_a_stage_stands_on_counts_though_it_is_not_told(run: Run) -> None:
    stages = [
        Told("deploy", report=Report(said("error"))),
        Told("behaviour", ("deploy",), ("deploy",)),
    ]
    (result,) = run(stages, ["behaviour"])
    assert (result.status, result.reason) == ("skipped", "deploy did not pass")


def test_each_result_is_told_before_the_next_stage_runs(bare: Tools, tmp_path: Path) -> None:
    log: list[str] = []
    stages = [Told("syntax", log=log), Told("lint", log=log)]
    selection = select(None, stages)
    run_stages(SUBJECT, bare, tmp_path, selection, lambda one: log.append(f"told {one.stage}"))
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
    assert (failed.cached, failed.left_out) == (None, 0)
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
