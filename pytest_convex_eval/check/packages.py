"""The packages that a project is checked against: those that are installed beside it, or else what
it declares, in the versions that its lockfile gives.

The Convex CLI is never the project's: it is the same version from the store, so that nothing which
lies in the project is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_convex_eval.check.lockfiles import locked_versions
from pytest_convex_eval.check.project import Project, read_text
from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.stages.package import install_declared
from pytest_convex_eval.stages.package_json import (
    PATH,
    PackageJson,
    finding_at,
    read_package_json,
)
from pytest_convex_eval.stages.protocol import Tools
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.toolchain.packages.dependencies import DependencyError
from pytest_convex_eval.toolchain.packages.ranges import classify, satisfies

_FORBIDDEN = "package/forbidden-spec"


@dataclass(frozen=True, slots=True)
class Packages:
    """What a project is checked against.

    `node_modules` are the folders of installed packages by the project's folder that they serve,
    from the inside out; `cli` holds the CLI and its templates of generated code. `text` is the
    package.json that tools can be given; `source` says in words where the packages come from.
    """

    node_modules: Mapping[Path, Path]
    cli: DependencySet
    text: str
    source: str
    findings: tuple[Finding, ...]


def packages_of(project: Project, tools: Tools) -> Packages:
    """The packages of `project`, installed where they are not there.

    Paths of findings are `package.json`. Raises InfrastructureError where they can't be had.
    """
    try:
        text: str | None = read_text(project.package_json)
    except (OSError, ValueError):
        text = None
    package, findings = _declared(text)
    there = {
        folder: (folder / "node_modules").resolve()
        for folder in project.folders
        if (folder / "node_modules").is_dir()
    }
    version = _version(there.values(), "convex")
    if version is not None:
        cli = _cli(tools, version)
        # The package manager took what it was given; what it could not take is not there.
        findings = [one for one in findings if one.code != _FORBIDDEN]
        findings += _not_as_declared(package, text or "", there)
        source = f"installed, convex {version}"
        modules: Mapping[Path, Path] = there
    else:
        cli, modules, more, source = _installed(project, package, text or "", findings, tools)
        findings = more
    broken = text is None or any(one.severity == "error" for one in findings)
    if broken:
        # The other tools read package.json too, and would say the same again.
        text = json.dumps({"dependencies": {"convex": cli.convex_version}}, indent=2)
    return Packages(modules, cli, text or "", source, tuple(findings))


def _declared(text: str | None) -> tuple[PackageJson, list[Finding]]:
    if text is None:
        missing = Finding("package/missing", "there is no package.json that can be read", path=PATH)
        return PackageJson({}, {}, {}, ()), [missing]
    package = read_package_json(text)
    return package, list(package.findings)


def _cli(tools: Tools, version: str) -> DependencySet:
    try:
        return tools.dependencies.get({"convex": version})
    except DependencyError as error:
        raise InfrastructureError(
            f"the CLI of the installed convex {version} can't be had: {error}", detail=error.detail
        ) from error


def _version(folders: Iterable[Path], name: str) -> str | None:
    for modules in folders:
        try:
            version = json.loads(read_text(modules / name / PATH)).get("version")
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
        if isinstance(version, str):
            return version
    return None


def _not_as_declared(
    package: PackageJson, text: str, there: Mapping[Path, Path]
) -> Iterator[Finding]:
    """Warnings: what is imported and not there is the typecheck's to say."""
    for name, spec in package.dependencies.items():
        version = _version(there.values(), name)
        if version is None:
            message = f"{name} is declared and not installed"
            found = finding_at(text, name, "package/not-installed", message)
            yield replace(found, severity="warning", hint="install the project's packages again")
        elif classify(spec) == "range" and not satisfies(version, spec):
            message = f"{name} {version} is installed, outside of the declared {spec!r}"
            found = finding_at(text, name, "package/outside-declared", message)
            yield replace(found, severity="warning", hint="install the project's packages again")


def _installed(
    project: Project, package: PackageJson, text: str, findings: list[Finding], tools: Tools
) -> tuple[DependencySet, Mapping[Path, Path], list[Finding], str]:
    """The store's set of what is declared, as the lockfile has it."""
    file, locked = _locked(project, package.usable)
    usable = {name: locked.get(name, spec) for name, spec in package.usable.items()}
    cli, unusable = install_declared(replace(package, usable=usable), text, tools)
    more = [*findings, *unusable.values()]
    source = f"as {'locked' if locked else 'declared'}, convex {cli.convex_version}"
    if file is not None and not locked:
        message = f"{file.name} locks none of the declared packages that can be read"
        more.append(Finding("package/lockfile", message, "warning", PATH))
    return cli, {project.base: cli.node_modules.resolve()}, more, source


def _locked(project: Project, declared: Mapping[str, str]) -> tuple[Path | None, Mapping[str, str]]:
    for folder in (project.root, *project.root.parents):
        member = project.root.relative_to(folder).as_posix()
        file, locked = locked_versions(folder, member, declared)
        if file is not None or folder == project.base:
            return file, locked
    return None, {}
