"""What makes one toolchain another, and what is made of the tarballs; nothing is downloaded."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.lint import bundle as lint_bundle
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages import install
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.toolchain.packages.node import NodeRuntime
from pytest_convex_eval.toolchain.packages.npm import Tarball
from pytest_convex_eval.toolchain.packages.pins import Pin, current_platform, pins

RUNTIME = NodeRuntime(Path("node"), Path("npm"), "24.1.0", "11.1.0")
PIN = Pin("oxlint", "oxlint", "1.0.0", "sha512-one")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the one of the bundler and the rules."""
    for name in ("bundle.py", "shim.mjs", "plugin/index.mjs", "plugin/shared/ast.mjs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(lint_bundle, "__file__", str(tmp_path / "bundle.py"))
    return tmp_path


def fingerprint(
    runtime: NodeRuntime = RUNTIME, platform: str = "linux-x64", pinned: Sequence[Pin] = (PIN,)
) -> str:
    return install._fingerprint(runtime, platform, pinned)


@pytest.mark.parametrize(
    "change",
    [
        lambda: fingerprint(replace(RUNTIME, version="24.1.1")),
        lambda: fingerprint(replace(RUNTIME, npm_version="11.1.1")),
        lambda: fingerprint(platform="linux-x64-musl"),
        lambda: fingerprint(pinned=[replace(PIN, version="1.0.1")]),
        lambda: fingerprint(pinned=[replace(PIN, package="oxlint2")]),
        lambda: fingerprint(pinned=[replace(PIN, integrity="sha512-two")]),
        lambda: fingerprint(pinned=[replace(PIN, integrity=None)]),
        lambda: fingerprint(pinned=[PIN, replace(PIN, package="other")]),
    ],
    ids=["node", "npm", "platform", "version", "package", "digest", "no-digest", "another"],
)
def test_each_part_makes_another_toolchain(sources: Path, change: Callable[[], str]) -> None:
    assert fingerprint() == fingerprint()
    assert change() != fingerprint()


def test_another_format_makes_another_toolchain(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint()
    monkeypatch.setattr(install, "_FORMAT", install._FORMAT + 1)
    assert fingerprint() != before


@pytest.mark.parametrize(
    "name", ["bundle.py", "shim.mjs", "plugin/index.mjs", "plugin/shared/ast.mjs"]
)
def test_each_source_that_is_built_into_it_makes_another_toolchain(
    sources: Path, name: str
) -> None:
    before = fingerprint()
    (sources / name).write_text("changed")
    assert fingerprint() != before
    (sources / name).write_text(name)
    assert fingerprint() == before
    (sources / "plugin" / "more.mjs").write_text("")
    assert fingerprint() != before


def test_what_is_not_built_into_it_makes_no_other(sources: Path) -> None:
    before = fingerprint()
    (sources / "plugin" / "decide.py").write_text("changed")
    assert fingerprint() == before


def packed(folder: Path, pin: Pin) -> Tarball:
    """A tarball that holds one program of every name that a package of the toolchain may have."""
    path = folder / f"{pin.package.replace('/', '-')}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("bin/esbuild", "lib/tsc", "bin/oxlint", "tsgolint", "package.json"):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.mode, entry.size = 0o755, 1
            archive.addfile(entry, io.BytesIO(b"x"))
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return Tarball(pin.package, pin.version, f"sha512-{digest}", path)


class Making:
    """What stands in for npm, the bundler and the proof, and how often npm was asked."""

    def __init__(self) -> None:
        self.packs = 0
        self.missing = ""
        self.evil = ""
        self.proof: Exception | None = None

    def pack(self, specs: Sequence[str], folder: Path) -> list[Tarball]:
        self.packs += 1
        assert set(specs) == {pin.spec for pin in pins(current_platform())}
        tarballs = [
            packed(folder, pin) for pin in pins(current_platform()) if pin.program != self.missing
        ]
        for tarball in tarballs:
            if tarball.name == self.evil:
                tarball.path.write_bytes(b"evil")
        return tarballs


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    made = Making()

    def without_digests(platform: str) -> tuple[Pin, ...]:
        return tuple(replace(pin, integrity=None) for pin in pins(platform))

    def bundle(esbuild: Path, *paths: Path) -> None:
        assert esbuild.is_file()
        paths[-1].write_text("bundle")

    def prove(*_: object) -> None:
        if made.proof is not None:
            raise made.proof

    monkeypatch.setattr(install, "Npm", lambda runtime: made)
    monkeypatch.setattr(install, "pins", without_digests)
    monkeypatch.setattr(lint_bundle, "build", bundle)
    monkeypatch.setattr(lint_bundle, "build_ours", bundle)
    monkeypatch.setattr(install, "_prove", prove)
    return made


def programs(toolchain: Toolchain) -> list[Path]:
    """What of a toolchain lies in its folder."""
    values = (getattr(toolchain, each.name) for each in fields(toolchain) if each.name != "root")
    return [path for path in values if isinstance(path, Path) and toolchain.root in path.parents]


def test_it_is_made_of_the_tarballs_and_nothing_else_stays(making: Making, tmp_path: Path) -> None:
    toolchain = install_toolchain(tmp_path)
    assert {path.name for path in toolchain.root.iterdir()} == {
        "lint_plugin.mjs",
        "node_modules",
        "rules_plugin.mjs",
        "toolchain.json",
    }
    assert len(programs(toolchain)) == 6
    versions = {pin.program: pin.version for pin in pins(current_platform())}
    assert {name: toolchain.versions[name] for name in versions} == versions
    assert install_toolchain(tmp_path) == toolchain
    assert making.packs == 1


@pytest.mark.parametrize(
    "name", ["esbuild", "tsc", "oxlint", "tsgolint", "lint_plugin", "rules_plugin"]
)
def test_each_file_that_is_missing_has_it_made_again(
    making: Making, tmp_path: Path, name: str
) -> None:
    toolchain = install_toolchain(tmp_path)
    getattr(toolchain, name).unlink()
    assert install_toolchain(tmp_path) == toolchain
    assert getattr(toolchain, name).is_file()
    assert making.packs == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}, "versions": {}}'])
