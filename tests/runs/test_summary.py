"""The table at the end of a run, the JUnit properties, and the failure text: what people see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_convex_eval.outcomes import Finding, ItemResult, StageName, StageResult, Verdict
from pytest_convex_eval.runs.failure import failure_lines, finding_lines
from pytest_convex_eval.runs.junit import properties
from pytest_convex_eval.runs.summary import summary_lines

FINDING = Finding(
    "TS2322",
    "Type 'string' is not assignable to type 'number'.\n  In a second line.",
    path="convex/a.ts",
    line=2,
    column=4,
    excerpt="\t🙂 x = 1;",
    hint="Make it a number.",
)
PASSED = ItemResult(
    case="tables",
    category="fundamentals",
    difficulty="easy",
    model="reference",
    arm="default",
    trial=1,
    verdict=Verdict.PASSED,
    stages=(StageResult("format", "passed", 0.01), StageResult("typecheck", "passed", 0.2)),
)
FAILED = replace(
    PASSED,
    case="cron",
    difficulty="hard",
    verdict=Verdict.FAILED,
    stage="typecheck",
    code="TS2322",
    message="typecheck: TS2322: no",
    stages=(
        StageResult("format", "passed", 0.01, findings=(Finding("a/b", "c", "warning"),)),
        StageResult("typecheck", "failed", 0.2, findings=(FINDING,)),
        StageResult("lint", "skipped", reason="typecheck did not pass"),
    ),
)
ERROR = replace(PASSED, case="x", verdict=Verdict.ERROR, stages=(), message="toolchain: gone")


def table(*results: ItemResult, lost: int = 0, record: Path | None = None) -> list[str]:
    return [line.text.rstrip() for line in summary_lines(results, lost=lost, record=record)]


def test_the_table_counts_each_stage_by_category_and_difficulty() -> None:
    assert table(PASSED, FAILED, record=Path("runs/1")) == [
        "reference            passed  format  typecheck    lint",
        "fundamentals/easy       1/1     1/1        1/1       -",
        "fundamentals/hard       0/1     1/1        0/1       -",
        "total                   1/2     2/2        1/2       -",
        "1 warning in the run record",
        "run record: runs/1",
    ]


def test_errors_leave_the_denominator_and_are_counted() -> None:
    lines = table(PASSED, ERROR, lost=2)
    assert "fundamentals/easy       1/1     1/1        1/1" in lines
    assert "1 item without a verdict (not the model's fault)" in lines
    assert "2 items ended without a result" in lines


def test_each_model_and_arm_has_its_own_table() -> None:
    lines = table(PASSED, replace(PASSED, model="m"), replace(PASSED, model="m", arm="none"))
    heads = [line.split("  ")[0] for line in lines if "passed" in line]
    assert heads == ["reference", "m", "m (none)"]


def test_mutants_are_counted_apart() -> None:
    caught = replace(PASSED, mutant="one", expected="lint", stage="lint")
    early = replace(PASSED, mutant="three", expected="syntax", stage="syntax")
    missed = replace(FAILED, mutant="two", expected="deploy")
    assert table(caught, caught, missed, early) == [
        "mutants caught where they say: 3/4 (syntax 1, lint 2)"
    ]


def test_items_whose_static_stages_did_not_run_are_counted() -> None:
    def cached(*flags: bool) -> ItemResult:
        names: tuple[StageName, ...] = ("syntax", "typecheck")
        stages = tuple(
            StageResult(name, "passed", cached=flag)
            for name, flag in zip(names, flags, strict=True)
        )
        return replace(PASSED, stages=(*stages, StageResult("lint", "skipped")))

    lines = table(cached(True, True), cached(True, False), cached(False, False), ERROR)
    assert [line for line in lines if "cache" in line] == [
        "static stages of 1 of 3 items from the cache (--convex-no-cache: run them)"
    ]
    assert not [line for line in table(cached(False, True)) if "cache" in line]


def test_a_finding_shows_its_line_with_a_caret_under_the_character() -> None:
    assert list(finding_lines(FINDING)) == [
        "  convex/a.ts:2:4: error TS2322: Type 'string' is not assignable to type 'number'.",
        "      In a second line.",
        "       2 | \t🙂 x = 1;",
        "         | \t  ^",
        "    Make it a number.",
    ]


def test_a_failure_shows_the_stages_and_then_what_is_wrong() -> None:
    text = "\n".join(failure_lines(replace(FAILED, artefacts="runs/1/artefacts/x")))
    assert text.startswith(
        "format     passed     0.01s  1 warning\n"
        "typecheck  failed     0.20s  1 error\n"
        "lint       skipped    0.00s  typecheck did not pass\n"
    )
    assert "convex/a.ts:2:4: error TS2322" in text
    assert text.endswith("workspace kept in runs/1/artefacts/x")


def test_properties_name_verdict_stages_and_seconds() -> None:
    assert dict(properties(FAILED)) == {
        "convex_eval.verdict": "failed",
        "convex_eval.category": "fundamentals",
        "convex_eval.difficulty": "hard",
        "convex_eval.model": "reference",
        "convex_eval.arm": "default",
        "convex_eval.trial": "1",
        "convex_eval.stage.format": "passed",
        "convex_eval.stage.typecheck": "failed",
        "convex_eval.stage.lint": "skipped",
        "convex_eval.seconds.format": "0.010",
        "convex_eval.seconds.typecheck": "0.200",
        "convex_eval.seconds.lint": "0.000",
    }


def test_a_result_survives_its_journey_between_processes() -> None:
    for result in (PASSED, FAILED, ERROR):
        assert ItemResult.from_json(result.to_json()) == result
