"""An evaluator without its machinery: real plans, replies and stages' runner, fake tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.deployment.backends import Backend
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    Deployed,
)
from pytest_convex_eval.evaluation import evaluator as evaluation
from pytest_convex_eval.evaluation.evaluator import Evaluator
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.generation.built_in import built_in_vendors
from pytest_convex_eval.options import Settings
from pytest_convex_eval.outcomes import (
    REFERENCE,
    Finding,
    ItemResult,
    StageName,
    StageResult,
)
from pytest_convex_eval.stages.cache import Cached
from pytest_convex_eval.stages.protocol import Report, Stage, StageContext, Subject, Tools
from pytest_convex_eval.stages.registry import Selection, select
from pytest_convex_eval.stages.runner import run_stages
from pytest_convex_eval.stages.table import STAGES
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.sharing import WarmTools

Raised = type[BaseException] | BaseException
Act = Callable[[StageContext], Report]


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """The settings of a run without options, with changes."""

    def make(**changes: Any) -> Settings:
        named = [] if "asked" in changes else list(changes.get("models", ()))
        return Settings(
            **{
                "asked": tuple(
                    built_in_vendors().model(name) for name in named if name != REFERENCE
                ),
                "case_roots": (tmp_path / "cases",),
                "models": ("reference",),
                "auto_model": False,
                "prices": (),
                "trials": 1,
                "guidelines": ("default",),
                "guidelines_tokens": 50_000,
                "backend": Backend(),
                "stages": STAGES,
                "mutants": False,
                "lint_engine": "oxlint",
                "lint_profile": "recommended",
                "store": tmp_path / "generations",
                "store_mode": "auto",
                "runs": tmp_path / "runs",
                "keep": "failed",
                "max_tokens": 64_000,
                "concurrency": 16,
                "budget": None,
                "strategy": "direct",
                "repair": 0,
                "batch": False,
                "no_cache": False,
                "baseline": None,
                "margin": 0.05,
                "gate": "suite",
                "inconclusive": "fail",
                **changes,
            }
        )

    return make


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., Plan]:
    """A plan for the case `fundamentals/hard/notes`; `keys` change the case."""

    def make(
        model: str = "reference", arm: str = "default", trial: int = 1, *,
        name: str = "notes", mutant: str | None = None, **keys: Any,
    ) -> Plan:  # fmt: skip
        case = {
            "summary": "A table of notes",
            "prompt": "Write a table of notes.",
            "reference": {"package.json": "{}", "convex/a.ts": "export {};\n"},
            **keys,
        }
        path = tmp_path / "cases" / "fundamentals" / "hard" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(case, sort_keys=False))
        loaded = load_case(path, path.name)
        chosen = [one for one in loaded.case.mutants if one.name == mutant]
        return Plan(loaded, model, arm, trial, chosen[0] if chosen else None)

    return make


@dataclass
class FakeDeployment:
    """Notes what is done with it; each of `fails` raises what it maps to."""

    number: int
    journal: list[str]
    fails: dict[str, Raised] = field(default_factory=dict)
    living: bool = True

    def _done(self, what: str) -> None:
        self.journal.append(f"{what} {self.number}")
        if what in self.fails:
            raise self.fails[what]

    def start(self) -> None:
        self._done("start")

    def reset(self) -> None:
        self._done("reset")

    def release(self) -> None:
        self._done("release")

    def close(self) -> None:
        self._done("close")
        self.living = False

    def alive(self) -> bool:
        return self.living

    def deployed(self) -> Deployed:
        return Deployed()


@dataclass
class FakeStage(Stage):
    """A stage that does what it is told."""

    name: StageName
    act: Act
    order: int = 0
    stands_on: tuple[StageName, ...] = ()
    deadline_seconds: float = 1.0

    def check(self, context: StageContext) -> Report:
        return self.act(context)


@dataclass
class Workbench:
    """What the evaluator of a test is made of, and what it did, in order."""

    journal: list[str] = field(default_factory=list)
    starts: list[dict[str, Raised]] = field(default_factory=list)
    """What the next deployments fail with; those after them with nothing."""
    deployments: list[FakeDeployment] = field(default_factory=list)
    acts: dict[StageName, Act] = field(default_factory=dict)
    toolchain_fails: list[BaseException] = field(default_factory=list)
    emitted: list[StageResult] = field(default_factory=list)
    cached: list[StageName] = field(default_factory=list)
    """The stages that look up what they said before."""

    def stage(self, name: StageName, act: Act | None = None) -> None:
        """From now on there is a stage `name`, which passes unless `act` says otherwise."""
        self.acts[name] = act or (lambda _: Report())

    def failing(self, name: StageName, *findings: Finding) -> None:
        self.stage(name, lambda _: Report(findings or (Finding(f"{name}/wrong", "It is wrong."),)))

    def raising(self, name: StageName, error: Raised) -> None:
        def act(context: StageContext) -> Report:
            raise error

        self.stage(name, act)

    def laying_out(self, name: StageName = "format") -> None:
        """A stage after which the item's workspace is on disk."""

        def act(context: StageContext) -> Report:
            workspace = context.folder / "workspace"
            workspace.mkdir(exist_ok=True)
            for path, text in context.subject.answer.items():
                (workspace / path).parent.mkdir(parents=True, exist_ok=True)
                (workspace / path).write_text(text)
            return Report()

        self.stage(name, act)

    def deploying(self, name: StageName = "deploy") -> None:
        """A stage that takes the deployment."""

        def act(context: StageContext) -> Report:
            deployment = context.tools.deployment()
            self.journal.append(f"use {cast(FakeDeployment, deployment).number}")
            return Report()

        self.stage(name, act)

    def new_deployment(self) -> Deployment:
        fails = self.starts.pop(0) if self.starts else {}
        made = FakeDeployment(len(self.deployments) + 1, self.journal, fails)
        self.deployments.append(made)
        return cast(Deployment, made)


