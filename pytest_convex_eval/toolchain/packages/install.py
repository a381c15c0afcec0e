"""The toolchain's install: pinned tarballs, checked by digest, unpacked once per machine."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from pytest_convex_eval import once, processes
from pytest_convex_eval.once import Progress
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.lint import bundle as lint_bundle
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.node import NodeRuntime, node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm, Tarball
from pytest_convex_eval.toolchain.packages.pins import Pin, current_platform, pins

_FORMAT = 1
"""The version of the installed folder's form; raise it when what `_build` makes changes."""

_MARKER = "toolchain.json"
_PROOF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Files:
    """Where each program lies in the toolchain's folder: POSIX, relative."""

    esbuild: str
    tsc: str
    oxlint: str
    tsgolint: str
    lint_plugin: str
    rules_plugin: str


def install_toolchain(cache: Path, *, progress: Progress = once.silent) -> Toolchain:
    """The toolchain in `cache`, installed first if it is not there; some 30 MB to download.

    When it is there, this takes milliseconds, starts no process and needs no network.
    Raises InfrastructureError: no network, a tarball that is not the pinned one, a program that
    does not run here, a folder that can't be written.
    """
    runtime = node_runtime()
    name = current_platform()
    pinned = pins(name)
    fingerprint = _fingerprint(runtime, name, pinned)
    return once.made_once(
        cache.absolute() / "toolchains" / fingerprint,
        what="the toolchain",
        load=lambda root: _load(root, runtime),
        build=lambda root: _build(root, runtime, pinned, fingerprint),
        progress=progress,
    )


def bundled_sources() -> list[Path]:
    """What of this package is built into a toolchain: the lint plugins, and what bundles them.

    Its other code is read where it lies; whether a verdict may be kept, `package_fingerprint` says.
    """
    bundler = Path(lint_bundle.__file__)
    rules = sorted((bundler.parent / "plugin").rglob("*.mjs"))
    return [bundler, bundler.parent / "shim.mjs", *rules]


def _fingerprint(runtime: NodeRuntime, platform_name: str, pinned: Sequence[Pin]) -> str:
    bundler = Path(lint_bundle.__file__)
    identity = {
        "format": _FORMAT,
        "platform": platform_name,
        "node": runtime.version,
        "npm": runtime.npm_version,
        "packages": {pin.spec: pin.integrity for pin in pinned},
        "sources": {
            file.relative_to(bundler.parent).as_posix(): hashlib.sha256(
                file.read_bytes()
            ).hexdigest()
            for file in bundled_sources()
        },
    }
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _load(root: Path, runtime: NodeRuntime) -> Toolchain | None:
    try:
        data = json.loads((root / _MARKER).read_text(encoding="utf-8"))
        files = {name: root / path for name, path in data["files"].items()}
        if not all(file.is_file() for file in files.values()):
            return None
        return Toolchain(
            root=root,
            fingerprint=data["fingerprint"],
            versions=data["versions"],
            node=runtime.node,
            npm=runtime.npm,
            **files,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(root: Path, runtime: NodeRuntime, pinned: Sequence[Pin], fingerprint: str) -> None:
    downloads = root / "downloads"
    downloads.mkdir()
    modules = root / "node_modules"
    tarballs = {
        (tarball.name, tarball.version): tarball
        for tarball in Npm(runtime).pack([pin.spec for pin in pinned], downloads)
    }
    for pin in pinned:
        tarball = tarballs.get((pin.package, pin.version))
        if tarball is None:
            raise InfrastructureError(f"npm did not download {pin.spec}")
        check_integrity(tarball, pin)
        unpack(tarball.path, modules / pin.package)
    shutil.rmtree(downloads)

    places = {pin.program: f"node_modules/{pin.package}" for pin in pinned}
    files = _Files(
        esbuild=f"{places['esbuild']}/bin/esbuild",
        tsc=f"{places['typescript']}/lib/tsc",
        oxlint=f"{places['oxlint']}/bin/oxlint",
        tsgolint=f"{places['oxlint-tsgolint']}/tsgolint",
        lint_plugin="lint_plugin.mjs",
        rules_plugin="rules_plugin.mjs",
    )
    lint_bundle.build(root / files.esbuild, modules, root / files.lint_plugin)
    lint_bundle.build_ours(root / files.esbuild, root / files.rules_plugin)
    _prove(root, runtime, files, {pin.program: pin.version for pin in pinned})
    marker = {
        "fingerprint": fingerprint,
        "versions": {
            "node": runtime.version,
            "npm": runtime.npm_version,
            **{pin.program: pin.version for pin in pinned},
        },
        "files": asdict(files),
    }
    (root / _MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")


def check_integrity(tarball: Tarball, pin: Pin) -> None:
    """That `tarball` is the one that was pinned, byte for byte.

    Where the pin has no digest (see `Pin`), it is compared with what npm says the registry
    serves, so that at least a damaged download is found. Raises InfrastructureError.
    """
    expected = pin.integrity or tarball.integrity
    algorithm, _, digest = expected.partition("-")
    try:
        wanted = base64.b64decode(digest, validate=True)
    except binascii.Error:
        wanted = b""
    actual = hashlib.sha512(tarball.path.read_bytes()).digest()
    if algorithm != "sha512" or actual != wanted:
        found = f"sha512-{base64.b64encode(actual).decode()}"
        raise InfrastructureError(
            f"{pin.spec} is not the pinned tarball: expected {expected}, got {found}"
        )


def unpack(tarball: Path, target: Path) -> None:
    """Unpacks an npm tarball's regular files below `target`; its one top folder is dropped.

    Raises InfrastructureError when it is no tarball or an entry would land elsewhere.
    """
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                inner = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                if not member.isfile():
                    continue
                if inner.is_absolute() or ".." in inner.parts or not inner.parts:
                    raise InfrastructureError(f"{tarball.name} holds a bad path: {member.name}")
                source = archive.extractfile(member)
                assert source is not None
                file = target / inner
                file.parent.mkdir(parents=True, exist_ok=True)
                with source, file.open("wb") as out:
                    shutil.copyfileobj(source, out)
                file.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError) as error:
        raise InfrastructureError(f"{tarball.name} can't be unpacked: {error}") from error


def _prove(root: Path, runtime: NodeRuntime, files: _Files, versions: Mapping[str, str]) -> None:
    """Runs each program once, so that one that can't run here is found now and not by an answer.

    tsgolint has no command that says its version; that it starts at all is what is seen.
    """
    scratch = root / "proof"
    scratch.mkdir()
    commands: list[tuple[str, list[str | Path], str]] = [
        ("esbuild", [root / files.esbuild, "--version"], versions["esbuild"]),
        ("typescript", [root / files.tsc, "--version"], versions["typescript"]),
        ("oxlint", [runtime.node, root / files.oxlint, "--version"], versions["oxlint"]),
        ("oxlint-tsgolint", [root / files.tsgolint, "--help"], ""),
    ]
    for program, command, expected in commands:
        try:
            done = processes.run(
                command,
                cwd=scratch,
                env=processes.environment(home=scratch, path=[runtime.node.parent]),
                limits=processes.Limits(wall_seconds=_PROOF_SECONDS),
            )
        except OSError as error:
            raise InfrastructureError(f"{program} can't be started here: {error}") from error
        if not done.ok or expected not in done.stdout:
            raise InfrastructureError(
                f"{program} does not run here as the version that was installed",
                detail=done.stdout + done.stderr,
            )
    shutil.rmtree(scratch)
