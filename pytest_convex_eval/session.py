"""One pytest invocation with cases in it: what each process keeps between pytest's hooks.

Nothing is made before the first case is known. `xdist.py` says which processes there are.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_convex_eval.cases.collector import (
    CaseFile,
    CaseItem,
    case_ids,
    is_case_file,
)
from pytest_convex_eval.cases.plan import Emit, Matrix, Plan
from pytest_convex_eval.generation.built_in import built_in
from pytest_convex_eval.generation.model_choice import Vendors
from pytest_convex_eval.generation.vendor import Vendor
from pytest_convex_eval.leftovers import scratch_name, sweep
from pytest_convex_eval.options import Settings
from pytest_convex_eval.outcomes import (
    REFERENCE,
    CaseError,
    ConfigurationError,
    InfrastructureError,
    ItemResult,
    StageName,
)
from pytest_convex_eval.runs.reporter import RunReporter
from pytest_convex_eval.stages.table import STAGES
from pytest_convex_eval.text import shown
from pytest_convex_eval.xdist import WorkerInput, named_on_command_line, path_of

if TYPE_CHECKING:
    from pytest_convex_eval.comparison.gating import GateKeeper
    from pytest_convex_eval.evaluation.evaluator import Evaluator
    from pytest_convex_eval.generation.arms import Arm
    from pytest_convex_eval.runs.record import RunRecord
    from pytest_convex_eval.stages.protocol import Stage
    from pytest_convex_eval.stages.registry import Selection
    from pytest_convex_eval.toolchain.model import Toolchain
    from pytest_convex_eval.toolchain.sharing import Host, WarmTools

_LONGEST_ADDRESS = 100


class EvalSession:
    """The state of one process."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        reporter: RunReporter | None,
        vendors: Vendors,
        stages: Sequence[Stage] | None = None,
    ) -> None:
        """`reporter` is that of the controller; a worker has none. `stages` are all that there
        are; None: those of this package."""
        self.vendors = vendors
        self.config = config
        self.reporter = reporter
        self.settings = settings
        self._stages = stages
        self._selection: Selection | None = None
        self._arms: tuple[Arm, ...] | None = None
        self._matrix: Matrix | None = None
        self._evaluator: Evaluator | None = None
        given = WorkerInput.of(config)
        self._run_id: str | None = None if given is None else given.run_id
        self._shared_tools: str | None = None if given is None else given.tools
        self._host: Host | None = None
        self._plans: dict[str, Plan] = {}
        self._read: set[str] = set()

    @property
    def run_folder(self) -> Path:
        if self._run_id is None:
            from pytest_convex_eval.runs.record import new_run_id

            self._run_id = new_run_id()
        return self.settings.runs / self._run_id

    def configure_worker(self, workerinput: dict[str, Any]) -> None:
        """Tells a worker which run it works for, and where the tools are that it shares."""
        self._shared_tools = self._shared_tools or _new_address()
        WorkerInput(self.run_folder.name, self._shared_tools).give(workerinput)

    # Before the first item.

    def check_settings(self) -> None:
        """Raises pytest.UsageError for what would fail every item."""
        settings = self.settings
        if settings.guidelines != ("default",):
            self.arms()
        for model in settings.asked if settings.batch else ():
            if not self.vendors.of(model).has_batches:
                raise pytest.UsageError(
                    f"--convex-batch: {self.vendors.of(model).name}, whose model {model.name} is, "
                    "has no batches here"
                )
        if settings.mutants and set(settings.models) != {REFERENCE}:
            raise pytest.UsageError(
                "--convex-mutants: mutants are variations of references; use it with "
                f"--convex-model {REFERENCE}"
            )

    def gate_keeper(self, reporter: RunReporter) -> GateKeeper | None:
        """What holds the run against its baseline, where there is one. Raises pytest.UsageError for
        a baseline that is no run: before anything is spent."""
        settings = self.settings
        if settings.baseline is None:
            return None
        from pytest_convex_eval.comparison.gating import GateKeeper
        from pytest_convex_eval.runs import RunError, find_run

        try:
            baseline = find_run(settings.baseline, settings.runs)
        except RunError as error:
            raise pytest.UsageError(f"--convex-baseline: {error}") from None
        return GateKeeper(
            self.config,
            reporter,
            baseline,
            margin=settings.margin / 100,
            inconclusive=settings.inconclusive,
            decides=settings.gate == "suite",
        )

    def case_file(self, parent: pytest.Collector, path: Path) -> CaseFile:
        return CaseFile.build(
            parent, path, matrix=self.matrix(), stages=self.stage_names, evaluate=self.evaluate
        )

    @property
    def stage_names(self) -> tuple[StageName, ...]:
        """All that there are, in order."""
        return STAGES if self._stages is None else tuple(stage.name for stage in self._stages)

    def selection(self) -> Selection:
        """The stages that run."""
        if self._selection is None:
            from pytest_convex_eval.stages.registry import select

            self._selection = select(self.settings.stages, self._stages)
        return self._selection

    def arms(self) -> tuple[Arm, ...]:
        if self._arms is None:
            from pytest_convex_eval.generation.arms import load_guidelines

            try:
                self._arms = tuple(
                    load_guidelines(spec, self.settings.guidelines_tokens)
                    for spec in self.settings.guidelines
                )
            except ConfigurationError as error:
                raise pytest.UsageError(f"--convex-guidelines: {error}") from None
        return self._arms

    def matrix(self) -> Matrix:
        if self._matrix is None:
            names = [arm.name for arm in self.arms()]
            settings = self.settings
            self._matrix = Matrix(
                settings.models, names, settings.trials, settings.mutants, settings.on_disk
            )
        return self._matrix

    def header(self, nodeids: Sequence[str]) -> list[str]:
        """What will happen to our items, before anything is spent; nothing where there are none."""
        count = len(nodeids)
        if not count:
            return []
        settings = self.settings
        shown = {REFERENCE: "reference answers"}
        shown |= {model.name: model.shown for model in settings.asked}
        shown |= {one.name: f"{one.name} (answers on disk)" for one in settings.answers}
        models = ", ".join(shown[model] for model in settings.models)
        if settings.auto_model:
            key = "is set" if settings.asks_models else "is not set"
            models += f" ({self.vendors.default_keys} {key})"
        parts = [models]
        if settings.asks_models:
            trials = f"{settings.trials} {'trial' if settings.trials == 1 else 'trials'}"
            parts += [f"guidelines {', '.join(self.matrix().arms)}", trials]
            parts += [f"store {settings.store_mode}"]
            if settings.batch:
                parts += ["batches"]
            if settings.strategy != "direct":
                parts += [settings.strategy]
            if settings.repair:
                parts += [
                    f"{settings.repair} {'round' if settings.repair == 1 else 'rounds'} of repair"
                ]
            if settings.budget is not None:
                parts += [f"budget ${settings.budget:g}"]
        if settings.mutants:
            parts += ["mutants"]
        parts += [settings.backend.shown, f"{count} {'item' if count == 1 else 'items'}"]
        lines = [" · ".join(parts)]
        if settings.asks_models:
            lines += [arm.shown for arm in self.arms() if arm.shown is not None]
        return [f"convex-eval: {line}" for line in lines]

    def limit_items(self, items: Iterable[pytest.Item]) -> None:
        """Gives each case item its last limit, unless the person set one of their own."""
        cases = [item for item in items if isinstance(item, CaseItem)]
        config = self.config
        if not cases or config.option.collectonly or not config.pluginmanager.has_plugin("timeout"):
            return
        own = config.getoption("timeout") is not None or config.getini("timeout")
        if own or "PYTEST_TIMEOUT" in os.environ:
            return
        from pytest_convex_eval.evaluation.limits import item_limit_seconds

        seconds = self.selection().deadline_seconds
        for item in cases:
            # The signal method ends the item and nothing else; "thread" would end the worker.
            generates = self.settings.is_asked(item.plan.model)
            rounds = self.settings.repair if generates else 0
            limit = item_limit_seconds(seconds, generates=generates) * (1 + rounds)
            item.add_marker(pytest.mark.timeout(limit))

    def before_items(self, session: pytest.Session) -> None:
        """Prepares the run without xdist: the items are known and nothing has run yet."""
        if self.reporter is None or self.config.option.collectonly:
            return
        if session.testsfailed and not self.config.option.continue_on_collection_errors:
            return
        if nodeids := case_ids(session.items):
            cases = (item for item in session.items if isinstance(item, CaseItem))
            self._plans = {item.nodeid: item.plan for item in cases}
            self._prepare(nodeids, self.reporter)

    def worker_collected(self, nodeids: Iterable[str]) -> None:
        """Prepares the run under xdist: a worker knows its items, and all know the same ones."""
        if self.reporter is None or self.reporter.begun:
            return
        root, roots = self.config.rootpath, self.settings.case_roots
        named = named_on_command_line(self.config)
        # Other plugins collect YAML files too.
        ours = [nodeid for nodeid in nodeids if is_case_file(path_of(nodeid, root), roots, named)]
        if ours:
            for line in self.header(ours):
                self.reporter.write(line)
            self._prepare(ours, self.reporter)

    def _prepare(self, nodeids: Sequence[str], reporter: RunReporter) -> None:
        """Installs what is missing, with progress, and begins the record; once, controller only.

        Raises pytest.exit.Exception where the run can't start.
        """
        from pytest_convex_eval.runs.manifest import manifest

        try:
            if self.settings.store_mode != "replay":
                for model in self.settings.asked:
                    self.vendors.check_askable(model, os.environ)
            sweep()
            if self.settings.answers:
                self.evaluator().replies.check_answers()
            tools = self.evaluator().tools()
            if self._shared_tools is not None:
                self._host = _hosted(self._shared_tools, tools.toolchain)
            paths = sorted({path_of(nodeid, self.config.rootpath) for nodeid in nodeids})
            packages = self.vendors.packages(self.settings.asked)
            content = manifest(self.config, self.settings, self.arms(), tools, paths, packages)
            reporter.begin(self._record(content), nodeids, self._unjudged)
            if self.settings.asks_models:
                replies = self.evaluator().replies
                if said := replies.plan_ahead(self._planned(nodeids)):
                    self._progress(said)
                if self.settings.batch:
                    replies.make_batches(reporter.show_batches)
                else:
                    replies.prefetch(reporter.show_prefetch)
        except ConfigurationError as error:
            _exit(str(error))
        except InfrastructureError as error:
            _exit(f"{error}\n{error.detail}".rstrip())
        except OSError as error:
            _exit(f"can't prepare the run: {error}")

    def _record(self, content: dict[str, Any]) -> RunRecord:
        from pytest_convex_eval.runs.record import RunRecord

        try:
            return RunRecord.begin(self.run_folder, content)
        except OSError as error:
            _exit(f"can't write the run record: {error}")

    def _planned(self, nodeids: Iterable[str]) -> list[Plan]:
        """What the items of `nodeids` stand for, in that order."""
        plans = (self._plan(nodeid) for nodeid in nodeids)
        return [plan for plan in plans if plan is not None]

    def _plan(self, nodeid: str) -> Plan | None:
        """What an item stands for. xdist's controller has ids alone, and no case in its memory: a
        file is read when one of its items is asked for. Raises CaseError and OSError."""
        from pytest_convex_eval.cases.loader import load_case

        file = nodeid.split("::")[0]
        if nodeid not in self._plans and file not in self._read:
            self._read.add(file)
            loaded = load_case(path_of(file, self.config.rootpath), file, self.stage_names)
            for bracket, plan in self.matrix().plans(loaded):
                self._plans[f"{file}::{loaded.name}[{bracket}]"] = plan
        return self._plans.get(nodeid)

    def _unjudged(self, nodeid: str) -> ItemResult | None:
        """The result of an item that was lost; None where its file can't be read any more."""
        try:
            plan = self._plan(nodeid)
        except (CaseError, OSError):
            return None
        return None if plan is None else plan.unjudged()

    # Items.

    def evaluator(self) -> Evaluator:
        if self._evaluator is None:
            from pytest_convex_eval.evaluation.evaluator import Evaluator

            self._evaluator = Evaluator(
                self.settings,
                self.arms(),
                self.run_folder,
                self.selection(),
                self._progress,
                self.vendors,
                self._tools,
            )
        return self._evaluator

    def _tools(self, toolchain: Toolchain) -> WarmTools:
        from pytest_convex_eval.toolchain.sharing import own_tools, shared_tools

        if self._shared_tools is not None and (tools := shared_tools(self._shared_tools)):
            return tools
        return own_tools(toolchain)

    def evaluate(self, plan: Plan, emit: Emit) -> ItemResult:
        """The result of `plan`; an item that there is no money for is skipped."""
        from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError

        try:
            return self.evaluator().evaluate(plan, emit)
        except BudgetExhaustedError as error:
            pytest.skip(f"not asked: {error}")

    def close(self) -> None:
        """Ends what was started."""
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None
        if self._host is not None:
            self._host.close()
            self._host = None

    def _progress(self, line: str) -> None:
        if self.reporter is not None:
            self.reporter.write(f"convex-eval: {line}")


