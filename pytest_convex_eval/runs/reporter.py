"""The controller's side of a run: reports become live lines, the record, and the summary.

Registered as a plugin of its own where the terminal is: the only process, or xdist's controller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from pytest_convex_eval.leftovers import sweep
from pytest_convex_eval.outcomes import ItemResult, Verdict
from pytest_convex_eval.runs.live import stage_line
from pytest_convex_eval.runs.record import RunRecord
from pytest_convex_eval.runs.summary import summary_lines
from pytest_convex_eval.text import shown
from pytest_convex_eval.xdist import (
    StageReport,
    is_broken,
    result_of,
    stop,
    stop_reason,
    worker_of,
)

_EVERY_SECONDS = 15.0
"""The time between lines about what is generated ahead."""


def failure_word(report: object) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """What pytest calls a report of a failed item: FAILED[typecheck]; None for any other."""
    if not isinstance(report, pytest.TestReport) or not report.failed:
        return None
    result = result_of(report)
    if result is None:
        return None
    stage = f"[{result.stage}]" if result.stage else ""
    if result.verdict is Verdict.ERROR:
        return "error", "E", (f"ERROR{stage}", {"red": True})
    return "failed", "F", (f"FAILED{stage}", {"red": True})


class Prefetched(Protocol):
    """How far the prefetch is, in generations."""

    @property
    def stored(self) -> int: ...
    @property
    def made(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def unpaid(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def finished(self) -> bool: ...


class Batched(Protocol):
    """How far batches are, in entries and seconds."""

    @property
    def entries(self) -> int: ...
    @property
    def processing(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class RunReporter:
    """Takes every report of a run. Silent, and without a record, until `begin`."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session: pytest.Session | None = None
        self._results: list[ItemResult] = []
        self._ended: set[str] = set()
        self._lost = 0
        self._broken = 0
        self._record: RunRecord | None = None
        self._ours: frozenset[str] = frozenset()
        self._unjudged: Callable[[str], ItemResult | None] = lambda nodeid: None
        self._unpaid = 0
        self._shown = time.monotonic()

    @property
    def begun(self) -> bool:
        return self._record is not None

    @property
    def folder(self) -> Path | None:
        """Of the record; None until it was begun."""
        return None if self._record is None else self._record.folder

    def begin(
        self,
        record: RunRecord,
        ours: Collection[str],
        unjudged: Callable[[str], ItemResult | None],
    ) -> None:
        """From now on the items with the node ids `ours` are ours. `unjudged` is asked for the
        result of one that was lost; None where nobody can tell any more."""
        self._record = record
        self._ours = frozenset(ours)
        self._unjudged = unjudged

    def write(self, line: str) -> None:
        """A line of its own on the terminal."""
        terminal = self._terminal()
        if terminal is not None:
            terminal.ensure_newline()
            terminal.write_line(shown(line))

    def show_prefetch(self, progress: Prefetched) -> None:
        """How far generation is, now and then; called from threads, one at a time."""
        now = time.monotonic()
        if progress.finished or now - self._shown < _EVERY_SECONDS:
            return
        self._shown = now
        done = progress.stored + progress.made
        total = done + progress.failed + progress.unpaid + progress.in_flight + progress.waiting
        self.write(f"convex-eval: {done} of {total} replies, {progress.in_flight} being made")

    def show_batches(self, progress: Batched) -> None:
        """How far the batches are, each time that they were looked at."""
        done = progress.entries - progress.processing
        self.write(
            f"convex-eval: {done} of {progress.entries} batched replies after "
            f"{progress.seconds / 60:.0f} min (Ctrl-C is safe: the next run finds them)"
        )

    # pytest's hooks.

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Counts broken cases; on xdist's controller these are the workers' reports."""
        self._broken += is_broken(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        if isinstance(report, StageReport):
            yield
            self._show_stage(report)
            return None
        self._take(report)
        return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self) -> None:
        """A worker has ended; if it was killed, what it started may still run."""
        if self.begun:
            sweep()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One section at the end; nothing where no item ended."""
        if not self._results and not self._lost and not self._unpaid:
            return
        terminalreporter.write_sep("=", "convex-eval")
        record = None if self._record is None else _shown(self._record.folder, self._config)
        for line in summary_lines(
            self._results, lost=self._lost, unpaid=self._unpaid, record=record
        ):
            terminalreporter.write_line(
                shown(line.text), **({line.colour: True} if line.colour else {})
            )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._broken and self._record is None:
            # As without xdist, whose controller takes broken files for failed tests.
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        if self._record is not None:
            counts: dict[str, int] = {
                verdict.value: sum(result.verdict is verdict for result in self._results)
                for verdict in Verdict
            }
            status = int(session.exitstatus)
            self._record.finish(
                {
                    **counts,
                    "lost": self._lost,
                    "unpaid": self._unpaid,
                    "exit_status": status,
                }
            )
            sweep()

    def _take(self, report: pytest.TestReport) -> None:
        result = result_of(report)
        if result is not None:
            self._results.append(result)
            self._ended.add(report.nodeid)
        elif report.skipped and report.when == "call" and report.nodeid in self._ours:
            self._unpaid += 1
        elif report.failed and report.nodeid in self._ours - self._ended:
            # What has ended is not lost with its worker: xdist only learns a moment later that it
            # is over, and takes a worker's death until then for the item's.
            self._lost += 1
            unjudged = self._unjudged(report.nodeid)
            result = None if unjudged is None else _lost(report, unjudged)
        if result is not None and self._record is not None:
            self._record.add(report.nodeid, result, worker=worker_of(report))
        reason = stop_reason(report)
        if reason is not None:
            stop(self._config, self._session, f"convex-eval: {reason}")

    def _show_stage(self, report: StageReport) -> None:
        terminal = self._terminal()
        if terminal is None:
            return
        # The terminal keeps every report; --durations would list this one beside its item's own.
        kept = terminal.stats.get("", [])
        if kept and kept[-1] is report:
            kept.pop()
        if terminal.verbosity < 1:
            return
        text, colour = stage_line(report)
        terminal.ensure_newline()
        terminal.write(shown(text), flush=True, **{colour: True})
        # What pytest prints next begins a new line, as after a name.
        terminal.currentfspath = -2

    def _terminal(self) -> pytest.TerminalReporter | None:
        # With -p no:terminal there is none.
        terminal: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin(
            "terminalreporter"
        )
        return terminal


def _shown(folder: Path, config: pytest.Config) -> Path:
    here = config.invocation_params.dir
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _lost(report: pytest.TestReport, unjudged: ItemResult) -> ItemResult:
    """The result of an item whose process ended under it, or which never came to a result."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = "the item ended without a result" if crash is None else crash.message
    return replace(unjudged, message=message)
