"""One check of one project, from its files to a verdict."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_convex_eval.check.mirror import (
    Mirror,
    Shown,
    Sources,
    lay_out_project,
    read_sources,
)
from pytest_convex_eval.check.packages import packages_of
from pytest_convex_eval.check.project import Project
from pytest_convex_eval.check.selection import CHECK_STAGES
from pytest_convex_eval.check.tsconfig import Configuration, configuration_of
from pytest_convex_eval.evaluation.deployments import KeptDeployment
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.leftovers import new_scratch
from pytest_convex_eval.outcomes import Finding, StageName, StageResult, Verdict
from pytest_convex_eval.stages.deploy import DeployStage
from pytest_convex_eval.stages.lint import LintStage
from pytest_convex_eval.stages.package import PackageStage
from pytest_convex_eval.stages.protocol import (
    Report,
    Stage,
    StageAround,
    StageContext,
    Subject,
    Tools,
)
from pytest_convex_eval.stages.registry import select
from pytest_convex_eval.stages.runner import judge, run_stages
from pytest_convex_eval.stages.syntax import SyntaxStage
from pytest_convex_eval.stages.typecheck import TypecheckStage

_SUPPRESSION = "lint/suppression"
_NO_TYPES = "TS2688"


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How a project is checked. `env` are the deployment's environment variables;
    `obey_suppressions`: comments that switch checks off work, and are no finding."""

    stages: tuple[StageName, ...] = CHECK_STAGES
    env: Mapping[str, str] = field(default_factory=dict)
    obey_suppressions: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to. `packages` says what it was checked against; `watched` are the files
    that it read beside the functions folder."""

    project: Project
    results: tuple[StageResult, ...]
    verdict: Verdict
    message: str
    packages: str = ""
    watched: tuple[Path, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong; 1: there are findings that fail; 2: it could not be checked."""
        return {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.ERROR: 2}[self.verdict]


def check_project(
    project: Project,
    tools: Tools,
    options: CheckOptions,
    shown: Shown,
    *,
    emit: Callable[[StageResult], None] = lambda _: None,
    deployments: KeptDeployment | None = None,
) -> Checked:
    """Checks `project`; nothing in it is written or run, but for its functions in a deployment.

    `deployments` is told when the check is over. Raises NotCheckableError and InfrastructureError
    for what keeps it from being checked at all.
    """
    configuration = configuration_of(project)
    sources = read_sources(project, configuration)
    # Outside any project: module resolution walks up the folders.
    folder = new_scratch("check")
    try:
        mirror = Mirror(project, folder / "workspace")
        packages = _ProjectPackages(mirror, sources, configuration, options)
        stages: tuple[Stage, ...] = (
            packages,
            SyntaxStage(),
            TypecheckStage(),
            DeployStage(),
            LintStage(),
        )
        told = [_Told(stage, mirror, shown, options) for stage in stages]
        expect = Expectations(convex="*")
        subject = Subject({}, {}, (), expect, LintPolicy(), env=options.env)
        results = run_stages(subject, tools, folder, select(options.stages, told), emit)
    finally:
        if deployments is not None:
            deployments.release()
        shutil.rmtree(folder, ignore_errors=True)
    verdict, message = _verdict(results)
    watched = (project.package_json, *configuration.files, *sources.imported)
    return Checked(project, results, verdict, message, packages.source, watched)


def _verdict(results: Sequence[StageResult]) -> tuple[Verdict, str]:
    verdict, _, _, message = judge(results)
    if verdict is not Verdict.PASSED:
        return verdict, message
    # Silence of a stage that was asked for is no praise.
    skipped = next((one for one in results if one.status == "skipped"), None)
    if skipped is not None:
        return Verdict.ERROR, f"{skipped.stage} was not checked: {skipped.reason}"
    return Verdict.PASSED, ""


class _ProjectPackages(Stage):
    """package: what the project declares, and what is installed; lays it out for the others."""

    name = "package"
    order = PackageStage.order
    deadline_seconds = PackageStage.deadline_seconds
    stands_on = ()

    def __init__(
        self, mirror: Mirror, sources: Sources, configuration: Configuration, options: CheckOptions
    ) -> None:
        self._mirror = mirror
        self._sources = sources
        self._configuration = configuration
        self._options = options
        self.source = ""

    def check(self, context: StageContext) -> Report:
        packages = packages_of(self._mirror.project, context.tools)
        self.source = packages.source
        workspace, texts = lay_out_project(
            self._mirror,
            self._sources,
            self._configuration,
            package_json=packages.text,
            node_modules=packages.node_modules,
            templates=packages.cli.templates,
            obey_suppressions=self._options.obey_suppressions,
        )
        context.files = texts
        context.dependencies = packages.cli
        context.use(workspace)
        return Report(packages.findings)


class _Told(StageAround):
    """A stage whose findings are about the project, and not about where it was laid out."""

    def __init__(self, stage: Stage, mirror: Mirror, shown: Shown, options: CheckOptions) -> None:
        super().__init__(stage)
        self._stage = stage
        self._mirror = mirror
        self._shown = shown
        self._options = options

    def check(self, context: StageContext) -> Report:
        report = self._stage.check(context)
        found = [
            self._mirror.told(self._counted(one), self._shown)
            for one in report.findings
            if not (self._options.obey_suppressions and one.code == _SUPPRESSION)
        ]
        # What the functions import can lead to one file by two names.
        return replace(report, findings=tuple(dict.fromkeys(found)))

    def _counted(self, finding: Finding) -> Finding:
        """Types that are wrong beside the functions are the project's as well: `tsc -p convex`
        fails for them. Those of a package are none of its."""
        beside = self.name == "typecheck" and finding.severity == "warning" and finding.path
        if not beside or finding.code == _NO_TYPES or not finding.path:
            return finding
        origin = self._mirror.origin_of(finding.path)
        return (
            replace(finding, severity="error")
            if self._mirror.is_of_the_project(origin)
            else finding
        )
