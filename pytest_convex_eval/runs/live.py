"""Live stage lines: each finished stage travels to the terminal as a report of its own.

Reports are the one channel that pytest and xdist both carry while an item still runs. A
`StageReport` uses the public serialisation hooks, counts nowhere, and carries the item's own id,
which xdist checks.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

import pytest

from pytest_convex_eval.outcomes import Finding, StageResult

_TYPE_KEY = "$report_type"
_TYPE = "convex_eval.StageReport"


class StageReport(pytest.TestReport):
    """One finished stage of a running item. Its outcome is always "passed": it must not count."""

    count_towards_summary = False
    stage: dict[str, Any]

    @classmethod
    def of(cls, item: pytest.Item, result: StageResult) -> StageReport:
        report = cls(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed",
            longrepr=None,
            when="stage",  # type: ignore[arg-type]  # neither setup, call nor teardown
            # Not the stage's: --durations would list it beside the item's own.
            duration=0.0,
        )
        report.stage = asdict(result)
        # Long output stays with the item's own report.
        report.stage["output"] = ""
        return report

    @property
    def result(self) -> StageResult:
        findings = tuple(Finding(**finding) for finding in self.stage["findings"])
        return StageResult(**{**self.stage, "findings": findings})


def emit_stage(item: pytest.Item, result: StageResult) -> None:
    """Sends `result` on its way to the terminal, past pytest's capturing."""
    capture: Any = item.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        item.ihook.pytest_runtest_logreport(report=StageReport.of(item, result))


def to_serializable(report: object) -> dict[str, Any] | None:
    """A StageReport as builtins; None for any other report."""
    if not isinstance(report, StageReport):
        return None
    data = report._to_json()
    data[_TYPE_KEY] = _TYPE
    return data


def from_serializable(data: dict[str, Any]) -> StageReport | None:
    """The inverse; None for the data of any other report."""
    if data.get(_TYPE_KEY) != _TYPE:
        return None
    return StageReport._from_json({key: data[key] for key in data if key != _TYPE_KEY})


def stage_line(report: StageReport) -> tuple[str, str]:
    """The line for a finished stage at -v, and the colour of its status."""
    result = report.result
    worker = getattr(report, "worker_id", "master")
    # Under xdist the lines of several items mix; without it they stand below their item's name.
    prefix = "  " if worker == "master" else f"[{worker}] {report.nodeid} "
    said = ""
    if result.status == "failed":
        first, more = result.errors[0], len(result.errors) - 1
        said = f"  {first.code}" + (f" (+{more})" if more else "")
    elif result.status in ("skipped", "error"):
        said = f"  {result.reason}"
    line = f"{prefix}{result.stage} {result.status} {result.seconds:.2f}s{said}"
    colour = {"passed": "green", "failed": "red", "error": "red", "skipped": "yellow"}
    return line, colour[result.status]
