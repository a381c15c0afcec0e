"""One pytest invocation with cases in it: what each process keeps between pytest's hooks.

A process is the controller (it talks to the person and writes the record), a worker of xdist (it
evaluates items), or both when there is no xdist. Nothing is made before the first case is known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_convex_eval.cases.collector import CaseFile, CaseItem, Emit, Matrix, Plan
from pytest_convex_eval.generation.models import KEY_VARIABLE, REFERENCE
from pytest_convex_eval.options import Settings
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError, ItemResult, Verdict
from pytest_convex_eval.processes import sweep
from pytest_convex_eval.runs.live import StageReport, stage_line
from pytest_convex_eval.runs.properties import properties

if TYPE_CHECKING:
    from pytest_convex_eval.evaluation import Evaluator
    from pytest_convex_eval.generation.prompts import Arm
    from pytest_convex_eval.runs.record import RunRecord

_RUN_KEY = "convex_eval_run"
_RESULT = "convex_eval_result"
_STOP = "convex_eval_stop"


class EvalSession:
    """The state of one process."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self._session: pytest.Session | None = None
        self._results: list[ItemResult] = []
        self._lost = 0
        self._broken = 0
        self._arms: tuple[Arm, ...] | None = None
        self._matrix: Matrix | None = None
        self._evaluator: Evaluator | None = None
        self._record: RunRecord | None = None
        self._run_id: str | None = getattr(config, "workerinput", {}).get(_RUN_KEY)

    @property
    def is_worker(self) -> bool:
        return hasattr(self.config, "workerinput")

    @property
    def run_folder(self) -> Path:
        if self._run_id is None:
            from pytest_convex_eval.runs.record import new_run_id

            self._run_id = new_run_id()
        return self.settings.runs / self._run_id

    def configure_worker(self, workerinput: dict[str, Any]) -> None:
        """Tells a worker which run it works for."""
        workerinput[_RUN_KEY] = self.run_folder.name

    # Before the first item.

    def check_settings(self) -> None:
        """Raises pytest.UsageError for what would fail every item."""
        settings = self.settings
        if settings.guidelines != ("default",):
            self.arms()
        if settings.mutants and any(model != REFERENCE for model in settings.models):
            raise pytest.UsageError(
                "--convex-mutants: mutants are variations of references; use it with "
                f"--convex-model {REFERENCE}"
            )

    def case_file(self, parent: pytest.Collector, path: Path) -> CaseFile:
        return CaseFile.build(parent, path, matrix=self.matrix(), evaluate=self.evaluate)

    def arms(self) -> tuple[Arm, ...]:
        if self._arms is None:
            from pytest_convex_eval.generation.prompts import load_guidelines

            try:
                self._arms = tuple(load_guidelines(spec) for spec in self.settings.guidelines)
            except ConfigurationError as error:
                raise pytest.UsageError(f"--convex-guidelines: {error}") from None
        return self._arms

    def matrix(self) -> Matrix:
        if self._matrix is None:
            names = [arm.name for arm in self.arms()]
            settings = self.settings
            self._matrix = Matrix(settings.models, names, settings.trials, settings.mutants)
        return self._matrix

    def header(self, nodeids: Iterable[str]) -> list[str]:
        """What will happen, before anything is spent; nothing where there are no cases."""
        count = sum(map(is_case_id, nodeids))
        if not count:
            return []
        settings = self.settings
        models = ", ".join(
            "reference answers" if model == REFERENCE else model for model in settings.models
        )
        if settings.auto_model:
            key = "is set" if settings.asks_models else "is not set"
            models += f" ({KEY_VARIABLE} {key})"
        parts = [models]
        if settings.asks_models:
            trials = f"{settings.trials} {'trial' if settings.trials == 1 else 'trials'}"
            parts += [f"guidelines {', '.join(self.matrix().arms)}", trials]
            parts += [f"store {settings.store_mode}"]
        if settings.mutants:
            parts += ["mutants"]
        parts += ["embedded deployment", f"{count} {'item' if count == 1 else 'items'}"]
        return ["convex-eval: " + " · ".join(parts)]

    def limit_items(self, items: Iterable[pytest.Item]) -> None:
        """Gives each case item its last limit, unless the person set one of their own."""
        cases = [item for item in items if isinstance(item, CaseItem)]
        config = self.config
        if not cases or not config.pluginmanager.has_plugin("timeout"):
            return
        own = config.getoption("timeout") is not None or config.getini("timeout")
        if own or "PYTEST_TIMEOUT" in os.environ:
            return
        from pytest_convex_eval.stages.deadlines import item_limit_seconds

        for item in cases:
            # The signal method ends the item and nothing else; "thread" would end the worker.
            generates = item.plan.model != REFERENCE
            limit = item_limit_seconds(generates=generates)
            item.add_marker(pytest.mark.timeout(limit))

    def before_items(self, session: pytest.Session) -> None:
        """Without xdist: the items are known and nothing has run yet."""
        self._session = session
        config = self.config
        if self.is_worker or config.option.collectonly:
            return
        if session.testsfailed and not config.option.continue_on_collection_errors:
            return
        nodeids = [item.nodeid for item in session.items if is_case_id(item.nodeid)]
        if nodeids:
            self._prepare(nodeids)

    def worker_collected(self, nodeids: Iterable[str]) -> None:
        """Under xdist: a worker knows its items; all know the same ones."""
        nodeids = [nodeid for nodeid in nodeids if is_case_id(nodeid)]
        if nodeids and self._record is None:
            reporter = self._reporter()
            for line in self.header(nodeids):
                if reporter is not None:
                    reporter.ensure_newline()
                    reporter.write_line(line)
            self._prepare(nodeids)

    def _prepare(self, nodeids: Sequence[str]) -> None:
        """Installs what is missing, with progress, and begins the record; once, controller only.

        Raises pytest.exit.Exception where the run can't start.
        """
        from pytest_convex_eval.generation.models import check_key
        from pytest_convex_eval.runs.manifest import manifest
        from pytest_convex_eval.runs.record import RunRecord

        try:
            if self.settings.store_mode != "replay":
                for model in self.settings.models:
                    check_key(model, os.environ)
            sweep()
            bench = self.evaluator().bench()
            paths = sorted({self.config.rootpath / nodeid.split("::")[0] for nodeid in nodeids})
            content = manifest(self.config, self.settings, self.arms(), bench, paths)
            self._record = RunRecord.begin(self.run_folder, content)
        except ConfigurationError as error:
            _exit(str(error))
        except InfrastructureError as error:
            _exit(f"{error}\n{error.detail}".rstrip())
        except OSError as error:
            _exit(f"can't write the run record: {error}")

    # Items.

    def evaluator(self) -> Evaluator:
        if self._evaluator is None:
            from pytest_convex_eval.evaluation import Evaluator

            self._evaluator = Evaluator(self.settings, self.arms(), self.run_folder, self._progress)
        return self._evaluator

    def evaluate(self, plan: Plan, emit: Emit) -> ItemResult:
        return self.evaluator().evaluate(plan, emit)

    def annotate(
        self,
        item: CaseItem,
        report: pytest.TestReport,
        excinfo: pytest.ExceptionInfo[BaseException] | None,
    ) -> None:
        """Puts the item's result on its report, the one channel that crosses processes.

        pytest and JUnit call a report an error, and not a failure, by its phase alone; so what is
        not the model's fault is reported as the set-up's.
        """
        result = item.result
        if result is not None:
            # One ASCII string: xdist ends a whole run at any value that it can't serialise.
            setattr(report, _RESULT, json.dumps(result.to_json()))
            item.user_properties.extend(properties(result))
            report.user_properties = list(item.user_properties)
        if report.failed and (result is None or result.verdict is Verdict.ERROR):
            report.when = "setup"
        if excinfo is not None and isinstance(excinfo.value, ConfigurationError):
            setattr(report, _STOP, str(excinfo.value))

    # Reports, on the controller.

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Counts broken cases; on xdist's controller these are the workers' reports."""
        self._broken += report.failed and report.nodeid.endswith((".yaml", ".yml"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Every report, on its way to the terminal; this object is registered for this hook."""
        if self.is_worker:
            return (yield)
        if isinstance(report, StageReport):
            yield
            self._show_stage(report)
            return None
        self._take(report)
        return (yield)

    def _take(self, report: pytest.TestReport) -> None:
        worker = str(getattr(report, "worker_id", "master"))
        encoded = getattr(report, _RESULT, None)
        if encoded is not None:
            result = ItemResult.from_json(json.loads(encoded))
            self._results.append(result)
            if self._record is not None:
                self._record.add(report.nodeid, result, worker=worker)
        elif report.failed and is_case_id(report.nodeid):
            self._lost += 1
            if self._record is not None:
                self._record.add(report.nodeid, _lost(report), worker=worker)
        reason = getattr(report, _STOP, None)
        if reason is not None:
            self._stop(f"convex-eval: {reason}")

    def status(self, report: object) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """The word of a failed item names the stage: FAILED[typecheck]."""
        encoded = getattr(report, _RESULT, None)
        if encoded is None or not isinstance(report, pytest.TestReport) or not report.failed:
            return None
        result = ItemResult.from_json(json.loads(encoded))
        stage = f"[{result.stage}]" if result.stage else ""
        if result.verdict is Verdict.ERROR:
            return "error", "E", (f"ERROR{stage}", {"red": True})
        return "failed", "F", (f"FAILED{stage}", {"red": True})

    def write_summary(self, reporter: pytest.TerminalReporter) -> None:
        """One section at the end; nothing where no item ended."""
        if not self._results and not self._lost:
            return
        from pytest_convex_eval.runs.summary import summary_lines

        reporter.write_sep("=", "convex-eval")
        for line in summary_lines(self._results, lost=self._lost, record=self._shown_record()):
            reporter.write_line(line.text, **({line.colour: True} if line.colour else {}))

    def finish(self, session: pytest.Session) -> None:
        """The end of the session: ends what was started, closes the record."""
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None
        if self.is_worker:
            return
        if self._broken and self._record is None:
            # As without xdist, whose controller takes broken files for failed tests.
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        if self._record is not None:
            counts: dict[str, int] = {
                verdict.value: sum(result.verdict is verdict for result in self._results)
                for verdict in Verdict
            }
            outcome = {**counts, "lost": self._lost, "exit_status": int(session.exitstatus)}
            self._record.finish(outcome)
        self.sweep()

    def sweep(self) -> None:
        """Ends the processes of workers that are gone."""
        if self._record is not None:
            sweep()

    def _show_stage(self, report: StageReport) -> None:
        reporter = self._reporter()
        if reporter is None:
            return
        # The terminal keeps every report; --durations would list this one beside its item's own.
        kept = reporter.stats.get("", [])
        if kept and kept[-1] is report:
            kept.pop()
        if reporter.verbosity < 1:
            return
        text, colour = stage_line(report)
        reporter.ensure_newline()
        reporter.write(text, flush=True, **{colour: True})
        # What pytest prints next begins a new line, as after a name.
        reporter.currentfspath = -2

    def _stop(self, reason: str) -> None:
        """No further item starts; those that run end and are reported."""
        # xdist ignores the session's own flag.
        scheduler = self.config.pluginmanager.get_plugin("dsession")
        target = scheduler if scheduler is not None else self._session
        if target is not None:
            target.shouldstop = reason

    def _shown_record(self) -> Path | None:
        if self._record is None:
            return None
        here = self.config.invocation_params.dir
        folder = self.run_folder
        return folder.relative_to(here) if folder.is_relative_to(here) else folder

    def _reporter(self) -> pytest.TerminalReporter | None:
        # With -p no:terminal there is none.
        reporter: pytest.TerminalReporter | None = self.config.pluginmanager.get_plugin(
            "terminalreporter"
        )
        return reporter

    def _progress(self, line: str) -> None:
        reporter = self._reporter()
        if reporter is not None and not self.is_worker:
            reporter.ensure_newline()
            reporter.write_line(f"convex-eval: {line}")


def _exit(message: str) -> NoReturn:
    pytest.exit(f"convex-eval: {message}", returncode=pytest.ExitCode.USAGE_ERROR)


def is_case_id(nodeid: str) -> bool:
    return nodeid.split("::")[0].endswith((".yaml", ".yml")) and "::" in nodeid


def _lost(report: pytest.TestReport) -> ItemResult:
    """The result of an item whose process ended under it, or which never came to a result."""
    crash = getattr(report.longrepr, "reprcrash", None)
    path, _, name = report.nodeid.partition("::")
    folders = Path(path).parts
    model = name.partition("[")[2].removesuffix("]")
    return ItemResult(
        case=Path(path).stem,
        category=folders[-3] if len(folders) > 2 else "",
        difficulty=folders[-2] if len(folders) > 1 else "",
        model=model,
        arm="",
        trial=1,
        verdict=Verdict.ERROR,
        message=crash.message if crash is not None else "the item ended without a result",
    )
