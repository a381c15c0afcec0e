"""What crosses pytest's processes, and what differs where xdist runs items: only this module knows.

A process is the controller (it talks to the person, collects nothing under xdist, and writes the
record), a worker of xdist (it collects and evaluates), or both where there is none. What crosses
between them: what a worker is given before it starts (`WorkerInput`), node ids, and reports, which
carry an item's result, a finished stage, a broken file, and the wish to stop.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.outcomes import (
    ConfigurationError,
    Finding,
    ItemResult,
    StageResult,
    Verdict,
)

ONLY_PROCESS = "master"
"""What xdist's reports call the worker where there is none."""

_RUN = "convex_eval_run"
_TOOLS = "convex_eval_tools"

_RESULT = "convex_eval_result"
_STOP = "convex_eval_stop"
_BROKEN = "convex_eval_broken"

_TYPE_KEY = "$report_type"
_STAGE_REPORT = "convex_eval.StageReport"


# What a worker is given before it starts.


@dataclass(frozen=True, slots=True)
class WorkerInput:
    """The run that a worker works for, by its id, and the address of the tools that it shares."""

    run_id: str
    tools: str

    @classmethod
    def of(cls, config: pytest.Config) -> WorkerInput | None:
        """What this process was given; None where it is no worker, or one whose controller does
        not know this plugin (a conftest.py of a folder that only workers come to loads it)."""
        given = getattr(config, "workerinput", {})
        return cls(given[_RUN], given[_TOOLS]) if _RUN in given else None

    def give(self, workerinput: dict[str, Any]) -> None:
        """Puts it where the worker finds it."""
        workerinput[_RUN] = self.run_id
        workerinput[_TOOLS] = self.tools


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of xdist."""
    return hasattr(config, "workerinput")


# Node ids.


def file_id(path: Path, root: Path) -> str:
    """The node id of a file: its path relative to pytest's rootdir, also where it lies outside.

    pytest itself names a file outside its rootdir after what stood on the command line, so that two
    files can have one name, and nobody can tell which they are.
    """
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:
        # Windows: on another drive.
        return path.as_posix()


def path_of(nodeid: str, root: Path) -> Path:
    """The inverse of `file_id`, for the id of a file and of any item in it."""
    return Path(os.path.normpath(root / nodeid.split("::")[0]))


def named_on_command_line(config: pytest.Config) -> Callable[[Path], bool]:
    """What `Session.isinitpath` tells, for xdist's controller, which collects nothing."""
    here = config.invocation_params.dir
    named = {(here / arg.split("::")[0]).resolve() for arg in config.args}
    return lambda path: path.resolve() in named


def stop_after_collection_errors(
    session: pytest.Session, items: list[pytest.Item], is_ours: Callable[[pytest.Item], bool]
) -> None:
    """Takes all items from a worker when a file could not be collected and some items are ours.

    pytest's own stop lives in the loop that xdist replaces (pytest #15028), so that one broken
    file would still let all the others spend money.
    """
    config = session.config
    if not is_worker(config) or config.option.continue_on_collection_errors:
        return
    if session.testsfailed and any(map(is_ours, items)):
        items.clear()


# Reports.


def annotate(report: pytest.TestReport, result: ItemResult | None, error: object) -> None:
    """Puts what an item ended in on its report, the one channel that crosses processes.

    pytest and JUnit call a report an error, and not a failure, by its phase alone; so what is not
    the model's fault is reported as the set-up's.
    """
    if result is not None:
        # One ASCII string: xdist ends a whole run at any value that it can't serialise.
        setattr(report, _RESULT, json.dumps(result.to_json()))
    if report.failed and (result is None or result.verdict is Verdict.ERROR):
        report.when = "setup"
    if isinstance(error, ConfigurationError):
        setattr(report, _STOP, str(error))


def result_of(report: object) -> ItemResult | None:
    """The result that `annotate` put on a report; None where there is none."""
    encoded = getattr(report, _RESULT, None)
    return None if encoded is None else ItemResult.from_json(json.loads(encoded))


def stop_reason(report: object) -> str | None:
    """Why the whole run must stop, where a report says so."""
    reason: str | None = getattr(report, _STOP, None)
    return reason


def mark_broken(report: pytest.CollectReport) -> None:
    """Tells the controller that a case file could not be collected, where it could not."""
    if report.failed:
        setattr(report, _BROKEN, True)


def is_broken(report: object) -> bool:
    """Whether a report is of a case file that could not be collected."""
    return bool(getattr(report, _BROKEN, False))


def worker_of(report: object) -> str:
    """The worker that a report is from, such as `gw0`; `ONLY_PROCESS` where there is no xdist."""
    return str(getattr(report, "worker_id", ONLY_PROCESS))


def stop(config: pytest.Config, session: pytest.Session | None, reason: str) -> None:
    """Stops the run from the controller: no further item starts; those that run end."""
    # xdist ignores the session's own flag.
    target: Any = config.pluginmanager.get_plugin("dsession") or session
    if target is not None:
        target.shouldstop = reason


class StageReport(pytest.TestReport):
    """One finished stage of a running item, on its way to the terminal.

    Reports are the one channel that pytest and xdist both carry while an item still runs. This one
    uses the public serialisation hooks and counts nowhere: its outcome is always "passed". It
    carries the item's own id, which xdist checks.
    """

    count_towards_summary = False
    stage: dict[str, Any]

    @classmethod
    def of(cls, item: pytest.Item, result: StageResult) -> StageReport:
        """The report of a stage of `item`."""
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
        """What the stage came to, without its output."""
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
    data[_TYPE_KEY] = _STAGE_REPORT
    return data


def from_serializable(data: dict[str, Any]) -> StageReport | None:
    """The inverse of `to_serializable`; None for the data of any other report."""
    if data.get(_TYPE_KEY) != _STAGE_REPORT:
        return None
    return StageReport._from_json({key: data[key] for key in data if key != _TYPE_KEY})
