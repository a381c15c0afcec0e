"""The controller's side of a run, report by report: what is recorded, counted, shown, stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from pytest_convex_eval.outcomes import (
    ConfigurationError,
    Finding,
    InfrastructureError,
    ItemResult,
    Round,
    StageResult,
    Verdict,
)
from pytest_convex_eval.runs import reporter as module
from pytest_convex_eval.runs.live import stage_line
from pytest_convex_eval.runs.record import RunRecord
from pytest_convex_eval.runs.reporter import RunReporter, failure_word
from pytest_convex_eval.xdist import (
    StageReport,
    annotate,
    emit_stage,
    from_serializable,
    mark_broken,
    result_of,
    to_serializable,
)

NODEID = "cases/fundamentals/hard/notes.yaml::notes[claude-x-mine-2]"
UNJUDGED = ItemResult(
    "notes", "fundamentals", "hard", "claude-x", "mine", 2, Verdict.ERROR
)  # fmt: skip
PASSED = ItemResult("notes", "fundamentals", "hard", "claude-x", "mine", 2, Verdict.PASSED)
FAILED = replace(
    PASSED,
    verdict=Verdict.FAILED,
    stage="lint",
    stages=(StageResult("lint", "failed", 1.0, findings=(Finding("a/b", "c"),)),),
    rounds=(Round(Verdict.FAILED, "lint", "a/b"),),
)
ERROR = replace(PASSED, verdict=Verdict.ERROR, message="gone")


def report(
    outcome: Literal["passed", "failed", "skipped"] = "passed",
    when: Literal["setup", "call", "teardown"] = "call",
    nodeid: str = NODEID,
    longrepr: Any = None,
) -> pytest.TestReport:
    return pytest.TestReport(nodeid, ("notes.yaml", 0, "notes"), {}, outcome, longrepr, when)


def of(result: ItemResult, error: object = None, **fields: Any) -> pytest.TestReport:
    """The report of an item that ended in `result`, as it arrives at the controller."""
    made = report("passed" if result.verdict is Verdict.PASSED else "failed", **fields)
    annotate(made, result, error)
    data = made._to_json()
    # What can't be told in JSON ends a run under xdist.
    return pytest.TestReport._from_json(json.loads(json.dumps(data)))


@dataclass
class Terminal:
    """As pytest's terminal reporter."""

    lines: list[str] = field(default_factory=list)
    stats: dict[str, list[object]] = field(default_factory=dict)
    verbosity: int = 0
    currentfspath: object = None

    def ensure_newline(self) -> None:
        self.lines.append("newline")

    def write_line(self, line: str, **markup: bool) -> None:
        self.lines.append(" ".join([line, *markup]))

    def write(self, text: str, *, flush: bool, **markup: bool) -> None:
        assert flush
        self.lines.append(" ".join([text, *markup]))

    def write_sep(self, sep: str, title: str) -> None:
        self.lines.append(f"{sep} {title}")


@dataclass
class Run:
    """A reporter with what stands around it."""

    reporter: RunReporter
    terminal: Terminal
    plugins: dict[str, object]
    swept: list[int]
    folder: Path
    session: Any = None
    unjudged: ItemResult | None = UNJUDGED

    def take(self, one: pytest.TestReport) -> None:
        steps = cast(Any, self.reporter.pytest_runtest_logreport(one))
        next(steps)
        with contextlib.suppress(StopIteration):
            steps.send(None)

    def begin(self, *nodeids: str) -> None:
        record = RunRecord.begin(self.folder, {})
        self.reporter.begin(record, nodeids or (NODEID,), lambda _: self.unjudged)

    def items(self) -> list[dict[str, Any]]:
        path = self.folder / "items.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def finish(self, status: int = 0) -> dict[str, Any]:
        """The outcome that the manifest names."""
        self.session.exitstatus = status
        self.reporter.pytest_sessionfinish(self.session)
        manifest = json.loads((self.folder / "manifest.json").read_text())
        assert manifest["finished"] >= manifest["started"]
        outcome: dict[str, Any] = manifest["outcome"]
        return outcome

    def summary(self) -> list[str]:
        self.terminal.lines.clear()
        self.reporter.pytest_terminal_summary(cast(pytest.TerminalReporter, self.terminal))
        return self.terminal.lines


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    terminal, swept = Terminal(), [0]
    plugins: dict[str, object] = {"terminalreporter": terminal}

    def sweep() -> None:
        swept[0] += 1

    monkeypatch.setattr(module, "sweep", sweep)
    config = SimpleNamespace(
        pluginmanager=SimpleNamespace(get_plugin=plugins.get),
        invocation_params=SimpleNamespace(dir=tmp_path),
    )
    made = RunReporter(cast(pytest.Config, config))
    session = SimpleNamespace(exitstatus=0, shouldstop=False)
    made.pytest_sessionstart(cast(pytest.Session, session))
    return Run(made, terminal, plugins, swept, tmp_path / "runs/r1", session)