def test_a_marker_that_does_not_tell_has_it_made_again(
    making: Making, tmp_path: Path, text: str
) -> None:
    toolchain = install_toolchain(tmp_path)
    (toolchain.root / "toolchain.json").write_text(text)
    assert install_toolchain(tmp_path) == toolchain
    assert making.packs == 2


def test_a_failure_leaves_nothing_and_the_next_one_makes_it(making: Making, tmp_path: Path) -> None:
    def left() -> list[Path]:
        return [path for path in (tmp_path / "toolchains").iterdir() if path.is_dir()]

    making.missing = "oxlint"
    with pytest.raises(InfrastructureError, match="npm did not download oxlint@"):
        install_toolchain(tmp_path)
    assert left() == []
    making.missing, making.evil = "", "oxlint"
    with pytest.raises(InfrastructureError, match="not the pinned tarball"):
        install_toolchain(tmp_path)
    assert left() == []
    making.evil, making.proof = "", InfrastructureError("does not run here")
    with pytest.raises(InfrastructureError, match="does not run here"):
        install_toolchain(tmp_path)
    assert left() == []
    making.proof = None
    assert left() == [] != [install_toolchain(tmp_path).root] == left()


VERSIONS = {"esbuild": "0.1", "typescript": "7.1", "oxlint": "1.1"}


@pytest.fixture
def proof(tmp_path: Path) -> Callable[[], None]:
    """Proves programs that are scripts of ours, each of which says its version."""
    files = install._Files("esbuild", "tsc", "oxlint", "tsgolint", "a.mjs", "b.mjs")
    said = {"esbuild": "0.1", "tsc": "Version 7.1", "oxlint": "1.1", "tsgolint": "help"}
    for name, text in said.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{text}'\n")
        (tmp_path / name).chmod(0o755)
    runtime = replace(RUNTIME, node=Path("/bin/sh"))
    return lambda: install._prove(tmp_path, runtime, files, VERSIONS)


def test_programs_that_run_are_proven_and_leave_nothing(
    proof: Callable[[], None], tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    proof()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["esbuild", "tsc", "oxlint", "tsgolint"])
def test_a_program_that_does_not_run_is_named(
    proof: Callable[[], None], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("#!/bin/sh\necho 0.1 7.1 1.1; echo broken >&2; exit 3\n")
    program = {"tsc": "typescript", "tsgolint": "oxlint-tsgolint"}.get(name, name)
    with pytest.raises(InfrastructureError, match=f"{program} does not run here") as caught:
        proof()
    assert caught.value.detail == "0.1 7.1 1.1\nbroken\n"


@pytest.mark.parametrize("name", ["esbuild", "tsc", "oxlint"])
def test_a_program_of_another_version_is_named(
    proof: Callable[[], None], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("#!/bin/sh\necho 9.9\n")
    with pytest.raises(InfrastructureError, match="as the version that was installed"):
        proof()


def test_a_program_that_can_not_be_started_is_named(
    proof: Callable[[], None], tmp_path: Path
) -> None:
    (tmp_path / "esbuild").unlink()
    (tmp_path / "esbuild").mkdir()
    with pytest.raises(InfrastructureError, match="esbuild"):
        proof()


def test_the_marker_names_files_relative_to_the_folder(making: Making, tmp_path: Path) -> None:
    marker = json.loads((install_toolchain(tmp_path).root / "toolchain.json").read_text())
    assert not any(path.startswith("/") for path in marker["files"].values())
    assert marker["files"]["tsgolint"].endswith("/tsgolint")
