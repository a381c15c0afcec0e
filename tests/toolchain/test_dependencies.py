from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import (
    DependencyConflictError,
    DependencyError,
    DependencyStore,
    InvalidPackageNameError,
    UnknownPackageError,
    UnsatisfiableRangeError,
    UnsupportedSpecError,
)
from pytest_convex_eval.toolchain.packages.npm import Listing
from pytest_convex_eval.toolchain.packages.published import convex_snapshot

if TYPE_CHECKING:
    from tests.toolchain.conftest import Registry

NEWEST = convex_snapshot().newest
GENERATED = {"api.d.ts", "api.js", "dataModel.d.ts", "server.d.ts", "server.js"}


@pytest.fixture
def fresh(tmp_path: Path, toolchain: Toolchain) -> DependencyStore:
    """A store with nothing in it."""
    return DependencyStore(tmp_path / "cache", toolchain)


@pytest.fixture
def seeded(fresh: DependencyStore, default_set: DependencySet, tmp_path: Path) -> DependencyStore:
    """A store with the default set in it."""
    sets = tmp_path / "cache" / "dependencies"
    sets.mkdir(parents=True)
    (sets / default_set.root.name).symlink_to(default_set.root)
    return fresh


def resolves(toolchain: Toolchain, packages: DependencySet, name: str) -> bool:
    """Whether a module beside the set's node_modules can require `name`."""
    script = f"require.resolve({json.dumps(name)})"
    done = subprocess.run(
        [toolchain.node, "-e", script], cwd=packages.root, capture_output=True, check=False
    )
    return done.returncode == 0


