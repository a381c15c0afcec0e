"""The gate in pytest: one item more in the report, and the run's exit code.

Registered where the terminal is: the only process, or xdist's controller.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Literal

import pytest

from pytest_convex_eval.comparison.gate import Gate, RunVerdict, gate
from pytest_convex_eval.outcomes import REFERENCE, ItemResult, Verdict
from pytest_convex_eval.runs import Run, RunError, load_run
from pytest_convex_eval.runs.reporter import RunReporter
from pytest_convex_eval.xdist import result_of

NODEID = "convex-eval::gate"

INCONCLUSIVE_EXIT = 6
INVALID_EXIT = 7
"""pytest's own codes end at 5."""


def record_only(report: pytest.TestReport, result: ItemResult | None) -> None:
    """Reports a model's failure as expected, since it is the gate that passes or fails: `x` in the
    terminal, `<skipped>` in JUnit, and what was found in the run record.

    A reference that fails is the suite's fault, and stays a failure.
    """
    if result is None or not report.failed or result.verdict is not Verdict.FAILED:
        return
    if result.mutant is not None or result.model == REFERENCE:
        return
    report.outcome = "skipped"
    where = f"{result.stage}: {result.code}" if result.code else str(result.stage)
    report.wasxfail = f"counts in the gate: failed at {where}"


class GateKeeper:
    """Holds the run against `baseline` when its last item has ended."""

    def __init__(
        self,
        config: pytest.Config,
        reporter: RunReporter,
        baseline: Run,
        *,
        margin: float,
        inconclusive: Literal["fail", "pass"],
        decides: bool,
    ) -> None:
        """`margin` is a share of 1. Unless the gate `decides`, it is only told."""
        self._config = config
        self._reporter = reporter
        self._baseline = baseline
        self._margin = margin
        self._inconclusive = inconclusive
        self._decides = decides
        self._errors = 0
        self._gate: Gate | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = result_of(report)
        self._errors += report.failed and result is not None and result.verdict is Verdict.ERROR

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        ended = yield
        folder = self._reporter.folder
        if folder is not None and not self._config.option.collectonly:
            self._gate = _judged(self._baseline, folder, self._margin)
            session.testscollected += 1
            self._report(self._gate)
            if self._passes(self._gate.verdict) and session.testsfailed == self._errors:
                # So few items without a verdict leave the gate standing, as they leave every rate.
                session.testsfailed = 0
        return ended

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._gate is None or not self._decides:
            return
        codes = {"inconclusive": INCONCLUSIVE_EXIT, "invalid": INVALID_EXIT}
        code = codes.get(self._gate.verdict)
        plain = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if (
            code is not None
            and not self._passes(self._gate.verdict)
            and session.exitstatus in plain
        ):
            session.exitstatus = code

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._gate is None:
            return
        terminalreporter.write_sep("=", "convex-eval gate")
        good = self._gate.verdict == "non-inferior"
        colour = "green" if good else "yellow" if self._passes(self._gate.verdict) else "red"
        for index, line in enumerate(self._gate.lines):
            terminalreporter.write_line(line, **({colour: True} if index == 0 else {}))

    def _passes(self, verdict: RunVerdict) -> bool:
        return verdict == "non-inferior" or (
            verdict == "inconclusive" and self._inconclusive == "pass"
        )

    def _report(self, made: Gate) -> None:
        """As of an item: the terminal counts it, JUnit has it, and its failure is the session's."""
        hook = self._config.hook
        location = ("convex-eval", None, "gate")
        hook.pytest_runtest_logstart(nodeid=NODEID, location=location)
        for when in ("setup", "call", "teardown"):
            report = pytest.TestReport(NODEID, location, {}, "passed", None, when)
            failed = not self._passes(made.verdict) and self._decides
            # What can't be judged is no failure: pytest calls that an error, by its phase.
            if failed and when == ("setup" if made.verdict == "invalid" else "call"):
                report.outcome = "failed"
                report.longrepr = "\n".join(made.lines)
            elif made.verdict != "non-inferior" and when == "call":
                report.outcome = "skipped"
                report.longrepr = ("convex-eval", 0, "\n".join(made.lines))
            if when == "call":
                report.user_properties = [("convex_eval.gate", made.verdict)]
            if made.verdict == "invalid" and failed and when == "call":
                continue
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=NODEID, location=location)


def _judged(baseline: Run, folder: Path, margin: float) -> Gate:
    try:
        return gate(baseline, load_run(folder), margin=margin)
    except RunError as error:
        return Gate("invalid", (), (f"invalid: {error}",))
