"""Takes one plan to its result: reply, answer, stages, verdict, and what is kept of it.

One `Evaluator` serves a process; it keeps the tools warm between items.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_convex_eval.behaviour.failures import Location
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.backends import make_ready
from pytest_convex_eval.evaluation.deployments import KeptDeployment
from pytest_convex_eval.evaluation.designs import differences
from pytest_convex_eval.evaluation.mutants import mutant_judged
from pytest_convex_eval.evaluation.replies import ItemReply, Replies, UnansweredError
from pytest_convex_eval.generation.arms import Arm
from pytest_convex_eval.generation.model_choice import Vendors
from pytest_convex_eval.leftovers import new_scratch
from pytest_convex_eval.outcomes import (
    Generated,
    InfrastructureError,
    ItemResult,
    Round,
    StageResult,
    Verdict,
    interrupt_before,
)
from pytest_convex_eval.places import Place
from pytest_convex_eval.runs.failure import stage_lines
from pytest_convex_eval.runs.record import ARTEFACTS, keep_workspace
from pytest_convex_eval.stages.cache import VerdictCache
from pytest_convex_eval.stages.protocol import Subject, Tools
from pytest_convex_eval.stages.registry import Selection
from pytest_convex_eval.stages.runner import judge, run_stages
from pytest_convex_eval.toolchain.lint.eslint import install_eslint
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.toolchain.sharing import WarmTools, own_tools

if TYPE_CHECKING:
    from pytest_convex_eval.cases.plan import Emit, Plan
    from pytest_convex_eval.options import Settings


class Evaluator:
    """Evaluates plans one after another. `close` ends what was started."""

    def __init__(
        self,
        settings: Settings,
        arms: Sequence[Arm],
        run_folder: Path,
        selection: Selection,
        progress: Callable[[str], None],
        vendors: Vendors,
        tools: Callable[[Toolchain], WarmTools] = own_tools,
    ) -> None:
        """`selection` are the stages that run; `tools` gives what checks code without starting
        anew."""
        self._settings = settings
        self._selection = selection
        self._run_folder = run_folder
        self._progress = progress
        self._new_warm = tools
        self.replies = Replies(settings, arms, run_folder, vendors)
        self._deployments: KeptDeployment | None = None
        self._tools: Tools | None = None
        self._verdicts: VerdictCache | None = None
        self._evaluates = False

    def tools(self) -> Tools:
        """The tools, installed when they are not there yet. Raises InfrastructureError."""
        if self._tools is None:
            cache = default_cache()
            toolchain = install_toolchain(cache, progress=self._progress)
            dependencies = DependencyStore(cache, toolchain)
            dependencies.default_set(progress=self._progress)
            compile_cache = cache / "compile-cache" / toolchain.fingerprint
            compile_cache.mkdir(parents=True, exist_ok=True)
            self._deployments = KeptDeployment(
                make_ready(
                    self._settings.backend,
                    node=toolchain.node,
                    cache=cache,
                    progress=self._progress,
                )
            )
            self._tools = Tools(
                toolchain,
                dependencies,
                self._deployments.empty,
                self._settings.lint_profile,
                compile_cache,
                install_eslint(cache, toolchain, progress=self._progress)
                if self._settings.lint_engine == "eslint"
                else None,
                self._new_warm(toolchain),
            )
            if not self._settings.no_cache:
                self._verdicts = VerdictCache(cache / "verdicts")
                self._selection = self._selection.keeping(self._verdicts)
        return self._tools

    def close(self) -> None:
        if self._deployments is not None:
            self._deployments.close()
        if self._tools is not None and self._tools.warm is not None:
            self._tools.warm.close()
        if self._verdicts is not None:
            self._verdicts.close()
        self.replies.close()

    def evaluate(self, plan: Plan, emit: Emit) -> ItemResult:
        """The result of `plan`.

        Raises ConfigurationError for what must stop the run, and BudgetExhaustedError when there
        is no money left for the item.
        """
        rounds: list[Round] = []
        generated = Generated()
        try:
            reply = self.replies.reply(plan)
            generated = reply.generated
            result = self._checked(plan, reply, emit)
            while result.verdict is Verdict.FAILED and len(rounds) < self._repairs(plan):
                rounds.append(Round(result.verdict, result.stage, result.code))
                failed = (stage for stage in result.stages if stage.errors)
                findings = "\n".join(line for stage in failed for line in stage_lines(stage))
                reply = self.replies.repaired(plan, reply, findings, len(rounds))
                generated = reply.generated
                result = self._checked(plan, reply, emit)
        except InfrastructureError as error:
            if interrupt := interrupt_before(error):
                raise interrupt from None
            # What was paid for before is told all the same.
            message = _with_detail("generation", error)
            if isinstance(error, UnansweredError):
                generated = error.generated
            result = replace(plan.unjudged(message), generation=generated)
        return replace(result, rounds=tuple(rounds))

    def _repairs(self, plan: Plan) -> int:
        return self._settings.repair if self._settings.is_asked(plan.model) else 0

    def _checked(self, plan: Plan, reply: ItemReply, emit: Emit) -> ItemResult:
        case = plan.loaded.case
        subject = Subject(
            reply.answer,
            case.files,
            reply.remarks,
            case.expect,
            case.lint,
            case.behaviour,
            case.env,
            _places(plan),
            None if reply.design is None else partial(differences, reply.design),
        )
        # Outside any project: module resolution walks up the folders.
        folder = new_scratch("item")
        try:
            try:
                tools = self.tools()
                self._start_ahead()
            except InfrastructureError as error:
                return plan.unjudged(_with_detail("toolchain", error))
            enough = partial(_caught, plan)
            results = run_stages(subject, tools, folder, self._selection, emit, enough=enough)
            result = _judged(plan, results, reply.generated)
            kept = self._keep(plan, result, folder / "workspace")
            return replace(result, artefacts=_shown(kept) if kept else None)
        finally:
            if self._deployments is not None:
                self._deployments.release()
            shutil.rmtree(folder, ignore_errors=True)

    def _start_ahead(self) -> None:
        """Starts the first deployment while the first item is in stages that need none. One at a
        URL is locked when it starts: that is left until it is needed."""
        if self._evaluates or self._deployments is None:
            return
        self._evaluates = True
        if self._settings.backend.kind != "url" and self._selection.deploys:
            self._deployments.start_ahead()

    def _keep(self, plan: Plan, result: ItemResult, workspace: Path) -> Path | None:
        keep = self._settings.keep
        wanted = keep == "all" or (keep == "failed" and result.verdict is not Verdict.PASSED)
        if not wanted or not workspace.exists():
            return None
        loaded = plan.loaded
        name = f"{plan.model}-{plan.arm}-{plan.trial}"
        if plan.mutant is not None:
            name = f"mutant-{plan.mutant.name}"
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        target = (
            self._run_folder / ARTEFACTS / loaded.category / loaded.difficulty / loaded.name / safe
        )
        with contextlib.suppress(OSError):
            keep_workspace(workspace, target)
            return target
        return None


def _shown(path: Path) -> str:
    """`path` as a person would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _places(plan: Plan) -> Callable[[Location], Place]:
    """Where things stand in the plan's case file."""
    loaded = plan.loaded
    path = _shown(loaded.path)

    def place(location: Location) -> Place:
        position = loaded.source.position(location)
        try:
            lines = loaded.path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        excerpt = lines[position.line - 1] if position.line <= len(lines) else None
        return Place(path, position.line, position.column, excerpt)

    return place


def _judged(
    plan: Plan,
    results: tuple[StageResult, ...],
    generated: Generated,
) -> ItemResult:
    verdict, stage, finding, message = judge(results)
    result = replace(
        plan.unjudged(),
        verdict=verdict,
        stages=results,
        stage=stage,
        code=None if finding is None else finding.code,
        message=message,
        generation=generated,
    )
    return result if plan.mutant is None else mutant_judged(plan.mutant, result)


def _caught(plan: Plan, results: Sequence[StageResult]) -> bool:
    """Whether `plan` is a mutant that was caught where it says: no further stage changes that. What
    was not is worth seeing whole."""
    return (
        plan.mutant is not None
        and _judged(plan, tuple(results), Generated()).verdict is Verdict.PASSED
    )


def _with_detail(what: str, error: InfrastructureError) -> str:
    return f"{what}: {error}" + (f"\n{error.detail}" if error.detail else "")