def known_vendors(config: pytest.Config) -> Vendors:
    """The vendors of this package and of other plugins. Raises pytest.UsageError."""
    found: list[Vendor | Sequence[Vendor]] = config.hook.pytest_convex_eval_provider(config=config)
    others = [[one] if isinstance(one, Vendor) else one for one in found]
    vendors = list(itertools.chain.from_iterable(others))
    for odd in vendors:
        if not isinstance(odd, Vendor):
            raise pytest.UsageError(f"pytest_convex_eval_provider: {odd!r} is no Vendor")
    try:
        return Vendors([*built_in(), *vendors])
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


def known_stages(config: pytest.Config) -> tuple[Stage, ...] | None:
    """The stages of this package with those of other plugins; None where no plugin adds any, since
    stages are not light to import. Raises pytest.UsageError for stages that can't be together."""
    hook = config.hook.pytest_convex_eval_stage
    if not hook.get_hookimpls():
        return None
    from pytest_convex_eval.stages.protocol import Stage
    from pytest_convex_eval.stages.registry import together

    added: list[Stage] = []
    for given in hook(config=config):
        for stage in given if isinstance(given, Sequence) else [given]:
            if not isinstance(stage, Stage):
                raise pytest.UsageError(f"pytest_convex_eval_stage: {stage!r} is no Stage")
            added.append(stage)
    try:
        return together(added)
    except ConfigurationError as error:
        raise pytest.UsageError(f"pytest_convex_eval_stage: {error}") from None


def _new_address() -> str:
    """The address of a socket that nobody has; nothing is made yet, for there may be no cases."""
    name = f"{scratch_name('tools')}/socket"
    address = Path(tempfile.gettempdir(), name)
    # Systems take some hundred bytes for a socket's address.
    return str(address) if len(bytes(address)) < _LONGEST_ADDRESS else f"/tmp/{name}"


def _hosted(address: str, toolchain: Toolchain) -> Host | None:
    """The tools that workers share; without, each has its own."""
    from pytest_convex_eval.toolchain.sharing import Host

    try:
        return Host(Path(address), toolchain)
    except OSError:
        return None


def _exit(message: str) -> NoReturn:
    lines = f"convex-eval: {message}".splitlines()
    pytest.exit("\n".join(map(shown, lines)), returncode=pytest.ExitCode.USAGE_ERROR)