@pytest.fixture
def workbench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workbench:
    """The evaluator's tools, replaced by ones that only note what is asked of them."""
    bench = Workbench()
    journal = bench.journal

    @dataclass(frozen=True)
    class Installed:
        fingerprint: str = "f1"
        node: Path = Path("/node")

    def install_toolchain(cache: Path, *, progress: Callable[[str], None]) -> Toolchain:
        journal.append(f"toolchain {cache.name}")
        progress("toolchain there")
        if bench.toolchain_fails:
            raise bench.toolchain_fails.pop(0)
        return cast(Toolchain, Installed())

    @dataclass(frozen=True)
    class Packages:
        cache: Path
        toolchain: Toolchain

        def default_set(self, *, progress: Callable[[str], None]) -> None:
            assert self.toolchain.fingerprint == "f1"
            journal.append(f"packages {self.cache.name}")
            progress("packages there")

    def make_ready(
        backend: Backend, *, node: Path, cache: Path, progress: Callable[[str], None]
    ) -> Callable[[], Deployment]:
        journal.append(f"backend {backend.kind} {node} {cache.name}")
        progress("backend there")
        return bench.new_deployment

    def install_eslint(
        cache: Path, toolchain: Toolchain, *, progress: Callable[[str], None]
    ) -> str:
        progress("eslint there")
        return f"eslint of {cache.name} {toolchain.fingerprint}"

    @dataclass(frozen=True)
    class Verdicts:
        folder: Path

        def close(self) -> None:
            journal.append(f"close {self.folder.name}")

    def run(
        subject: Subject,
        tools: Tools,
        folder: Path,
        selection: Selection,
        emit: Callable[[StageResult], None],
        *,
        enough: Callable[[Sequence[StageResult]], bool],
    ) -> tuple[StageResult, ...]:
        bench.cached = [stage.name for stage in selection.running if isinstance(stage, Cached)]
        stages = [FakeStage(name, bench.acts[name]) for name in STAGES if name in bench.acts]
        counting = [stage.name for stage in stages if stage.name in selection.counting]
        return run_stages(subject, tools, folder, select(counting, stages), emit, enough=enough)

    monkeypatch.setattr(evaluation, "default_cache", lambda: tmp_path / "tools")
    monkeypatch.setattr(evaluation, "install_toolchain", install_toolchain)
    monkeypatch.setattr(evaluation, "DependencyStore", Packages)
    monkeypatch.setattr(evaluation, "make_ready", make_ready)
    monkeypatch.setattr(evaluation, "install_eslint", install_eslint)
    monkeypatch.setattr(evaluation, "VerdictCache", Verdicts)
    monkeypatch.setattr(evaluation, "run_stages", run)
    return bench


@dataclass(frozen=True)
class Evaluating:
    """An evaluator, and what it told."""

    evaluator: Evaluator
    bench: Workbench
    progress: list[str]

    def __call__(self, plan: Plan) -> ItemResult:
        def emit(result: StageResult) -> None:
            self.bench.emitted.append(result)

        return self.evaluator.evaluate(plan, emit)


@pytest.fixture
def evaluating(
    workbench: Workbench, make_settings: Callable[..., Settings], tmp_path: Path
) -> Iterator[Callable[..., Evaluating]]:
    """Makes evaluators, from changes of the settings; they are closed with the test."""
    made: list[Evaluating] = []

    def close_tools() -> None:
        workbench.journal.append("close tools")

    def tools(toolchain: Toolchain) -> WarmTools:
        workbench.journal.append(f"tools {toolchain.fingerprint}")
        return WarmTools(cast(Any, None), cast(Any, None), close_tools)

    def make(**changes: Any) -> Evaluating:
        progress: list[str] = []
        settings = make_settings(**changes)
        evaluator = Evaluator(
            settings,
            [Arm("default", "Be brief.")],
            tmp_path / "runs" / "r1",
            select(settings.stages),
            progress.append,
            built_in_vendors(),
            tools,
        )
        made.append(Evaluating(evaluator, workbench, progress))
        return made[-1]

    yield make
    for one in made:
        one.evaluator.close()
