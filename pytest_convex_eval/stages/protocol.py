"""What a stage is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.expectations import Expectations, LintPolicy
from pytest_convex_eval.outcomes import Files, Finding, StageName, StageStatus
from pytest_convex_eval.toolchain.dependencies import DependencyStore
from pytest_convex_eval.toolchain.lint_rules import Profile
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.workspace.layout import Workspace, lay_out

NO_WORKSPACE = "there is nothing to check"


@dataclass(frozen=True, slots=True)
class Bench:
    """The warm tools of one process, shared by all its items.

    `deployment` gives the running embedded deployment, empty, starting it when there is none.
    """

    toolchain: Toolchain
    dependencies: DependencyStore
    deployment: Callable[[], EmbeddedDeployment]
    lint_profile: Profile
    compile_cache: Path


@dataclass(frozen=True, slots=True)
class Subject:
    """An answer to be checked, and what is expected of it.

    `starting` are the case's own files, which the answer overlays; `remarks` is what reading the
    reply found (truncation, files that could not be told).
    """

    answer: Files
    starting: Files
    remarks: tuple[Finding, ...]
    expect: Expectations
    lint: LintPolicy


@dataclass(slots=True)
class Ground:
    """What the stages of one item have established so far; later ones stand on it.

    `files` come from format, `dependencies` from package; the workspace is laid out
    from both when a stage first asks for it. `ended` holds the status of each stage that has ended.
    """

    subject: Subject
    bench: Bench
    folder: Path
    files: Files = field(default_factory=dict)
    dependencies: DependencySet | None = None
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
    """

    findings: tuple[Finding, ...] = ()
    output: str = ""
    cpu_seconds: float = 0.0
    missing: str = ""


class Stage(Protocol):
    """One check. Raises InfrastructureError for whatever is not the answer's fault."""

    @property
    def name(self) -> StageName: ...

    @property
    def needs(self) -> tuple[StageName, ...]:
        """The stages that must have passed for this one to mean anything."""
        ...

    @property
    def deadline_seconds(self) -> float: ...

    def check(self, ground: Ground) -> Report: ...
