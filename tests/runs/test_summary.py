"""The table at the end of a run, the JUnit properties, and the failure text: what people see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_convex_eval.outcomes import (
    Finding,
    Generated,
    ItemResult,
    RequestFacts,
    Round,
    StageName,
    StageResult,
    StageStatus,
    Verdict,
)
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


def coloured(*results: ItemResult, lost: int = 0, unpaid: int = 0) -> list[tuple[str, str]]:
    lines = summary_lines(results, lost=lost, unpaid=unpaid)
    return [(line.text.split("  ")[0], line.colour) for line in lines]


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


def test_lines_have_the_colour_of_what_they_say() -> None:
    plain = ("reference", "")
    assert coloured(PASSED) == [plain, ("fundamentals/easy", "green")]
    assert coloured(FAILED) == [
        plain, ("fundamentals/hard", "red"), ("1 warning in the run record", "")
    ]  # fmt: skip
    # An error is no pass, though it leaves the rate.
    assert coloured(PASSED, ERROR) == [
        plain,
        ("fundamentals/easy", "red"),
        ("1 item without a verdict (not the model's fault)", "red"),
    ]
    assert coloured(lost=1, unpaid=2) == [
        ("1 item ended without a result", "red"),
        ("2 items not asked: the budget is spent", "yellow"),
    ]
    caught = replace(PASSED, mutant="one", stage="lint")
    missed = replace(FAILED, mutant="two")
    assert [colour for _, colour in coloured(caught)] == ["green"]
    assert [colour for _, colour in coloured(caught, missed)] == ["red"]
    assert coloured(missed)[0][0] == "mutants caught where they say: 0/1"


def test_rows_are_in_the_order_of_categories_and_difficulties() -> None:
    places = [("b", "hard"), ("a", "medium"), ("a", "easy"), ("a", "hard"), ("b", "easy")]
    results = [replace(PASSED, category=one, difficulty=two) for one, two in places]
    rows = [line.split("  ")[0] for line in table(*results, *results)]
    assert rows == ["reference", "a/easy", "a/medium", "a/hard", "b/easy", "b/hard", "total"]


def test_errors_of_ours_in_a_stage_are_no_part_of_its_rate() -> None:
    stages = (StageResult("format", "passed"), StageResult("deploy", "error"))
    lines = table(PASSED, replace(PASSED, verdict=Verdict.ERROR, stages=stages))
    assert lines[:2] == [
        "reference            passed  format  typecheck  deploy",
        "fundamentals/easy       1/1     2/2        1/1       -",
    ]


def replied(usd: float | None, source: str = "claude-x") -> ItemResult:
    return requested((usd, source))


def requested(*requests: tuple[float | None, str]) -> ItemResult:
    facts = (
        RequestFacts("key", source == "store", "stop", 1.0, usd=usd) for usd, source in requests
    )
    generated = Generated(requests[-1][1], "tags", tuple(facts))
    return replace(PASSED, model="claude-x", generation=generated)


def test_what_replies_cost_is_told_apart_and_what_is_unknown_is_not_nothing() -> None:
    def costs(*results: ItemResult) -> list[str]:
        return [line for line in table(*results) if line.startswith("replies")]

    assert costs(PASSED) == []
    assert costs(replied(0.5), replied(0.25)) == ["replies: 2 made now $0.7500"]
    assert costs(replied(1, "store")) == ["replies: 1 from the store $1.0000"]
    # Each request of an item counts: a design, and each round of repair.
    assert costs(requested((0.5, "store"), (0.25, "claude-x"), (0.25, "claude-x"))) == [
        "replies: 2 made now $0.5000, 1 from the store $0.5000"
    ]
    assert costs(replied(0.5), replied(None), replied(0.1, "store"), PASSED) == [
        "replies: 2 made now $0.5000 and 1 of unknown cost, 1 from the store $0.1000"
    ]


def test_repairs_are_counted_by_the_round_that_passed() -> None:
    def after(rounds: int, verdict: Verdict = Verdict.PASSED) -> ItemResult:
        before = (Round(Verdict.FAILED, "lint", "a"),) * rounds
        return replace(PASSED, verdict=verdict, rounds=before)

    results = [after(0), after(2), after(1), after(2, Verdict.FAILED), after(1, Verdict.ERROR)]
    assert "passed by round of repair (0 to 2): 1/4, 2/4, 3/4" in table(*results)
    assert not [line for line in table(after(0)) if "repair" in line]


def test_designs_that_differ_are_counted_with_their_codes() -> None:
    def deployed(*codes: str, status: StageStatus = "passed") -> ItemResult:
        findings = tuple(Finding(code, "x", "warning") for code in codes)
        return replace(PASSED, stages=(StageResult("deploy", status, findings=findings),))

    def said(*results: ItemResult) -> list[str]:
        return [line for line in table(*results) if line.startswith("designs")]

    assert said(deployed(), deployed("deploy/odd")) == []
    shown = "designs that differ from what was deployed: 2/3 (2 design/b, 1 design/a)"
    failed = deployed("design/c", status="failed")
    assert said(deployed("design/a", "design/b"), deployed("design/b"), deployed(), failed) == [
        shown
    ]


def test_mutants_and_answers_of_one_run_are_both_told() -> None:
    caught = replace(PASSED, mutant="one", stage="lint")
    lines = table(PASSED, caught, lost=1)
    assert [line.split("  ")[0] for line in lines] == [
        "reference", "fundamentals/easy", "mutants caught where they say: 1/1 (lint 1)",
        "1 item ended without a result",
    ]  # fmt: skip


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


def test_properties_tell_of_a_mutant_and_of_rounds_where_there_are_any() -> None:
    rounds = (Round(Verdict.FAILED, "lint", "a"),) * 2
    result = replace(PASSED, mutant="one", rounds=rounds, arm="mine", trial=3)
    told = dict(properties(result))
    assert told["convex_eval.mutant"] == "one"
    assert told["convex_eval.repair_rounds"] == "2"
    assert (told["convex_eval.arm"], told["convex_eval.trial"]) == ("mine", "3")


def test_a_result_survives_its_journey_between_processes() -> None:
    for result in (PASSED, FAILED, ERROR):
        assert ItemResult.from_json(result.to_json()) == result