def test_the_default_set_is_the_newest_convex_with_its_cli(
    toolchain: Toolchain, default_set: DependencySet
) -> None:
    assert default_set.versions == {"convex": NEWEST}
    said = subprocess.run(
        [toolchain.node, default_set.convex_cli, "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == NEWEST


def test_what_is_not_declared_does_not_resolve(
    toolchain: Toolchain, default_set: DependencySet
) -> None:
    assert resolves(toolchain, default_set, "convex/server")
    assert not resolves(toolchain, default_set, "react")
    assert not resolves(toolchain, default_set, "zod")


def test_templates_are_what_this_convex_generates(default_set: DependencySet) -> None:
    with_schema, without_schema = (
        {path.name: path.read_text() for path in (default_set.templates / name).iterdir()}
        for name in ("with-schema", "without-schema")
    )
    assert with_schema.keys() == without_schema.keys() == GENERATED
    assert 'import schema from "../schema.js"' in with_schema["dataModel.d.ts"]
    assert "Doc = any" in without_schema["dataModel.d.ts"]
    assert with_schema["server.js"] == without_schema["server.js"]
    assert "queryGeneric" in with_schema["server.js"]


def test_a_set_that_is_there_needs_no_process(
    toolchain: Toolchain, default_set: DependencySet, store: DependencyStore, no_processes: None
) -> None:
    assert store.get({"convex": NEWEST}) == default_set
    assert store.get({"convex": "^1.31.2"}) == default_set
    assert store.get({"convex": "latest"}) == default_set
    assert store.get({"convex": " >= 1.31 "}) == default_set


def test_nothing_is_left_beside_the_packages(default_set: DependencySet) -> None:
    assert {path.name for path in default_set.root.iterdir()} == {
        "node_modules",
        "package.json",
        "set.json",
        "templates",
    }


def test_declared_packages_are_installed_beside_convex(
    toolchain: Toolchain, store: DependencyStore
) -> None:
    packages = store.get({"zod": "^3.24.0", "convex": "^1.31.2"})
    assert packages.versions["convex"] == NEWEST
    assert packages.versions["zod"].startswith("3.")
    assert resolves(toolchain, packages, "zod")
    assert store.get({"convex": NEWEST, "zod": "^3.24.0"}) == packages


def test_a_cli_that_generates_nothing_offline_gets_the_newest_templates(
    seeded: DependencyStore, default_set: DependencySet
) -> None:
    lines: list[str] = []
    packages = seeded.get({"convex": "1.27.5"}, progress=lines.append)
    assert packages.convex_version == "1.27.5"
    assert any("generates no code offline" in line for line in lines)
    # This set is newly installed by the test: nothing of it can be written by mistake.
    files = [path for path in packages.node_modules.rglob("*") if path.is_file()]
    assert len(files) > 1000
    assert not any(path.stat().st_mode & 0o222 for path in files if not path.is_symlink())
    text = "with-schema/server.d.ts"
    assert (packages.templates / text).read_text() == (default_set.templates / text).read_text()


def test_a_set_without_convex_is_the_callers_mistake(store: DependencyStore) -> None:
    with pytest.raises(ValueError, match="convex"):
        store.get({"zod": "^3"})


@pytest.mark.parametrize(
    "spec",
    [
        "npm:convex@^1",
        "github:get-convex/convex-js",
        "git+https://example.com/a.git",
        "https://example.com/a.tgz",
        "file:../convex",
        "workspace:*",
        "^^1",
    ],
)
def test_only_ranges_and_tags_are_supported(
    store: DependencyStore, no_processes: None, spec: str
) -> None:
    with pytest.raises(UnsupportedSpecError) as caught:
        store.get({"convex": NEWEST, "zod": spec})
    assert (caught.value.name, caught.value.spec) == ("zod", spec)
    with pytest.raises(UnsupportedSpecError):
        store.get({"convex": spec})


@pytest.mark.parametrize("name", ["Bad Name", "../../etc", "node_modules", "-rf", "", "@scope"])
def test_impossible_names_are_refused(
    store: DependencyStore, no_processes: None, name: str
) -> None:
    with pytest.raises(InvalidPackageNameError):
        store.get({"convex": NEWEST, name: "1"})


def test_an_unknown_package_is_named(fresh: DependencyStore, registry: Registry) -> None:
    registry.publish("convex", NEWEST)
    registry.publish("zod", "4.0.0")
    with pytest.raises(UnknownPackageError) as caught:
        fresh.get({"convex": NEWEST, "zod": "^4", "convex-made-up": "^1.0.0"})
    assert caught.value.finding() == Finding(
        code="package/unknown-package",
        message="there is no npm package called convex-made-up",
        path="package.json",
    )
    assert caught.value.name == "convex-made-up"


@pytest.mark.parametrize("spec", ["^99", "nosuchtag"])
def test_an_unsatisfiable_range_is_named(
    fresh: DependencyStore, registry: Registry, spec: str
) -> None:
    registry.publish("convex", NEWEST)
    registry.publish("zod", "4.0.0")
    with pytest.raises(UnsatisfiableRangeError) as caught:
        fresh.get({"convex": NEWEST, "zod": spec})
    assert (caught.value.name, caught.value.spec) == ("zod", spec)


def test_peers_that_exclude_each_other_are_the_models_fault(
    fresh: DependencyStore, registry: Registry
) -> None:
    registry.publish("convex", NEWEST)
    registry.publish("react", "18.0.0")
    registry.publish("react", "19.0.0")
    registry.publish("react-dom", "19.0.0", peerDependencies={"react": "^19"})
    with pytest.raises(DependencyConflictError) as caught:
        fresh.get({"convex": NEWEST, "react": "18.0.0", "react-dom": "19.0.0"})
    assert "react-dom" in caught.value.detail


def test_a_package_that_was_published_broken_is_the_models_choice(
    fresh: DependencyStore, registry: Registry
) -> None:
    registry.publish("convex", NEWEST)
    registry.publish("broken", "1.0.0", dependencies={"other": "workspace:*"})
    with pytest.raises(DependencyError) as caught:
        fresh.get({"convex": NEWEST, "broken": "1"})
    assert caught.value.code == "package/uninstallable"


@pytest.mark.parametrize("missing", ["convex", "deep"])
def test_a_registry_that_lacks_what_exists_is_the_environments_fault(
    fresh: DependencyStore, registry: Registry, missing: str
) -> None:
    # Neither was asked for by the answer: one is a package's own dependency, the other a version
    # of convex that the snapshot knows to be published.
    registry.publish("convex", NEWEST if missing == "deep" else "0.0.1")
    registry.publish("shallow", "1.0.0", dependencies={"deep": "1"})
    with pytest.raises(InfrastructureError):
        fresh.get({"convex": NEWEST, "shallow": "1"})


def test_a_registry_that_can_not_be_reached_is_the_environments_fault(
    fresh: DependencyStore, unreachable_registry: None
) -> None:
    with pytest.raises(InfrastructureError, match="ECONNREFUSED"):
        fresh.get({"convex": NEWEST})
    with pytest.raises(InfrastructureError, match="ECONNREFUSED"):
        fresh.get({"convex": "^99"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (503, b'{"error": "maintenance"}'),
        (401, b'{"error": "who are you?"}'),
        (403, b'{"error": "not you"}'),
        (200, b"<html>Sign in to this network</html>"),
        (None, b""),
    ],
    ids=["500", "503", "401", "403", "captive-portal", "silence"],
)
def test_a_registry_that_does_not_do_its_work_is_the_environments_fault(
    fresh: DependencyStore,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    body: bytes,
) -> None:
    monkeypatch.setenv("npm_config_fetch_timeout", "500")
    registry.publish("convex", NEWEST)
    registry.instead = (status, body)
    # Where the newest versions are asked for, and where a set is installed.
    declared = {"convex": "^99"} if status in (200, 403) else {"convex": NEWEST, "zod": "4"}
    with pytest.raises(InfrastructureError):
        fresh.get(declared)
    assert registry.requests


def test_a_registry_that_fails_while_it_is_asked_whose_fault_it_was_is_not_the_models(
    fresh: DependencyStore, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish("convex", NEWEST)
    listing = fresh._listing

    def failing(package: str) -> Listing | None:
        registry.instead = (500, b"{}")
        return listing(package)

    monkeypatch.setattr(fresh, "_listing", failing)
    with pytest.raises(InfrastructureError):
        fresh.get({"convex": NEWEST, "convex-made-up": "1"})


def test_a_registry_without_the_tarball_is_the_environments_fault(
    fresh: DependencyStore, registry: Registry
) -> None:
    registry.publish("convex", NEWEST)
    registry.publish("zod", "4.0.0")
    registry.lose_tarballs()
    with pytest.raises(InfrastructureError):
        fresh.get({"convex": NEWEST, "zod": "4"})


def test_a_registry_whose_name_no_one_knows_is_the_environments_fault(
    fresh: DependencyStore, npm_settings: Callable[[str], None]
) -> None:
    npm_settings("http://registry.invalid/")
    for declared in ({"convex": NEWEST}, {"convex": "^99"}):
        with pytest.raises(InfrastructureError):
            fresh.get(declared)


def test_the_registry_is_asked_for_a_convex_that_the_snapshot_does_not_know(
    fresh: DependencyStore, registry: Registry
) -> None:
    registry.publish("convex", "98.0.0")
    with pytest.raises(UnsatisfiableRangeError):
        fresh.get({"convex": "^99"})
    registry.publish("convex", "99.1.0")
    # It is found and installed; being no real convex, it then generates nothing.
    with pytest.raises(InfrastructureError, match=r"CLI of convex 99\.1\.0"):
        fresh.get({"convex": "^99"})


def test_a_package_does_not_run_its_scripts(
    fresh: DependencyStore, registry: Registry, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    registry.publish("convex", NEWEST, scripts={"postinstall": f"touch '{ran}'"})
    with pytest.raises(InfrastructureError, match="generated no code"):
        fresh.get({"convex": NEWEST})
    assert f"convex/-/{NEWEST}.tgz" in registry.requests
    assert not os.path.lexists(ran)