# What an item's report says.


@pytest.mark.parametrize("result", [PASSED, FAILED, ERROR], ids=lambda one: one.verdict)
def test_a_result_survives_its_journey_on_a_report(result: ItemResult) -> None:
    assert result_of(of(result)) == result
    assert result_of(report()) is None


@pytest.mark.parametrize(
    ("result", "outcome", "when"),
    [
        (PASSED, "passed", "call"),
        (FAILED, "failed", "call"),
        (ERROR, "failed", "setup"),
        (None, "failed", "setup"),
        (None, "skipped", "call"),
    ],
)
def test_what_is_not_the_model_s_fault_is_the_set_up_s(
    result: ItemResult | None, outcome: Literal["passed", "failed", "skipped"], when: str
) -> None:
    made = report(outcome)
    annotate(made, result, None)
    assert (made.when, made.outcome) == (when, outcome)


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (of(PASSED), None),
        (of(FAILED), ("failed", "F", ("FAILED[lint]", {"red": True}))),
        (of(replace(FAILED, stage=None)), ("failed", "F", ("FAILED", {"red": True}))),
        (of(ERROR), ("error", "E", ("ERROR", {"red": True}))),
        (of(replace(ERROR, stage="deploy")), ("error", "E", ("ERROR[deploy]", {"red": True}))),
        (report("failed"), None),
        (report("skipped"), None),
        (object(), None),
    ],
)
def test_a_failed_item_is_called_by_its_stage(made: object, word: object) -> None:
    assert failure_word(made) == word


# Record and counts.


@pytest.mark.parametrize("worker", [None, "gw1"])
def test_each_item_is_recorded_as_it_ends(run: Run, worker: str | None) -> None:
    assert not run.reporter.begun
    run.begin()
    assert run.reporter.begun
    one = of(FAILED)
    if worker is not None:
        one.worker_id = worker
    run.take(report("passed", "setup"))
    run.take(one)
    run.take(report("passed", "teardown"))
    (item,) = run.items()
    assert (item.pop("nodeid"), item.pop("worker")) == (NODEID, worker or "master")
    assert item.pop("ended") > "2026"
    assert ItemResult.from_json(item) == FAILED


def test_the_outcome_counts_each_verdict(run: Run) -> None:
    names = [f"cases/a/easy/b.yaml::b[{number}]" for number in range(8)]
    run.begin(*names)
    for name, result in zip(names, [PASSED, PASSED, PASSED, FAILED, FAILED, ERROR], strict=False):
        run.take(of(result, nodeid=name))
    run.take(report("failed", "setup", names[6], "crashed"))
    run.take(report("skipped", nodeid=names[7]))
    assert run.finish(1) == {
        "passed": 3, "failed": 2, "error": 1, "lost": 1, "unpaid": 1, "exit_status": 1
    }  # fmt: skip
    assert run.swept == [1]


def test_an_item_whose_worker_died_is_recorded_as_lost_as_what_it_is(run: Run) -> None:
    run.begin()
    crash = SimpleNamespace(reprcrash=SimpleNamespace(message="worker 'gw0' crashed"))
    run.take(report("failed", "setup", longrepr=cast(Any, crash)))
    (item,) = run.items()
    lost = ItemResult.from_json({k: v for k, v in item.items() if k not in LINE})
    # Of a model, an arm and a trial whose names could not be told apart in the item's id.
    assert lost == replace(UNJUDGED, message="worker 'gw0' crashed")
    assert (lost.model, lost.arm, lost.trial) == ("claude-x", "mine", 2)
    assert run.summary() == ["= convex-eval", "1 item ended without a result red",
                             "run record: runs/r1"]  # fmt: skip


LINE = ("nodeid", "ended", "worker")


def test_an_item_that_ended_without_a_word_is_lost_too(run: Run) -> None:
    run.begin()
    run.take(report("failed"))
    (item,) = run.items()
    assert item["message"] == "the item ended without a result"


def test_a_worker_that_dies_after_an_item_s_end_does_not_cost_it(run: Run) -> None:
    run.begin()
    run.take(of(PASSED))
    run.take(report("failed", "setup"))
    assert [item["verdict"] for item in run.items()] == ["passed"]
    assert run.finish()["lost"] == 0


