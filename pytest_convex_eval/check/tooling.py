"""The tools of a check, made when they are first needed and ended with it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.backends import Backend, make_ready
from pytest_convex_eval.evaluation.deployments import KeptDeployment
from pytest_convex_eval.leftovers import sweep
from pytest_convex_eval.stages.protocol import Tools
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain


class Tooling:
    """Use as a context manager.

    Compiler and linter start anew for each check: those that stay loaded remember files by their
    paths, and what a project links to stays where it is while it changes.
    """

    def __init__(self, profile: LintProfile, *, progress: Callable[[str], None]) -> None:
        self._profile = profile
        self._progress = progress
        self._tools: Tools | None = None
        self.deployments: KeptDeployment | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.deployments is not None:
            self.deployments.close()

    def tools(self, *, deploys: bool) -> Tools:
        """The tools, installed when they are not there yet; where the check `deploys`, its
        deployment starts while others look. Raises InfrastructureError."""
        if self._tools is None:
            sweep()
            cache = default_cache()
            toolchain = install_toolchain(cache, progress=self._progress)
            compile_cache = cache / "compile-cache" / toolchain.fingerprint
            compile_cache.mkdir(parents=True, exist_ok=True)
            new = make_ready(Backend(), node=toolchain.node, cache=cache, progress=self._progress)
            self.deployments = KeptDeployment(new)
            if deploys:
                self.deployments.start_ahead()
            self._tools = Tools(
                toolchain,
                DependencyStore(cache, toolchain),
                self.deployments.empty,
                self._profile,
                compile_cache,
            )
        return self._tools
