"""Takes an answer through the stages, in order, each that can run, and judges what they said."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pytest_convex_eval.outcomes import (
    Finding,
    InfrastructureError,
    StageName,
    StageResult,
    Verdict,
    interrupt_before,
)
from pytest_convex_eval.stages.protocol import Report, Stage, StageContext, Subject, Tools
from pytest_convex_eval.stages.registry import Selection

# One answer can make a compiler say the same of each of its 15,000 functions; records, reports and
# what workers send each other hold what a person may read.
MOST_FINDINGS = 1000
MOST_OUTPUT_CHARACTERS = 64 * 1024


def run_stages(
    subject: Subject,
    tools: Tools,
    folder: Path,
    selection: Selection,
    emit: Callable[[StageResult], None],
    *,
    enough: Callable[[Sequence[StageResult]], bool] = lambda _: False,
) -> tuple[StageResult, ...]:
    """The results of the stages that count, each handed to `emit` as it ends; no further stage runs
    once those so far are `enough`.

    `folder` is a fresh one of this item's, outside any project: `workspace` and `scratch` are made
    below it.
    """
    context = StageContext(subject, tools, folder)
    results: list[StageResult] = []
    for stage in selection.running:
        result = _run(stage, context)
        context.ended = {**context.ended, stage.name: result.status}
        if stage.name in selection.counting:
            emit(result)
            results.append(result)
            if enough(results):
                break
    return tuple(results)


def judge(results: Iterable[StageResult]) -> tuple[Verdict, StageName | None, Finding | None, str]:
    """The verdict, with the first failing stage, its first error and a headline.

    A failed stage is the model's fault whatever else went wrong around it; an error without one
    is nobody's verdict.
    """
    first_error: StageResult | None = None
    for result in results:
        if result.status == "failed":
            finding = result.errors[0]
            where = finding.location()
            text = finding.message.splitlines()[0] if finding.message else ""
            line = f"{result.stage}: {finding.code}: {text}" + (f" ({where})" if where else "")
            return Verdict.FAILED, result.stage, finding, line
        if result.status == "error" and first_error is None:
            first_error = result
    if first_error is not None:
        message = f"{first_error.stage}: {first_error.reason}"
        return Verdict.ERROR, first_error.stage, None, message
    return Verdict.PASSED, None, None, ""


def _run(stage: Stage, context: StageContext) -> StageResult:
    unmet = [need for need in stage.needs if context.ended.get(need) not in ("passed", None)]
    if unmet:
        return StageResult(stage.name, "skipped", reason=f"{unmet[0]} did not pass")
    started = time.monotonic()
    try:
        report = stage.check(context)
    except InfrastructureError as error:
        _unless_interrupted(error)
        seconds = time.monotonic() - started
        output = _ending(error.detail)
        return StageResult(stage.name, "error", seconds, reason=str(error), output=output)
    except Exception as error:
        _unless_interrupted(error)
        # A defect of ours must cost this item its verdict, and never the model its score.
        return StageResult(
            stage.name,
            "error",
            time.monotonic() - started,
            reason=f"internal error: {type(error).__name__}: {error}",
            output=traceback.format_exc(),
        )
    return _result(stage.name, report, time.monotonic() - started)


def _unless_interrupted(error: Exception) -> None:
    if interrupt := interrupt_before(error):
        raise interrupt


def _result(name: StageName, report: Report, seconds: float) -> StageResult:
    if report.missing:
        return StageResult(name, "skipped", seconds, reason=report.missing)
    failed = any(finding.severity == "error" for finding in report.findings)
    kept = _most_telling(report.findings)
    return StageResult(
        name,
        "failed" if failed else "passed",
        seconds,
        report.cpu_seconds,
        kept,
        output=_ending(report.output) if failed else "",
        cached=report.cached,
        left_out=len(report.findings) - len(kept),
    )


def _most_telling(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """At most `MOST_FINDINGS` of `findings`, in their order: of each code the first, then errors,
    then warnings."""
    if len(findings) <= MOST_FINDINGS:
        return findings
    first: dict[str, int] = {}
    for number, finding in enumerate(findings):
        first.setdefault(finding.code, number)
    ranked = sorted(
        range(len(findings)),
        key=lambda number: (
            first[findings[number].code] != number,
            findings[number].severity != "error",
        ),
    )
    return tuple(findings[number] for number in sorted(ranked[:MOST_FINDINGS]))


def _ending(output: str) -> str:
    """`output` as far as a report can carry it: the end is what matters in a tool's words."""
    if len(output) <= MOST_OUTPUT_CHARACTERS:
        return output
    return f"...\n{output[-MOST_OUTPUT_CHARACTERS:]}"
