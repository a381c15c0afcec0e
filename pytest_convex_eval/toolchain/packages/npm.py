"""The one place that runs npm, and what its error codes mean.

npm only ever sees a package.json of ours, in an empty folder of ours, and never runs a package's
scripts: those of a model's package.json would run as the user (facts: lifecycle scripts, a
`.npmrc` of the model's that moves the registry). The user's own npm settings apply, because
they say how the registry is reached.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pytest_convex_eval import processes
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages.node import NodeRuntime

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

INSTALL_SECONDS = 240.0
"""The deadline of installing one dependency set; a usual one takes 3 s."""

PACK_SECONDS = 900.0
"""The deadline of downloading tarballs: 30 MB on a slow line."""

LOOKUP_SECONDS = 120.0

CPU_SECONDS = 120
"""The limit of each process; a usual install takes 4."""

HEAP_MEBIBYTES = 2048
"""An install of the usual packages takes 200."""

# Switches that decide what an install contains or whether something of a package runs. Given
# each time, so that no setting of the user's can change either.
_FIXED = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--json",
    "--logs-max=0",
    "--no-global",
    "--no-dry-run",
    "--no-workspaces",
)
_TREE = (
    "--no-save",
    "--no-package-lock",
    "--install-strategy=hoisted",
    "--no-legacy-peer-deps",
    "--no-strict-peer-deps",
    "--no-force",
    "--no-engine-strict",
    "--include=prod",
    "--include=dev",
    "--include=optional",
    "--include=peer",
)

_LOCKED = (
    "--install-strategy=hoisted",
    # The lock was made so: the plugin's peer `convex` belongs to the answer.
    "--legacy-peer-deps",
    "--no-force",
    "--no-engine-strict",
    "--include=prod",
)

_PASSED_ON = re.compile(r"npm_config_.+|NODE_EXTRA_CA_CERTS|.*_proxy", re.IGNORECASE)
_NAME_PART = re.compile(r"[A-Za-z0-9_!~*'()-][A-Za-z0-9_.!~*'()-]*")


class NpmError(InfrastructureError):
    """npm failed. `code` is npm's own (`E404`, `ECONNREFUSED`), or empty where it gave none.

    The environment's fault unless a caller, who knows what was asked for, knows better.
    """

    def __init__(self, message: str, *, code: str, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Tarball:
    """A package as the registry serves it, not unpacked. `integrity` is npm's `sha512-…`."""

    name: str
    version: str
    integrity: str
    path: Path


