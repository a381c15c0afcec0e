"""The dependency store: the packages that answers declare, each distinct set installed once.

A set is npm's own tree of exactly what is declared, so that what an answer may import is what a
project of its own would let it import: one big folder for everybody would let packages resolve
that the answer never declared.

Sets are told apart by what was declared, and only `convex`, whose versions are known here, by what
that resolves to. Other ranges resolve to versions that only the registry knows, whose documents
npm fetches while it installs: to ask first would take a request for each package of each answer,
also of those whose set is there, which has to do without a network; and a set would be another one
the day after a release. So `^3.24.0` and `^3.24.1` are two sets of one version: a second install
of what npm has in its cache, once a machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pytest_convex_eval import once, processes
from pytest_convex_eval.once import Progress
from pytest_convex_eval.outcomes import ConvexEvalError, Finding, InfrastructureError
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages import ranges
from pytest_convex_eval.toolchain.packages.node import NodeRuntime
from pytest_convex_eval.toolchain.packages.npm import Listing, Npm, NpmError, is_valid_package_name
from pytest_convex_eval.toolchain.packages.pins import current_platform
from pytest_convex_eval.toolchain.packages.published import convex_snapshot, resolve_convex

_FORMAT = 2
"""The version of an installed set's form; raise it when what `_build` makes changes."""

_MARKER = "set.json"
_CODEGEN_SECONDS = 60.0
_CODEGEN_CPU_SECONDS = 30
_CODEGEN_HEAP_MEBIBYTES = 1024
_EXPORTS_ENV = "export declare const env:"
_GENERATES_OFFLINE = ">=1.28.0"
_SCHEMA = 'import { defineSchema } from "convex/server";\nexport default defineSchema({});\n'
_SERVER_TEMPLATE = Path(__file__).with_name("server_template.mjs")
_TEMPLATES = ("api.d.ts", "api.js", "dataModel.d.ts", "server.d.ts", "server.js")

# npm's codes that follow from the packages' own metadata, whatever the machine and the network:
# a dependency of a declared package has a name or a specification that npm refuses.
_UNINSTALLABLE = frozenset({"EINVALIDPACKAGENAME", "EINVALIDTAGNAME", "EUNSUPPORTEDPROTOCOL"})

# What is asked for is not in the registry; not said: whether it was declared, or needed by
# something declared.
_NOT_THERE = frozenset({"E404", "ETARGET", "ENOVERSIONS"})


class DependencyError(ConvexEvalError):
    """What an answer declares can't be installed, wherever one tries: the model's fault.

    `name` and `spec` are what was declared, where one declaration is to blame; `detail` is what
    npm said.
    """

    code: ClassVar[str] = "package/uninstallable"

    def __init__(
        self, message: str, *, name: str | None = None, spec: str | None = None, detail: str = ""
    ) -> None:
        super().__init__(message)
        self.name = name
        self.spec = spec
        self.detail = detail

    def finding(self) -> Finding:
        """The problem as a finding about package.json."""
        return Finding(code=self.code, message=str(self), path="package.json")


class InvalidPackageNameError(DependencyError):
    """npm's rules allow no package of that name."""

    code = "package/invalid-name"


class UnsupportedSpecError(DependencyError):
    """Neither a semver range nor a tag: an alias, a repository, a URL, a folder, or nonsense."""

    code = "package/unsupported-spec"


class UnknownPackageError(DependencyError):
    """The registry has no package of that name."""

    code = "package/unknown-package"


class UnsatisfiableRangeError(DependencyError):
    """The package exists, and no version of it lies inside the range, or no such tag does."""

    code = "package/unsatisfiable-range"


class DependencyConflictError(DependencyError):
    """Peer dependencies that no choice of versions satisfies: `npm install` fails."""

    code = "package/conflict"