def test_tests_that_are_not_ours_are_no_items(run: Run) -> None:
    run.begin()
    run.take(report("failed", nodeid="test_a.py::test_x"))
    run.take(report("skipped", nodeid="test_a.py::test_y"))
    run.take(report("skipped", "setup"))
    assert run.items() == []
    assert run.finish(1) == {
        "passed": 0, "failed": 0, "error": 0, "lost": 0, "unpaid": 0, "exit_status": 1
    }  # fmt: skip
    assert run.summary() == []


def test_a_lost_item_of_which_nobody_can_tell_is_counted(run: Run) -> None:
    run.begin()
    run.unjudged = None
    run.take(report("failed", "setup"))
    assert run.items() == []
    assert run.finish(1)["lost"] == 1


def test_an_item_that_was_not_asked_is_counted_and_not_recorded(run: Run) -> None:
    run.begin()
    run.take(report("skipped"))
    assert run.items() == []
    assert run.summary() == [
        "= convex-eval", "1 item not asked: the budget is spent yellow", "run record: runs/r1"
    ]  # fmt: skip


def test_the_summary_is_shown_where_an_item_ended(run: Run, tmp_path: Path) -> None:
    run.folder = tmp_path.parent / "elsewhere"
    run.begin()
    run.take(of(FAILED))
    title, head, row, rounds, record = run.summary()
    assert title == "= convex-eval"
    assert head.startswith("claude-x (mine)")
    assert row.startswith("fundamentals/hard")
    assert row.endswith("0/1 red")
    assert rounds == "passed by round of repair (0 to 1): 0/1, 0/1"
    assert record == f"run record: {run.folder}"


def test_results_without_a_record_are_summed_up_too(run: Run) -> None:
    run.take(of(PASSED))
    assert run.summary()[0] == "= convex-eval"
    assert not any(line.startswith("run record") for line in run.summary())
    run.reporter.pytest_sessionfinish(run.session)
    assert run.swept == [0]


@pytest.mark.parametrize("begun", [False, True])
def test_a_broken_case_interrupts_a_run_that_had_not_begun(run: Run, begun: bool) -> None:
    if begun:
        run.begin()
    good = pytest.CollectReport("a.yaml", "passed", None, [])
    mark_broken(good)
    run.reporter.pytest_collectreport(good)
    run.session.exitstatus = 1
    run.reporter.pytest_sessionfinish(run.session)
    assert run.session.exitstatus == 1
    broken = pytest.CollectReport("a.yaml", "failed", "promt", [])
    run.reporter.pytest_collectreport(broken)
    run.reporter.pytest_sessionfinish(run.session)
    assert run.session.exitstatus == 1
    mark_broken(broken)
    run.reporter.pytest_collectreport(broken)
    run.reporter.pytest_sessionfinish(run.session)
    assert run.session.exitstatus == (1 if begun else pytest.ExitCode.INTERRUPTED)


def test_what_a_dead_worker_left_is_ended_once_items_run(run: Run) -> None:
    run.reporter.pytest_testnodedown()
    assert run.swept == [0]
    run.begin()
    run.reporter.pytest_testnodedown()
    assert run.swept == [1]


# What ends the run.


@pytest.mark.parametrize("xdist", [False, True])
def test_what_only_a_person_can_change_stops_whoever_gives_out_items(run: Run, xdist: bool) -> None:
    scheduler = SimpleNamespace(shouldstop=False)
    if xdist:
        run.plugins["dsession"] = scheduler
    run.begin()
    run.take(of(FAILED, InfrastructureError("no network")))
    assert (run.session.shouldstop, scheduler.shouldstop) == (False, False)
    stopped = report("failed")
    annotate(stopped, None, ConfigurationError("wrong key"))
    assert stopped.when == "setup"
    run.take(stopped)
    target, other = (scheduler, run.session) if xdist else (run.session, scheduler)
    assert target.shouldstop == "convex-eval: wrong key"
    assert other.shouldstop is False


# Live lines.


def stage_report(result: StageResult, worker: str | None = None) -> StageReport:
    item = SimpleNamespace(nodeid=NODEID, location=("notes.yaml", 0, "notes"))
    made = StageReport.of(cast(pytest.Item, item), result)
    if worker is not None:
        # As xdist marks the reports of its workers.
        vars(made)["worker_id"] = worker
    return made


LINT = StageResult("lint", "failed", 1.25, findings=(
    Finding("w", "x", "warning"), Finding("a/b", "c"), Finding("d", "e"), Finding("d", "f"),
))  # fmt: skip


