"""Answers through the stages: what runs, what is skipped, and whose fault it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.generation.arms import load_guidelines
from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.outcomes import (
    Finding,
    InfrastructureError,
    ItemResult,
    StageName,
    StageResult,
    Verdict,
)
from pytest_convex_eval.runs.failure import failure_lines
from pytest_convex_eval.stages.protocol import Report, Stage, StageContext, Subject, Tools
from pytest_convex_eval.stages.registry import select
from pytest_convex_eval.stages.runner import (
    MOST_FINDINGS,
    MOST_OUTPUT_CHARACTERS,
    judge,
    run_stages,
)

Check = Callable[..., Any]

SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ notes: defineTable({ text: v.string() }) });
"""
QUERY = """\
import { query } from "./_generated/server";

export const list = query({ args: {}, handler: (ctx) => ctx.db.query("notes").take(10) });
"""
GOOD = {"convex/schema.ts": SCHEMA, "convex/notes.ts": QUERY}


def test_a_good_answer_passes_every_stage(check: Check) -> None:
    statuses = check(GOOD).statuses
    assert statuses.pop("behaviour") == "skipped"  # nothing was asked of it
    assert set(statuses.values()) == {"passed"}


def test_one_item_reports_all_that_is_wrong(check: Check) -> None:
    result = check(
        {
            "convex/notes.ts": QUERY.replace('"notes"', '"nots"'),
            "convex/schema.ts": SCHEMA.replace(
                "text: v.string() })", 'text: v.string() }).index("by_id", ["text"])'
            ),
            "../escape.ts": "x",
        },
        expect=Expectations(files=("convex/other.ts",)),
    )
    assert result.codes("format") == ["format/unsafe-path"]
    assert result.codes("package") == ["package/file-missing"]
    assert "TS2345" in result.codes("typecheck")
    assert result.codes("deploy") == ["deploy/IndexNameReserved"]
    assert result["lint"].status in ("passed", "failed")


def test_what_needs_parsing_is_skipped_where_files_do_not_parse(check: Check) -> None:
    result = check({**GOOD, "convex/broken.ts": "export const = 1;"})
    assert result.statuses == {
        "format": "passed",
        "package": "passed",
        "syntax": "failed",
        "typecheck": "skipped",
        "deploy": "skipped",
        "behaviour": "skipped",
        "lint": "skipped",
    }
    assert result["deploy"].reason == "syntax did not pass"


def test_an_empty_answer_fails_and_nothing_else_runs(check: Check) -> None:
    result = check({}, bare=True)
    assert result.codes("format") == ["format/no-files"]
    assert set(list(result.statuses.values())[1:]) == {"skipped"}


def test_a_package_that_does_not_exist_costs_one_finding(check: Check) -> None:
    package = '{"dependencies": {"convex": "^1.48.0", "no-such-package-of-convex-eval": "1"}}'
    result = check({**GOOD, "package.json": package})
    assert result.codes("package") == ["package/unknown-package"]
    assert result["package"].errors[0].path == "package.json"
    assert result["typecheck"].status == result["deploy"].status == "passed"


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ('{"dependencies": {"convex": "^99.0.0"}}', "package/unsatisfiable-range"),
        ('{"dependencies": {"convex": "~1.30.0"}}', "package/outside-expected"),
        ("{", "package/invalid-json"),
    ],
)
def test_an_unfit_package_json_fails_there_and_the_rest_is_still_checked(
    check: Check, package: str, code: str
) -> None:
    result = check({**GOOD, "package.json": package}, stages=("package", "syntax", "typecheck"))
    assert code in result.codes("package")
    assert result["typecheck"].status == "passed"


