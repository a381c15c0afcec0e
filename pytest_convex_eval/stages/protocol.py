"""What a stage is given and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from pytest_convex_eval.behaviour.failures import Location
from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.model import (
    Deployed,
)
from pytest_convex_eval.deployment.push import PushResult
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import Files, Finding, StageName, StageStatus
from pytest_convex_eval.places import Place
from pytest_convex_eval.toolchain.lint.eslint import Eslint
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.sharing import WarmTools
from pytest_convex_eval.workspace.layout import Workspace, lay_out

NO_WORKSPACE = "there is nothing to check"


@dataclass(frozen=True, slots=True)
class Tools:
    """The warm tools of one process, shared by all its items.

    `deployment` gives the running deployment, empty, starting it when there is none.
    `eslint` lints instead of oxlint where it is given. Without `warm` each typecheck and each lint
    is a process of its own.
    """

    toolchain: Toolchain
    dependencies: DependencyStore
    deployment: Callable[[], Deployment]
    lint_profile: LintProfile
    compile_cache: Path
    eslint: Eslint | None = None
    warm: WarmTools | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """An answer to be checked, and what is expected of it.

    `starting` are the case's own files, which the answer overlays; `remarks` is what reading the
    reply found (truncation, files that could not be told). `env` are the deployment's environment
    variables, set before the push; `place` finds a location of the case in its file.
    `design` says how what was deployed differs from the design that came before the answer.
    """

    answer: Files
    starting: Files
    remarks: tuple[Finding, ...]
    expect: Expectations
    lint: LintPolicy
    behaviour: tuple[Block, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    place: Callable[[Location], Place] = lambda _: Place("the case", 1, 1)
    design: Callable[[Deployed], tuple[Finding, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """How the push of an item's workspace to `deployment` went."""

    deployment: Deployment
    result: PushResult

    @property
    def accepted(self) -> bool:
        return not any(finding.severity == "error" for finding in self.result.findings)


@dataclass(slots=True)
class StageContext:
    """What the stages of one item have established so far; later ones stand on it.

    `files` come from format, `dependencies` from package; the workspace is laid out
    from both when a stage first asks for it. `pushed` is how its push went, where there was one;
    `deployment` is the one that the answer is live on, once it was deployed. `ended` holds the
    status of each stage that has ended.
    """

    subject: Subject
    tools: Tools
    folder: Path
    files: Files = field(default_factory=dict)
    dependencies: DependencySet | None = None
    pushed: Pushed | None = None
    deployment: Deployment | None = None
    ended: Mapping[StageName, StageStatus] = field(default_factory=dict)

    _workspace: Workspace | None = None

    def workspace(self) -> Workspace | None:
        """The answer on disk; None when there are no files or no dependencies to link."""
        if self._workspace is None and self.files and self.dependencies is not None:
            self._workspace = lay_out(
                self.folder / "workspace",
                self.files,
                node_modules=self.dependencies.node_modules,
                templates=self.dependencies.templates,
            )
        return self._workspace

    def use(self, workspace: Workspace) -> None:
        """Has the stages look at a workspace that was laid out otherwise than an answer is."""
        self._workspace = workspace

    @property
    def scratch(self) -> Path:
        """A folder for what tools write beside the workspace."""
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return scratch


@dataclass(frozen=True, slots=True)
class Report:
    """What a stage says of a subject; it has failed when a finding is an error.

    `missing` names, as a sentence, what the stage needed and did not find: it is then skipped.
    `cached`: whether it was said before, of the same; None where nothing is kept.
    """

    findings: tuple[Finding, ...] = ()
    output: str = ""
    cpu_seconds: float = 0.0
    missing: str = ""
    cached: bool | None = None


class Stage(ABC):
    """One check of an answer. What the rest needs to know of a stage stands on its class."""

    name: StageName
    order: int
    """Stages run from the lowest to the highest; those of this package leave room between."""
    deadline_seconds: float
    """How long it may take, in seconds of wall time: far above what it takes, since eight workers
    may share two cores."""
    needs: tuple[StageName, ...] = ()
    """The stages that must have passed for this one to mean anything; else it is skipped."""
    stands_on: tuple[StageName, ...] = ("package",)
    """The stages that establish what this one looks at: they run, and do not count, where they
    were not asked for."""
    deploys: bool = False
    """Whether it takes the deployment of its tools, which is then started ahead."""

    @abstractmethod
    def check(self, context: StageContext) -> Report:
        """What is to be said of the answer. Raises InfrastructureError for whatever is not the
        answer's fault."""


class StaticStage(Stage):
    """A stage that runs nothing of the answer's and changes nothing of the context. It says the
    same of the same answer, so that what it said is kept; the key holds the code of this package
    alone, and no stage of another package can be one."""

    @abstractmethod
    def reads(self, context: StageContext) -> Mapping[str, JsonValue] | None:
        """All that the report depends on but the files, the dependencies, the toolchain and this
        package's code; None where it depends on more than can be told."""


class StageAround(Stage):
    """A stage that asks another one: what is known of that one is known of it."""

    def __init__(self, stage: Stage) -> None:
        self.name = stage.name
        self.order = stage.order
        self.deadline_seconds = stage.deadline_seconds
        self.needs = stage.needs
        self.stands_on = stage.stands_on
        self.deploys = stage.deploys