@pytest.mark.parametrize(
    ("result", "line", "colour"),
    [
        (StageResult("format", "passed", 0.014), "format passed 0.01s", "green"),
        (LINT, "lint failed 1.25s  a/b (+2)", "red"),
        (replace(LINT, findings=LINT.findings[:2]), "lint failed 1.25s  a/b", "red"),
        (StageResult("lint", "skipped", reason="no"), "lint skipped 0.00s  no", "yellow"),
        (StageResult("lint", "error", reason="gone"), "lint error 0.00s  gone", "red"),
    ],
)
def test_a_stage_s_line_says_how_it_ended(result: StageResult, line: str, colour: str) -> None:
    assert stage_line(stage_report(result)) == (f"  {line}", colour)
    assert stage_line(stage_report(result, "master")) == (f"  {line}", colour)
    # Lines of several items mix under xdist.
    assert stage_line(stage_report(result, "gw3")) == (f"[gw3] {NODEID} {line}", colour)


@pytest.mark.parametrize("verbosity", [0, 1])
def test_stages_are_shown_when_asked_for_and_never_counted(run: Run, verbosity: int) -> None:
    run.begin()
    run.terminal.verbosity = verbosity
    one, other = stage_report(LINT), report()
    # As pytest's own hook does meanwhile.
    run.terminal.stats[""] = [other, one]
    run.take(one)
    assert run.terminal.stats[""] == [other]
    shown = ["newline", "  lint failed 1.25s  a/b (+2) red"]
    assert run.terminal.lines == (shown if verbosity else [])
    assert run.terminal.currentfspath == (-2 if verbosity else None)
    run.take(one)
    assert run.terminal.stats[""] == [other]
    assert run.items() == []
    assert run.summary() == []


def test_without_a_terminal_nothing_is_shown_and_all_recorded(run: Run) -> None:
    del run.plugins["terminalreporter"]
    run.begin()
    run.reporter.write("hello")
    run.take(stage_report(LINT))
    run.take(of(PASSED))
    assert run.terminal.lines == []
    assert len(run.items()) == 1


# Progress.


@dataclass(frozen=True)
class Progress:
    stored: int = 1
    made: int = 2
    failed: int = 4
    unpaid: int = 8
    in_flight: int = 16
    waiting: int = 32
    finished: bool = False


def test_generation_s_progress_is_told_now_and_then(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    reporter = RunReporter(run.reporter._config)

    def shown(seconds: float, **changes: Any) -> list[str]:
        clock[0] += seconds
        run.terminal.lines.clear()
        reporter.show_prefetch(Progress(**changes))
        return run.terminal.lines

    line = ["newline", "convex-eval: 3 of 63 replies, 16 being made"]
    assert shown(14.9) == []
    assert shown(0.1) == line
    assert shown(14.9) == []
    assert shown(0.2, finished=True) == []
    assert shown(0.0) == line


def test_each_look_at_batches_is_told(run: Run) -> None:
    run.reporter.show_batches(SimpleNamespace(entries=5, processing=3, seconds=150.0))
    assert run.terminal.lines == [
        "newline",
        "convex-eval: 2 of 5 batched replies after 2 min (Ctrl-C is safe: the next run finds them)",
    ]


@pytest.mark.parametrize("capturing", [False, True])
def test_a_stage_s_report_goes_past_pytest_s_capturing(capturing: bool) -> None:
    journal: list[str] = []

    @contextlib.contextmanager
    def disabled() -> Iterator[None]:
        journal.append("open")
        yield
        journal.append("closed")

    def logreport(report: StageReport) -> None:
        assert report.result == replace(LINT, output="")
        assert (report.nodeid, report.location) == (NODEID, ("notes.yaml", 0, "notes"))
        assert (report.outcome, report.duration) == ("passed", 0.0)
        assert report.count_towards_summary is False
        journal.append("told")

    manager = SimpleNamespace(global_and_fixture_disabled=disabled)
    plugins = {"capturemanager": manager} if capturing else {}
    item = SimpleNamespace(
        nodeid=NODEID,
        location=("notes.yaml", 0, "notes"),
        config=SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=plugins.get)),
        ihook=SimpleNamespace(pytest_runtest_logreport=logreport),
    )
    # What a tool printed stays with the item's own report.
    emit_stage(cast(pytest.Item, item), replace(LINT, output="a long text"))
    assert journal == (["open", "told", "closed"] if capturing else ["told"])


def test_a_stage_s_report_crosses_processes_and_no_other_is_taken_for_one() -> None:
    made = stage_report(LINT)
    data = to_serializable(made)
    assert data is not None
    back = from_serializable(json.loads(json.dumps(data)))
    assert back is not None
    assert (back.result, back.nodeid, back.when) == (made.result, NODEID, "stage")
    assert to_serializable(report()) is None
    assert from_serializable({"$report_type": "TestReport"}) is None
    assert from_serializable({}) is None
