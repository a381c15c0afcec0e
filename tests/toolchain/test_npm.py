from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages import npm as npm_module
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Listing, Npm, NpmError

if TYPE_CHECKING:
    from tests.toolchain.conftest import Registry

WRITES = "node -e \"require('fs').writeFileSync('ran', '')\""


@pytest.fixture
def npm() -> Npm:
    return Npm(node_runtime())


def folder_in(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_scripts_of_packages_do_not_run(npm: Npm, registry: Registry, tmp_path: Path) -> None:
    scripts = dict.fromkeys(("preinstall", "install", "postinstall", "prepare"), WRITES)
    registry.publish("scripted", "1.0.0", {"binding.gyp": "{}"}, scripts=scripts)
    folder = folder_in(tmp_path)
    npm.install({"scripted": "^1.0.0"}, folder)
    installed = folder / "node_modules" / "scripted"
    assert sorted(path.name for path in installed.iterdir()) == ["binding.gyp", "package.json"]


def test_settings_of_the_user_do_not_make_scripts_run(
    npm: Npm, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish("scripted", "1.0.0", scripts={"postinstall": WRITES})
    for name, value in {
        "ignore_scripts": "false",
        "global": "true",
        "dry_run": "true",
        "omit": "dev optional peer",
        "local_prefix": str(tmp_path),
        "legacy_peer_deps": "true",
    }.items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    folder = folder_in(tmp_path)
    npm.install({"scripted": "^1.0.0"}, folder)
    installed = folder / "node_modules" / "scripted"
    assert [path.name for path in installed.iterdir()] == ["package.json"]


def test_nothing_but_the_install_is_left_in_the_folder(
    npm: Npm, registry: Registry, tmp_path: Path
) -> None:
    registry.publish("plain", "1.0.0")
    folder = folder_in(tmp_path)
    npm.install({"plain": "*"}, folder)
    assert {path.name for path in folder.iterdir()} == {"node_modules", "package.json"}
    manifest = json.loads((folder / "package.json").read_text())
    assert manifest == {"private": True, "dependencies": {"plain": "*"}}


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({"nowhere": "1"}, "E404"),
        ({"plain": "^9"}, "ETARGET"),
        ({"plain": "nosuchtag"}, "ETARGET"),
        ({"Bad Name": "1"}, "EINVALIDPACKAGENAME"),
        ({"plain": "^^1"}, "EINVALIDTAGNAME"),
        ({"plain": "workspace:*"}, "EUNSUPPORTEDPROTOCOL"),
        ({"needs-workspace": "1"}, "EUNSUPPORTEDPROTOCOL"),
        ({"peer": "1", "plain": "1"}, "ERESOLVE"),
    ],
)
def test_npms_own_code_is_kept(
    npm: Npm, registry: Registry, tmp_path: Path, declared: dict[str, str], code: str
) -> None:
    registry.publish("plain", "1.0.0")
    registry.publish("plain", "2.0.0")
    registry.publish("peer", "1.0.0", peerDependencies={"plain": "^2"})
    registry.publish("needs-workspace", "1.0.0", dependencies={"plain": "workspace:*"})
    with pytest.raises(NpmError) as caught:
        npm.install(declared, folder_in(tmp_path))
    assert caught.value.code == code
    assert caught.value.detail


def test_a_registry_that_can_not_be_reached_is_the_environments_fault(
    npm: Npm, unreachable_registry: None, tmp_path: Path
) -> None:
    with pytest.raises(InfrastructureError, match="ECONNREFUSED") as caught:
        npm.install({"plain": "1"}, folder_in(tmp_path))
    assert isinstance(caught.value, NpmError)
    assert caught.value.code == "ECONNREFUSED"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    # npm takes a second, and more than Node's smallest heap.
    [("CPU_SECONDS", 1, "signal (9|24) "), ("HEAP_MEBIBYTES", 8, "signal 6 ")],
)
def test_a_limit_that_npm_runs_into_is_the_environments_fault(
    npm: Npm,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: int,
    words: str,
) -> None:
    monkeypatch.setattr(npm_module, name, value)
    for number in range(200):
        registry.publish(f"p{number}", "1.0.0")
    declared = {f"p{number}": "1" for number in range(200)}
    with pytest.raises(NpmError, match=words) as caught:
        npm.install(declared, folder_in(tmp_path))
    assert isinstance(caught.value, InfrastructureError)


def test_a_listing_has_all_versions_and_tags(npm: Npm, registry: Registry, tmp_path: Path) -> None:
    registry.publish("@scope/plain", "1.0.0")
    assert npm.listing("@scope/plain", tmp_path) == Listing(("1.0.0",), {"latest": "1.0.0"})
    registry.publish("@scope/plain", "1.1.0")
    listing = npm.listing("@scope/plain", tmp_path)
    assert listing == Listing(("1.0.0", "1.1.0"), {"latest": "1.1.0"})
    assert npm.listing("nowhere", tmp_path) is None


def test_a_tarball_comes_as_published(npm: Npm, registry: Registry, tmp_path: Path) -> None:
    registry.publish("@scope/plain", "1.0.0", {"a.txt": "a"}, scripts={"prepack": WRITES})
    (tarball,) = npm.pack(["@scope/plain@1.0.0"], tmp_path)
    assert (tarball.name, tarball.version) == ("@scope/plain", "1.0.0")
    assert tarball.integrity == npm.integrity("@scope/plain@1.0.0", tmp_path)
    assert tarball.path.is_file()
    assert npm.integrity("@scope/plain@2.0.0", tmp_path) is None


def test_keys_of_the_caller_do_not_reach_npm(
    npm: Npm, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    # npm puts variables of its environment into its settings.
    (tmp_path / "npmrc").write_text(f"registry={registry.url}${{ANTHROPIC_API_KEY}}/\n")
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.delenv("npm_config_registry")
    with pytest.raises(NpmError):
        npm.install({"plain": "1"}, folder_in(tmp_path))
    assert not any("secret" in path for path in registry.requests)
