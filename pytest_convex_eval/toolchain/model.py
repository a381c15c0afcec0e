"""What the toolchain's modules hand to each other and to the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import Finding


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The programs that check code, installed once per machine; every path is absolute.

    `fingerprint` identifies the whole of it (package versions, platform, Node): whatever could
    change a verdict changes it. `versions` names each program's version for the run's manifest.
    """

    root: Path
    fingerprint: str
    versions: Mapping[str, str]
    node: Path
    npm: Path
    """npm's `npm-cli.js`, to be run by `node`."""
    esbuild: Path
    """The native binary, of the version that the newest known `convex` bundles with."""
    tsc: Path
    """TypeScript 7's native compiler (never the Node shim in front of it)."""
    oxlint: Path
    """oxlint's JavaScript entry point, to be run by `node`."""
    tsgolint: Path
    """The native type-aware linter that oxlint starts."""
    lint_plugin: Path
    """Convex's lint plugin as one ES module."""
    rules_plugin: Path
    """Our own lint plugin as one ES module."""

    @property
    def oxlint_modules(self) -> Path:
        """The folder of the modules that oxlint's entry point loads."""
        return self.oxlint.parents[1] / "dist"


@dataclass(frozen=True, slots=True)
class DependencySet:
    """The installed packages of one set of declared dependencies; read-only, shared by all runs."""

    root: Path
    node_modules: Path
    """What the workspace links to. Holds what was declared and what that needs, nothing else."""
    versions: Mapping[str, str]
    """The installed version of each declared package."""
    templates: Path
    """What this `convex` version generates offline: `with-schema/` and `without-schema/`, each
    with `api.d.ts`, `api.js`, `dataModel.d.ts`, `server.d.ts`, `server.js`."""

    @property
    def convex_version(self) -> str:
        return self.versions["convex"]

    @property
    def convex_cli(self) -> Path:
        """The official CLI's entry point, to be run by Node."""
        return self.node_modules / "convex" / "bin" / "main.js"


@dataclass(frozen=True, slots=True)
class ToolReport:
    """What a tool said of one workspace: findings, its own words, and the CPU seconds it took."""

    findings: tuple[Finding, ...]
    output: str
    cpu_seconds: float
