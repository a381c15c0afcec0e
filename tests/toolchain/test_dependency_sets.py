"""Which dependency sets there are, and whose fault it is where there is none; no npm runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages import dependencies as module
from pytest_convex_eval.toolchain.packages.dependencies import (
    DependencyConflictError,
    DependencyError,
    DependencyStore,
    UnknownPackageError,
    UnsatisfiableRangeError,
)
from pytest_convex_eval.toolchain.packages.npm import Listing, NpmError
from pytest_convex_eval.toolchain.packages.published import convex_snapshot

NEWEST = convex_snapshot().newest
ONE = Listing(("1.0.0", "2.0.0"), {"latest": "2.0.0"})


class Registry:
    """npm, as a store asks it: what it has, and what it fails with."""

    def __init__(self) -> None:
        self.installed: list[Mapping[str, str]] = []
        self.asked: list[str] = []
        self.has: dict[str, Listing | Exception] = {}
        self.fails: Exception | None = None

    def install(self, declared: Mapping[str, str], folder: Path) -> None:
        self.installed.append(dict(declared))
        if self.fails is not None:
            raise self.fails
        for name in declared:
            package = folder / "node_modules" / name
            package.mkdir(parents=True)
            (package / "package.json").write_text(json.dumps({"version": "1.2.3"}))

    def listing(self, package: str, folder: Path) -> Listing | None:
        self.asked.append(package)
        found = self.has.get(package)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def npm() -> Registry:
    return Registry()


@pytest.fixture
def store(npm: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DependencyStore:
    return new_store(npm, tmp_path, monkeypatch)


def new_store(npm: Registry, cache: Path, patch: pytest.MonkeyPatch) -> DependencyStore:
    programs = ("node", "npm", "esbuild", "tsc", "oxlint", "tsgolint")
    missing = dict.fromkeys((*programs, "lint_plugin", "rules_plugin"), cache / "missing")
    versions = {"node": "24", "npm": "11"}
    store = DependencyStore(cache, Toolchain(cache, "one", versions, **missing))
    patch.setattr(store, "_npm", npm)

    def generate(root: Path, convex: str, target: Path, schema: str | None) -> None:
        target.mkdir(parents=True)
        (target / "server.js").write_text(f"{convex} {schema is not None}")

    patch.setattr(store, "_generate", generate)
    return store


def test_a_set_is_installed_once_and_told_by_its_versions(
    store: DependencyStore, npm: Registry
) -> None:
    first = store.get({"zod": " ^1 ", "convex": "latest"})
    assert npm.installed == [{"convex": NEWEST, "zod": "^1"}]
    assert first.versions == {"convex": "1.2.3", "zod": "1.2.3"}
    assert store.get({"convex": NEWEST, "zod": "^1"}) == first
    assert len(npm.installed) == 1
    assert npm.asked == []


def test_each_declaration_makes_another_set(store: DependencyStore, npm: Registry) -> None:
    roots = [
        store.get(declared).root
        for declared in (
            {"convex": NEWEST},
            {"convex": "1.41.0"},
            {"convex": NEWEST, "zod": "^1"},
            {"convex": NEWEST, "zod": "^2"},
            {"convex": NEWEST, "zed": "^1"},
        )
    ]
    assert len(set(roots)) == len(npm.installed) == 5


def test_the_platform_and_the_form_make_another_set(
    store: DependencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = {store.get({"convex": NEWEST}).root}
    with monkeypatch.context() as patch:
        patch.setattr(module, "current_platform", lambda: "other")
        roots.add(store.get({"convex": NEWEST}).root)
    monkeypatch.setattr(module, "_FORMAT", module._FORMAT + 1)
    roots.add(store.get({"convex": NEWEST}).root)
    assert len(roots) == 3


def remove_package(found: DependencySet) -> None:
    (found.node_modules / "convex" / "package.json").unlink()


def rewrite(text: str) -> Callable[[DependencySet], None]:
    def write(found: DependencySet) -> None:
        (found.root / "set.json").write_text(text)

    return write


@pytest.mark.parametrize(
    "damage",
    [
        remove_package,
        rewrite(""),
        rewrite("[]"),
        rewrite('{"declared": {}}'),
        rewrite('{"declared": {"convex": "1.0.0"}, "versions": {"convex": "1.0.0"}}'),
    ],
    ids=["package", "empty", "list", "no-versions", "of-another"],
)
def test_a_damaged_set_is_installed_again(
    store: DependencyStore, npm: Registry, damage: Callable[[DependencySet], None]
) -> None:
    first = store.get({"convex": NEWEST})
    damage(first)
    assert store.get({"convex": NEWEST}) == first
    assert len(npm.installed) == 2


def test_nobody_can_write_into_a_set(store: DependencyStore) -> None:
    found = store.get({"convex": NEWEST})
    (package,) = found.node_modules.rglob("package.json")
    assert package.stat().st_mode & 0o222 == 0
    assert package.parent.stat().st_mode & 0o200


def test_what_npm_refuses_is_remembered_by_this_store_alone(
    store: DependencyStore, npm: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm.fails = NpmError("no", code="ERESOLVE", detail="why")
    for _ in range(2):
        with pytest.raises(DependencyConflictError) as caught:
            store.get({"convex": NEWEST, "zod": "^1"})
    assert caught.value.detail == "why"
    assert len(npm.installed) == 1
    # Of that set alone, and in no other process.
    npm.fails = None
    store.get({"convex": NEWEST, "zod": "^2"})
    new_store(npm, tmp_path, monkeypatch).get({"convex": NEWEST, "zod": "^1"})
    assert len(npm.installed) == 3


def test_an_error_of_ours_is_not_remembered(store: DependencyStore, npm: Registry) -> None:
    npm.fails = NpmError("no network", code="ECONNREFUSED")
    with pytest.raises(InfrastructureError, match="no network"):
        store.get({"convex": NEWEST})
    npm.fails = None
    assert store.get({"convex": NEWEST}).convex_version == "1.2.3"


@pytest.mark.parametrize("code", ["EINVALIDPACKAGENAME", "EINVALIDTAGNAME", "EUNSUPPORTEDPROTOCOL"])
def test_what_no_npm_could_install_names_no_package(
    store: DependencyStore, npm: Registry, code: str
) -> None:
    npm.fails = NpmError("no", code=code, detail="why")
    with pytest.raises(DependencyError) as caught:
        store.get({"convex": NEWEST, "zod": "^1"})
    error = caught.value
    assert (error.code, error.name, error.detail) == ("package/uninstallable", None, "why")
    assert npm.asked == []


@pytest.mark.parametrize("code", ["E404", "ETARGET", "ENOVERSIONS"])
def test_the_package_that_is_not_there_is_looked_for(
    store: DependencyStore, npm: Registry, code: str
) -> None:
    npm.has = {"aaa": ONE, "old": ONE}
    npm.fails = NpmError("no", code=code)
    with pytest.raises(UnknownPackageError, match="called new") as unknown:
        store.get({"convex": NEWEST, "aaa": "^1", "new": "^1", "old": "^1"})
    assert (unknown.value.name, unknown.value.spec) == ("new", "^1")
    assert npm.asked == ["aaa", "new"]
    with pytest.raises(UnsatisfiableRangeError, match=r"of old satisfies '\^3'") as unmet:
        store.get({"convex": NEWEST, "aaa": "^1", "old": "^3"})
    assert (unmet.value.name, unmet.value.spec) == ("old", "^3")
    # Each is asked for once, also one that is not there.
    with pytest.raises(UnknownPackageError):
        store.get({"convex": NEWEST, "new": "^2"})
    assert npm.asked == ["aaa", "new", "old"]


@pytest.mark.parametrize("code", ["E404", "ECONNREFUSED", "E500", ""])
def test_what_no_declaration_is_to_blame_for_is_the_environments_fault(
    store: DependencyStore, npm: Registry, code: str
) -> None:
    # The registry has all that was declared; `convex`, which is published, is not asked for.
    npm.has = {"zod": ONE}
    npm.fails = NpmError("npm's words", code=code)
    with pytest.raises(NpmError, match="npm's words"):
        store.get({"convex": NEWEST, "zod": "^1"})
    assert "convex" not in npm.asked


def test_the_registry_is_asked_once_for_a_convex_that_is_newer(
    store: DependencyStore, npm: Registry
) -> None:
    npm.has["convex"] = Listing(("98.0.0", "99.1.0"), {"latest": "98.0.0"})
    for _ in range(2):
        store.get({"convex": "^99"})
    assert npm.installed == [{"convex": "99.1.0"}]
    assert npm.asked == ["convex"]
    for _ in range(2):
        with pytest.raises(UnsatisfiableRangeError):
            store.get({"convex": "^100"})
    npm.has.clear()
    with pytest.raises(UnsatisfiableRangeError):
        store.get({"convex": "^101"})
    npm.has["convex"] = NpmError("no network", code="ECONNREFUSED")
    with pytest.raises(NpmError):
        store.get({"convex": "^102"})


def test_generated_code_is_captured_with_and_without_a_schema(store: DependencyStore) -> None:
    lines: list[str] = []
    found = store.get({"convex": "1.28.0"}, progress=lines.append)
    texts = {path.parent.name: path.read_text() for path in found.templates.glob("*/server.js")}
    assert texts == {"with-schema": "1.28.0 True", "without-schema": "1.28.0 False"}
    assert not any("offline" in line for line in lines)


def test_a_convex_that_generates_nothing_offline_has_the_newest_ones_code(
    store: DependencyStore, npm: Registry
) -> None:
    lines: list[str] = []
    found = store.get({"convex": "1.27.5"}, progress=lines.append)
    assert (found.templates / "with-schema" / "server.js").read_text() == f"{NEWEST} True"
    told = f"convex 1.27.5 generates no code offline: using that of {NEWEST}"
    assert told in lines
    assert [declared["convex"] for declared in npm.installed] == ["1.27.5", NEWEST]
    marker = json.loads((found.root / "set.json").read_text())
    assert marker["templates"] == NEWEST


def test_a_package_that_npm_did_not_install_whole_is_the_environments_fault(
    store: DependencyStore, npm: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npm, "install", lambda declared, folder: None)
    with pytest.raises(InfrastructureError, match="npm did not install convex whole"):
        store.get({"convex": NEWEST})
