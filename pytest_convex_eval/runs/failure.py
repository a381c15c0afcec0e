"""What a person reads of an item that did not pass: one headline, then every stage's findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# pytest offers no public name for a failure text that survives xdist with a headline of its own.
from _pytest._code.code import (
    ReprEntryNative,
    ReprExceptionInfo,
    ReprFileLocation,
    ReprTraceback,
)

from pytest_convex_eval.outcomes import (
    ConvexEvalError,
    Finding,
    ItemEndedError,
    ItemResult,
    StageResult,
)
from pytest_convex_eval.runs.summary import of_design
from pytest_convex_eval.text import shown

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

_MOST_FINDINGS = 20
_MOST_OUTPUT_LINES = 40


def failure_representation(
    error: BaseException, *, path: Path, style: str
) -> TerminalRepr | str | None:
    """The representation of the `error` that ended an item of the case file `path`; None for what
    pytest itself shows better. `style` is pytest's `--tb`.

    It is made of pytest's own classes: any other is degraded to a plain text by xdist.
    """
    if isinstance(error, ItemEndedError):
        result = error.result
        return _representation(path, style, headline(result), list(failure_lines(result)))
    if isinstance(error, ConvexEvalError):
        text = str(error)
        return _representation(path, style, text.split("\n", 1)[0], text.splitlines())
    if isinstance(error, pytest.fail.Exception):
        # pytest-timeout's way to end an item; our own deadlines never come this way.
        text = f"the whole item: {str(error.msg).splitlines()[0] if error.msg else 'time limit'}"
        return _representation(path, style, text, [text])
    return None


def headline(result: ItemResult) -> str:
    """One line: the first failing stage, where, and what."""
    return result.message.splitlines()[0] if result.message else result.verdict.value


def failure_lines(result: ItemResult) -> Iterator[str]:
    """The whole failure: the stage table, then every finding with its line of code."""
    yield from _stage_table(result)
    if result.mutant is not None:
        yield ""
        yield f"mutant {result.mutant!r} must fail at {result.expected}: {result.message}"
    for stage in result.stages:
        if stage.status == "error":
            yield ""
            yield f"{stage.stage}: {stage.reason}"
            yield from _indented(stage.output)
        # How a design differs from what was deployed may be why something else failed.
        if stage.errors or any(of_design(finding) for finding in stage.findings):
            yield ""
            yield from stage_lines(stage)
    if not result.stages:
        yield from result.message.splitlines()
    if result.artefacts:
        yield ""
        yield f"workspace kept in {result.artefacts}"


def stage_lines(stage: StageResult) -> Iterator[str]:
    """A stage's findings, errors first; the same each time, so without seconds."""
    yield f"{stage.stage}:"
    yield from _findings(stage)


def _stage_table(result: ItemResult) -> Iterator[str]:
    for stage in result.stages:
        said = f"{len(stage.errors)} {_plural('error', len(stage.errors))}" if stage.errors else ""
        warnings = len(stage.findings) - len(stage.errors)
        if warnings and stage.status in ("passed", "failed"):
            said += (", " if said else "") + f"{warnings} {_plural('warning', warnings)}"
        if stage.left_out:
            said += f", {stage.left_out} more left out"
        said = said or stage.reason
        yield f"{stage.stage:<10} {stage.status:<8} {stage.seconds:6.2f}s  {said}".rstrip()


def _findings(stage: StageResult) -> Iterator[str]:
    ranked = sorted(stage.findings, key=lambda finding: finding.severity != "error")
    for finding in ranked[:_MOST_FINDINGS]:
        yield from finding_lines(finding)
    left = len(ranked) - _MOST_FINDINGS
    if left > 0:
        beyond = f", {stage.left_out} left out" if stage.left_out else ""
        yield f"  ... and {left} more in the run record{beyond}"


def finding_lines(finding: Finding) -> Iterator[str]:
    """`path:line:column: severity code: message`, the line of code, and the way out."""
    where = finding.location()
    first, *rest = finding.message.splitlines() or [""]
    yield (
        f"  {where}: {finding.severity} {finding.code}: {first}"
        if where
        else (f"  {finding.severity} {finding.code}: {first}")
    )
    for line in rest:
        yield f"    {line}"
    if finding.excerpt is not None and finding.line is not None:
        gutter = f"{finding.line:>6} | "
        yield f"  {gutter}{finding.excerpt}"
        if finding.column is not None:
            # Tabs stay tabs, so that the caret stands under its character.
            before = "".join(
                "\t" if c == "\t" else " " for c in shown(finding.excerpt[: finding.column - 1])
            )
            yield f"  {' ' * (len(gutter) - 2)}| {before}^"
    if finding.hint:
        yield f"    {finding.hint}"


def _indented(text: str) -> Iterator[str]:
    lines = text.rstrip().splitlines()
    for line in lines[-_MOST_OUTPUT_LINES:]:
        yield f"    {line}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _representation(path: Path, style: str, text: str, lines: list[str]) -> ReprExceptionInfo:
    # What a model, a tool or a case said is shown as data, on the terminal and in JUnit.
    text, lines = shown(text), [shown(line) for line in lines]
    if style == "line":
        lines = [text]
    place = ReprFileLocation(str(path), 1, text)
    entry = ReprEntryNative([f"{line}\n" for line in lines])
    return ReprExceptionInfo(ReprTraceback([entry], None, style="native"), place)