def test_the_answers_own_configuration_is_not_used(check: Check) -> None:
    loose = '{"compilerOptions": {"strict": false, "noEmit": true}, "include": []}'
    wrong = QUERY.replace("args: {}", "args: {}, // @ts-ignore\n  x: y")
    result = check(
        {**GOOD, "convex/notes.ts": wrong, "convex/tsconfig.json": loose, "tsconfig.json": loose}
    )
    assert "TS2304" in result.codes("typecheck")
    assert result.codes("lint") == ["lint/suppression"]
    warnings = [finding.code for finding in result["format"].findings]
    assert warnings == ["format/harness-owned"] * 2


def test_lint_findings_of_what_does_not_typecheck_are_shown_and_not_counted(check: Check) -> None:
    floating = QUERY.replace("=> ctx", "=> { void 0; Promise.resolve(1); return ctx").replace(
        "take(10)", "take(10); }"
    )
    broken = floating.replace("take(10)", "take('ten')")
    assert "lint/no-floating-promises" in check({**GOOD, "convex/notes.ts": floating}).codes("lint")
    result = check({**GOOD, "convex/notes.ts": broken})
    assert result["typecheck"].status == "failed"
    assert result["lint"].status == "passed"
    assert any(f.code == "lint/no-floating-promises" for f in result["lint"].findings)


def test_a_case_can_require_a_rule_and_switch_one_off(check: Check) -> None:
    scan = QUERY.replace(
        'query("notes")', 'query("notes").filter((q) => q.eq(q.field("text"), ""))'
    )
    files = {**GOOD, "convex/notes.ts": scan}
    assert check(files)["lint"].status == "passed"
    required = check(files, lint=LintPolicy(require=("@convex-dev/no-filter-in-query",)))
    assert required.codes("lint") == ["@convex-dev/no-filter-in-query"]


def test_a_local_component_is_typechecked_with_the_clis_own_code(check: Check) -> None:
    files = {
        **GOOD,
        "convex/convex.config.ts": 'import { defineApp } from "convex/server";\n'
        'import counter from "./counter/convex.config";\n'
        "const app = defineApp();\napp.use(counter);\nexport default app;\n",
        "convex/counter/convex.config.ts": 'import { defineComponent } from "convex/server";\n'
        'export default defineComponent("counter");\n',
        "convex/counter/public.ts": 'import { query } from "./_generated/server";\n'
        'import { v } from "convex/values";\n'
        "export const count = query({ args: {}, returns: v.number(), handler: async () => 1 });\n",
        "convex/total.ts": 'import { query } from "./_generated/server";\n'
        'import { components } from "./_generated/api";\n'
        "export const total = query({\n  args: {},\n"
        "  handler: async (ctx): Promise<number> =>\n"
        "    await ctx.runQuery(components.counter.public.count, {}),\n});\n",
    }
    assert check(files, stages=("typecheck", "deploy")).statuses == {
        "typecheck": "passed",
        "deploy": "passed",
    }
    wrong = files["convex/total.ts"].replace("public.count", "public.cuont")
    result = check({**files, "convex/total.ts": wrong}, stages=("typecheck",))
    assert result.codes("typecheck") == ["TS2551"]


def test_the_default_guidelines_hold_what_they_teach(check: Check) -> None:
    files = parse_reply(load_guidelines("default").text).files
    assert len(files) > 5
    result = check(
        files, lint=LintPolicy(require=()), stages=("syntax", "typecheck", "deploy", "lint")
    )
    assert {stage.stage: stage.errors for stage in result.results if stage.errors} == {}
    assert set(result.statuses.values()) == {"passed"}


class _Stage(Stage):
    """A stage that does what a test says."""

    order = 0
    stands_on = ()
    deadline_seconds = 1.0

    def __init__(self, name: StageName, act: Callable[[StageContext], Report]) -> None:
        self.name = name
        self._act = act

    def check(self, context: StageContext) -> Report:
        return self._act(context)