class DependencyStore:
    """The installed dependency sets below `cache`, shared by all runs and processes."""

    def __init__(self, cache: Path, toolchain: Toolchain) -> None:
        self.toolchain = toolchain
        self._sets = cache.absolute() / "dependencies"
        versions = toolchain.versions
        self._npm = Npm(
            NodeRuntime(toolchain.node, toolchain.npm, versions["node"], versions["npm"])
        )
        # The `convex` versions for which the registry had to be asked, by range.
        self._asked: dict[str, str] = {}
        # What the registry has of packages that npm could not find a version of.
        self._listings: dict[str, Listing | None] = {}
        # What npm refused, by key: the same mistake in many answers costs one install a process.
        self._refused: dict[str, DependencyError] = {}

    def get(
        self, declared: Mapping[str, str], *, progress: Progress = once.silent
    ) -> DependencySet:
        """The installed set of `declared`: package name to semver range or tag; holds `convex`.

        `convex` is installed in the exact version that `resolve_convex` gives; the registry is
        asked only where the snapshot has none that fits. The others are what npm chose when the
        set was first installed on this machine: `DependencySet.versions` says which.
        A set that is there takes milliseconds, starts no process and needs no network.

        Raises a `DependencyError` for what is the model's fault, InfrastructureError for what is
        not, and ValueError when `convex` is not declared.
        """
        if "convex" not in declared:
            raise ValueError("a dependency set needs convex")
        for name, spec in declared.items():
            _check(name, spec)
        resolved = {name: spec.strip() for name, spec in sorted(declared.items())}
        resolved["convex"] = self._convex_version(declared["convex"])
        key = _key(resolved)
        if key in self._refused:
            raise self._refused[key].with_traceback(None)
        try:
            return once.made_once(
                self._sets / key,
                what=f"the packages {', '.join(f'{n}@{s}' for n, s in resolved.items())}",
                load=lambda root: _load(root, resolved),
                build=lambda root: self._build(root, resolved, progress),
                progress=progress,
            )
        except DependencyError as error:
            self._refused[key] = error
            raise

    def default_set(self, *, progress: Progress = once.silent) -> DependencySet:
        """The newest known `convex` alone."""
        return self.get({"convex": convex_snapshot().newest}, progress=progress)

    def _convex_version(self, spec: str) -> str:
        version = resolve_convex(spec) or self._asked.get(spec)
        if version is None:
            listing = self._listing("convex")
            if listing is not None:
                version = ranges.pick(spec, listing.versions, listing.tags)
            if version is None:
                raise _unsatisfiable("convex", spec)
            self._asked[spec] = version
        return version

    def _listing(self, package: str) -> Listing | None:
        with _scratch() as folder:
            return self._npm.listing(package, folder)

    def _build(self, root: Path, resolved: Mapping[str, str], progress: Progress) -> None:
        try:
            self._npm.install(resolved, root)
        except NpmError as error:
            raise self._judged(error, resolved) from error
        modules = root / "node_modules"
        marker = {
            "declared": dict(resolved),
            "versions": {name: _installed_version(modules / name) for name in resolved},
            "templates": self._make_templates(root, resolved["convex"], progress),
        }
        for file in modules.rglob("*"):
            # Linked to by every workspace that declares the same: a write would change the
            # others' verdicts. Folders stay writable so that the cache can simply be deleted.
            if file.is_file() and not file.is_symlink():
                file.chmod(file.stat().st_mode & ~0o222)
        (root / _MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")

    def _judged(self, error: NpmError, resolved: Mapping[str, str]) -> ConvexEvalError:
        """Whose fault npm's failure is: decided by its code and, where that does not say which
        package it is about, by looking each declared one up."""
        if error.code == "ERESOLVE":
            return DependencyConflictError(
                "the declared packages need different versions of each other",
                detail=error.detail,
            )
        if error.code in _UNINSTALLABLE:
            return DependencyError(
                "a package that the declared ones need can't be installed by npm",
                detail=error.detail,
            )
        if error.code in _NOT_THERE:
            # `convex` was resolved to a version that is published: a registry that lacks it is
            # to blame, not the answer.
            for name, spec in resolved.items():
                if name == "convex":
                    continue
                if name not in self._listings:
                    self._listings[name] = self._listing(name)
                listing = self._listings[name]
                if listing is None:
                    return UnknownPackageError(
                        f"there is no npm package called {name}", name=name, spec=spec
                    )
                if ranges.pick(spec, listing.versions, listing.tags) is None:
                    return _unsatisfiable(name, spec)
        return error

    def _make_templates(self, root: Path, convex: str, progress: Progress) -> str:
        """Captures the generated code of `convex` and returns whose it is.

        CLIs before 1.28 can't generate without a deployment: their sets get the templates of
        the newest `convex`, which is a guess where the two differ.
        """
        target = root / "templates"
        if ranges.satisfies(convex, _GENERATES_OFFLINE):
            self._generate(root, convex, target / "with-schema", _SCHEMA)
            self._generate(root, convex, target / "without-schema", None)
            return convex
        newest = convex_snapshot().newest
        progress(f"convex {convex} generates no code offline: using that of {newest}")
        shutil.copytree(self.default_set(progress=progress).templates, target)
        return newest

    def _generate(self, root: Path, convex: str, target: Path, schema: str | None) -> None:
        """Fills `target` with what the set's CLI generates for an empty project.

        `--system-udfs` is a hidden switch that makes `codegen` do without a deployment (facts:
        the texts are constants of the version, but for the list of modules).
        """
        with _scratch(root) as project:
            functions = project / "convex"
            functions.mkdir()
            # The CLI refuses a project that does not declare convex.
            (project / "package.json").write_text(
                json.dumps({"private": True, "dependencies": {"convex": convex}}), encoding="utf-8"
            )
            (project / "node_modules").symlink_to(root / "node_modules")
            if schema is not None:
                (functions / "schema.ts").write_text(schema, encoding="utf-8")
            cli = project / "node_modules" / "convex" / "bin" / "main.js"
            env = processes.environment(
                home=project,
                path=[self.toolchain.node.parent],
                CI="1",
                **processes.heap_of(_CODEGEN_HEAP_MEBIBYTES),
            )
            limits = processes.Limits(
                wall_seconds=_CODEGEN_SECONDS, cpu_seconds=_CODEGEN_CPU_SECONDS
            )
            done = processes.run(
                [self.toolchain.node, cli, "codegen", "--system-udfs", "--typecheck", "disable"],
                cwd=project,
                env=env,
                limits=limits,
            )
            generated = functions / "_generated"
            if not done.ok or not all((generated / name).is_file() for name in _TEMPLATES):
                raise InfrastructureError(
                    f"the CLI of convex {convex} generated no code",
                    detail=done.stdout + done.stderr,
                )
            if _EXPORTS_ENV in (generated / "server.d.ts").read_text("utf-8"):
                package = (project / "node_modules" / "convex").resolve()
                done = processes.run(
                    [self.toolchain.node, _SERVER_TEMPLATE, package, generated],
                    cwd=project,
                    env=env,
                    limits=limits,
                )
                if not done.ok:
                    raise InfrastructureError(
                        f"how convex {convex} types environment variables can't be told",
                        detail=done.stdout + done.stderr,
                    )
            shutil.copytree(generated, target)


@contextlib.contextmanager
def _scratch(parent: Path | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(
        prefix="convex-eval-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _check(name: str, spec: str) -> None:
    if not is_valid_package_name(name):
        raise InvalidPackageNameError(
            f"{name!r} is not a name that an npm package can have", name=name, spec=spec
        )
    kind = ranges.classify(spec)
    if kind not in {"range", "tag"}:
        what = "is not valid" if kind == "invalid" else f"is of the kind {kind!r}"
        raise UnsupportedSpecError(
            f"{name}: {spec!r} {what}; only version ranges and tags are supported",
            name=name,
            spec=spec,
        )


def _unsatisfiable(name: str, spec: str) -> UnsatisfiableRangeError:
    return UnsatisfiableRangeError(
        f"no published version of {name} satisfies {spec!r}", name=name, spec=spec
    )


def _key(resolved: Mapping[str, str]) -> str:
    identity = {"format": _FORMAT, "platform": current_platform(), "declared": dict(resolved)}
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _load(root: Path, resolved: Mapping[str, str]) -> DependencySet | None:
    try:
        data = json.loads((root / _MARKER).read_text(encoding="utf-8"))
        versions: dict[str, str] = data["versions"]
        if data["declared"] != dict(resolved):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    modules = root / "node_modules"
    if not (modules / "convex" / "package.json").is_file():
        return None
    return DependencySet(
        root=root, node_modules=modules, versions=versions, templates=root / "templates"
    )


def _installed_version(package: Path) -> str:
    try:
        return str(json.loads((package / "package.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError) as error:
        raise InfrastructureError(f"npm did not install {package.name} whole: {error}") from error
