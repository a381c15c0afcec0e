"""The real tools, warm, for tests that take answers through the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import (
    Files,
    Finding,
    StageName,
    StageResult,
)
from pytest_convex_eval.stages.protocol import Subject, Tools
from pytest_convex_eval.stages.registry import select
from pytest_convex_eval.stages.runner import run_stages
from pytest_convex_eval.stages.table import STAGES
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.toolchain.sharing import own_tools

PACKAGE = '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n'


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    cache = default_cache()
    toolchain = install_toolchain(cache)
    with EmbeddedDeployment(toolchain.node) as deployment:

        def empty() -> EmbeddedDeployment:
            deployment.reset()
            return deployment

        compile_cache = tmp_path_factory.mktemp("compile-cache")
        store = DependencyStore(cache, toolchain)
        warm = own_tools(toolchain)
        yield Tools(toolchain, store, empty, "recommended", compile_cache, warm=warm)
        warm.close()


@pytest.fixture
def bare(tmp_path: Path) -> Tools:
    """`Tools` that hold none, for stages that use none."""
    missing = tmp_path / "missing"
    toolchain = Toolchain(
        root=missing,
        fingerprint="one",
        versions={"node": "24", "npm": "11"},
        **dict.fromkeys(
            ("node", "npm", "esbuild", "tsc", "oxlint", "tsgolint", "lint_plugin", "rules_plugin"),
            missing,
        ),
    )

    def deployment() -> EmbeddedDeployment:
        raise AssertionError("a deployment was asked for")

    store = DependencyStore(missing, toolchain)
    return Tools(toolchain, store, deployment, "recommended", missing)


@dataclass(frozen=True)
class Checked:
    """The results of one answer, easy to ask."""

    results: tuple[StageResult, ...]

    def __getitem__(self, stage: StageName) -> StageResult:
        return next(result for result in self.results if result.stage == stage)

    @property
    def statuses(self) -> dict[str, str]:
        return {result.stage: result.status for result in self.results}

    def codes(self, stage: StageName) -> list[str]:
        """Of the errors, in order."""
        return [finding.code for finding in self[stage].errors]


Check = Callable[..., Checked]


@pytest.fixture
def check(tools: Tools, tmp_path: Path) -> Check:
    """Takes an answer through the stages; a package.json is added where there is none."""
    number = iter(range(100))

    def run(
        files: Files,
        *,
        expect: Expectations | None = None,
        lint: LintPolicy | None = None,
        starting: Files | None = None,
        env: Mapping[str, str] | None = None,
        remarks: tuple[Finding, ...] = (),
        stages: tuple[StageName, ...] = STAGES,
        bare: bool = False,
    ) -> Checked:
        answer = dict(files) if bare else {"package.json": PACKAGE, **files}
        subject = Subject(
            answer,
            starting or {},
            remarks,
            expect or Expectations(),
            lint or LintPolicy(),
            env=env or {},
        )
        folder = tmp_path / f"item-{next(number)}"
        folder.mkdir()
        emitted: list[StageResult] = []
        results = run_stages(subject, tools, folder, select(stages), emitted.append)
        assert tuple(emitted) == results
        return Checked(results)

    return run