def test_our_faults_are_errors_and_the_stages_after_them_run(tools: Tools, tmp_path: Path) -> None:
    def broken(_: StageContext) -> Report:
        raise InfrastructureError("the tool is gone", detail="its words")

    def defective(_: StageContext) -> Report:
        raise KeyError("ours")

    def fine(_: StageContext) -> Report:
        return Report()

    subject = Subject({}, {}, (), Expectations(), LintPolicy())
    stages = (_Stage("format", broken), _Stage("package", defective), _Stage("lint", fine))
    results = run_stages(subject, tools, tmp_path, select(None, stages), lambda _: None)
    assert [result.status for result in results] == ["error", "error", "passed"]
    assert (results[0].reason, results[0].output) == ("the tool is gone", "its words")
    assert "internal error: KeyError" in results[1].reason
    assert judge(results)[0] is Verdict.ERROR


@pytest.mark.parametrize("error", [InfrastructureError("the server died"), KeyError("ours")])
def test_an_interrupt_is_not_hidden_by_what_fails_after_it(
    error: Exception, tools: Tools, tmp_path: Path
) -> None:
    def interrupted(_: StageContext) -> Report:
        try:
            raise KeyboardInterrupt
        finally:
            raise error

    subject = Subject({}, {}, (), Expectations(), LintPolicy())
    stages = (_Stage("lint", interrupted),)
    with pytest.raises(KeyboardInterrupt):
        run_stages(subject, tools, tmp_path, select(None, stages), lambda _: None)


def test_no_stage_runs_after_those_that_are_enough(tools: Tools, tmp_path: Path) -> None:
    subject = Subject({}, {}, (), Expectations(), LintPolicy())
    names: tuple[StageName, ...] = ("syntax", "typecheck", "lint")
    stages = tuple(_Stage(name, lambda _: Report()) for name in names)
    results = run_stages(
        subject, tools, tmp_path, select(None, stages), lambda _: None,
        enough=lambda so_far: so_far[-1].stage == "typecheck",
    )  # fmt: skip
    assert [result.stage for result in results] == ["syntax", "typecheck"]


def test_a_failure_counts_even_beside_an_error() -> None:
    failed = StageResult("lint", "failed", findings=(Finding("a", "b", path="c.ts", line=1),))
    error = StageResult("deploy", "error", reason="gone")
    verdict, stage, finding, message = judge([error, failed])
    assert (verdict, stage, finding) == (Verdict.FAILED, "lint", failed.findings[0])
    assert message == "lint: a: b (c.ts:1)"
    assert judge([StageResult("lint", "passed"), StageResult("deploy", "skipped")])[0] is (
        Verdict.PASSED
    )


def test_of_too_many_findings_those_that_tell_most_are_kept(tools: Tools, tmp_path: Path) -> None:
    many = [Finding("TS7023", "circular", path="convex/a.ts", line=n) for n in range(1, 15_001)]
    hints = [Finding("TS6133", "unused", "warning", line=n) for n in range(1, 101)]
    rare = Finding("TS2304", "missing", path="convex/b.ts", line=1)
    last = Finding("TS6385", "deprecated", "warning")
    said = Report((*hints, *many, rare, last), "x" * (MOST_OUTPUT_CHARACTERS + 5))
    subject = Subject({}, {}, (), Expectations(), LintPolicy())
    stages = (_Stage("typecheck", lambda _: said),)
    (result,) = run_stages(subject, tools, tmp_path, select(None, stages), lambda _: None)
    assert len(result.findings) == MOST_FINDINGS
    assert result.findings == (hints[0], *many[: MOST_FINDINGS - 3], rare, last)
    assert result.left_out == 99 + 15_000 - (MOST_FINDINGS - 3)
    assert result.output == "...\n" + "x" * MOST_OUTPUT_CHARACTERS
    assert ItemResult.from_json(json.loads(json.dumps(_item(result).to_json()))).stages == (result,)
    shown = "\n".join(failure_lines(_item(result)))
    assert "998 errors, 2 warnings, 14102 more left out" in shown
    assert "more in the run record, 14102 left out" in shown


def _item(result: StageResult) -> ItemResult:
    return ItemResult("a", "fundamentals", "easy", "m", "none", 1, Verdict.FAILED, stages=(result,))
