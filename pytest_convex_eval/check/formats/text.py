"""For people: the stage table, then every finding with its line of code, as a pytest run has it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_convex_eval.check.run import Checked
from pytest_convex_eval.outcomes import StageResult
from pytest_convex_eval.runs.failure import finding_lines

_MOST_OUTPUT_LINES = 40


def text_lines(checked: Checked, project: str) -> Iterator[str]:
    """`project` is how the functions folder is shown."""
    yield f"convex-eval check: {project} (packages {checked.packages or 'unknown'})"
    for stage in checked.results:
        yield f"{stage.stage:<10} {stage.status:<8} {stage.seconds:6.2f}s  {_said(stage)}".rstrip()
    for stage in checked.results:
        if stage.status == "error":
            yield ""
            yield f"{stage.stage}: {stage.reason}"
            yield from (f"    {line}" for line in stage.output.splitlines()[-_MOST_OUTPUT_LINES:])
        elif stage.findings:
            yield ""
            yield f"{stage.stage}:"
            for finding in sorted(stage.findings, key=lambda one: one.severity != "error"):
                yield from finding_lines(finding)
    yield ""
    yield f"{checked.verdict.value}{': ' if checked.message else ''}{checked.message}"


def _said(stage: StageResult) -> str:
    counts = [
        (len(stage.errors), "error"),
        (sum(one.severity == "warning" for one in stage.findings), "warning"),
        (stage.left_out, "more left out"),
    ]
    parts = [
        f"{count} {word}{'s' if count != 1 and word in ('error', 'warning') else ''}"
        for count, word in counts
        if count
    ]
    return ", ".join(parts) or stage.reason