@dataclass(frozen=True, slots=True)
class Listing:
    """The versions of a package in the registry, oldest first, and what its tags point to."""

    versions: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Npm:
    """npm's commands, each in a `folder` of the caller's that holds nothing else."""

    runtime: NodeRuntime

    def install(self, declared: Mapping[str, str], folder: Path) -> None:
        """Installs `declared` into `folder/node_modules`, as npm does for a project of these.

        Raises NpmError.
        """
        manifest = {"private": True, "dependencies": dict(sorted(declared.items()))}
        (folder / "package.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        self._run(["install", *_TREE], folder, INSTALL_SECONDS)

    def install_locked(self, source: Path, folder: Path) -> None:
        """Installs into `folder/node_modules` exactly what the lock file in `source` names.

        npm checks each package by the digest that stands there; `source` holds `package.json` and
        `package-lock.json`. Raises NpmError.
        """
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(source / name, folder / name)
        self._run(["ci", *_LOCKED], folder, INSTALL_SECONDS)

    def pack(self, specs: Sequence[str], folder: Path) -> list[Tarball]:
        """Downloads the tarballs of exact `specs` (`name@version`). Raises NpmError."""
        listed = self._run(
            ["pack", *specs, "--pack-destination", str(folder)], folder, PACK_SECONDS
        )
        try:
            return [
                Tarball(
                    str(entry["name"]),
                    str(entry["version"]),
                    str(entry["integrity"]),
                    folder / str(entry["filename"]),
                )
                for entry in _objects(listed)
            ]
        except KeyError as error:
            raise _unreadable("pack", json.dumps(listed)) from error

    def listing(self, package: str, folder: Path) -> Listing | None:
        """What the registry has of `package`; None when it has no such package.

        Raises NpmError when it can't be asked.
        """
        try:
            found = self._run(["view", package, "versions", "dist-tags"], folder, LOOKUP_SECONDS)
        except NpmError as error:
            if error.code == "E404":
                return None
            raise
        if not isinstance(found, dict):
            raise _unreadable("view", json.dumps(found))
        # npm writes a list of one as its only element.
        versions = found.get("versions")
        tags = found.get("dist-tags")
        return Listing(
            versions=tuple(map(str, versions if isinstance(versions, list) else [versions])),
            tags={k: str(v) for k, v in tags.items()} if isinstance(tags, dict) else {},
        )

    def integrity(self, spec: str, folder: Path) -> str | None:
        """The registry's `sha512-…` of `name@version`; None when it has no such version.

        Raises NpmError when it can't be asked.
        """
        try:
            found = self._run(["view", spec, "dist.integrity"], folder, LOOKUP_SECONDS)
        except NpmError as error:
            if error.code == "E404":
                return None
            raise
        return str(found)

    def _run(self, arguments: Sequence[str], folder: Path, seconds: float) -> Json:
        command = arguments[0]
        done = processes.run(
            [self.runtime.node, self.runtime.npm, *arguments, *_FIXED, "--prefix", folder],
            cwd=folder,
            env=self._environment(folder),
            limits=processes.Limits(wall_seconds=seconds, cpu_seconds=CPU_SECONDS),
        )
        if done.ending != "exit":
            # The environment's fault, as all of npm's: it reads nothing of an answer's but names
            # and ranges, and what else makes it work, registries do.
            why = (
                f"did not end within {seconds:.0f} s"
                if done.ending == "timeout"
                else f"was ended by {done.ending} {-done.returncode} after {done.cpu_seconds:.0f} s"
                f" of CPU ({CPU_SECONDS} s and {HEAP_MEBIBYTES} MiB are allowed)"
            )
            raise NpmError(f"npm {command} {why}", code="", detail=done.stderr)
        try:
            answer: Json = json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError:
            raise _unreadable(command, done.stdout + done.stderr) from None
        if done.ok:
            return answer
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            raise _unreadable(command, done.stdout + done.stderr)
        summary = str(error.get("summary") or "").strip()
        raise NpmError(
            f"npm {command} failed: {summary or error.get('code')}",
            code=str(error.get("code") or ""),
            detail=f"{summary}\n{error.get('detail') or ''}".strip(),
        )

    def _environment(self, folder: Path) -> dict[str, str]:
        settings = {k: v for k, v in os.environ.items() if _PASSED_ON.fullmatch(k)}
        return processes.environment(
            home=Path.home(),
            path=[self.runtime.node.parent],
            # npm would leave its compiled self in TMPDIR.
            TMPDIR=str(folder),
            NODE_DISABLE_COMPILE_CACHE="1",
            **processes.heap_of(HEAP_MEBIBYTES),
            **settings,
        )


def is_valid_package_name(name: str) -> bool:
    """npm's rule for a name that can be installed (older, laxer names included).

    https://docs.npmjs.com/cli/configuring-npm/package-json#name, as `validate-npm-package-name`
    applies it to packages that exist.
    """
    scope, slash, package = name[1:].partition("/") if name.startswith("@") else ("", "", name)
    if slash and not _NAME_PART.fullmatch(scope):
        return False
    if not slash and name.startswith(("_", "-")):
        return False
    return bool(_NAME_PART.fullmatch(package)) and name.lower() not in {
        "node_modules",
        "favicon.ico",
    }


def _objects(listed: Json) -> list[dict[str, Json]]:
    found = listed if isinstance(listed, list) else []
    return [entry for entry in found if isinstance(entry, dict)]


def _unreadable(command: str, output: str) -> NpmError:
    return NpmError(f"npm {command} printed something else than JSON", code="", detail=output)
