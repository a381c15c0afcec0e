"""What npm is started with, and what its words mean; no npm runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.processes import Completed, Limits
from pytest_convex_eval.toolchain.packages import npm as npm_module
from pytest_convex_eval.toolchain.packages.node import NodeRuntime
from pytest_convex_eval.toolchain.packages.npm import (
    Listing,
    Npm,
    NpmError,
    Tarball,
    is_valid_package_name,
)

NPM = Npm(NodeRuntime(Path("/node/bin/node"), Path("/npm-cli.js"), "24.1.0", "11.1.0"))
GOOD = Completed(("node",), 0, "", "", 1.0, 1.0, "exit")


@dataclass
class Started:
    """How npm was started, and how it ends."""

    done: Completed = GOOD
    args: Sequence[str] = ()
    cwd: Path = Path()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None

    def run(
        self,
        args: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
    ) -> Completed:
        self.args, self.cwd, self.env, self.limits = [*map(str, args)], cwd, env, limits
        return self.done

    def says(self, answer: object) -> None:
        self.done = replace(GOOD, stdout=json.dumps(answer))

    def fails(self, **error: str) -> None:
        self.done = replace(GOOD, returncode=1, stdout=json.dumps({"error": error}))


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setattr(processes, "run", started.run)
    return started


# What decides what of a package runs, or what an install holds, whatever the user has set.
SAFE = frozenset(
    {
        *("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--json"),
        *("--logs-max=0", "--no-global", "--no-dry-run", "--no-workspaces"),
    }
)
TREE = frozenset(
    {
        *("--no-save", "--no-package-lock", "--install-strategy=hoisted", "--no-force"),
        *("--no-legacy-peer-deps", "--no-strict-peer-deps", "--no-engine-strict"),
        *("--include=prod", "--include=dev", "--include=optional", "--include=peer"),
    }
)
LOCKED = frozenset(
    {
        *("--install-strategy=hoisted", "--legacy-peer-deps", "--no-force"),
        *("--no-engine-strict", "--include=prod"),
    }
)


def test_an_install_is_of_what_is_declared_in_its_folder(npm: Started, tmp_path: Path) -> None:
    NPM.install({"b": "2", "a": "1"}, tmp_path)
    assert npm.args[:3] == ["/node/bin/node", "/npm-cli.js", "install"]
    assert set(npm.args[3:-2]) == SAFE | TREE
    assert npm.args[-2:] == ["--prefix", str(tmp_path)]
    assert npm.cwd == tmp_path
    manifest = json.loads((tmp_path / "package.json").read_text())
    assert manifest == {"private": True, "dependencies": {"a": "1", "b": "2"}}
    assert list(manifest["dependencies"]) == ["a", "b"]
    assert npm.limits == Limits(npm_module.INSTALL_SECONDS, npm_module.CPU_SECONDS)


def test_a_locked_install_has_the_lock_beside_it(npm: Started, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        (source / name).write_text(name)
    NPM.install_locked(source, target)
    assert npm.args[2] == "ci"
    assert set(npm.args[3:-2]) == SAFE | LOCKED
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "package.json": "package.json",
        "package-lock.json": "package-lock.json",
    }


def test_a_download_has_the_time_that_a_slow_line_takes(npm: Started, tmp_path: Path) -> None:
    npm.says([{"name": "a", "version": "1.0.0", "integrity": "sha512-x", "filename": "a.tgz"}])
    (tarball,) = NPM.pack(["a@1.0.0", "b@2.0.0"], tmp_path)
    assert tarball == Tarball("a", "1.0.0", "sha512-x", tmp_path / "a.tgz")
    assert npm.args[2:7] == ["pack", "a@1.0.0", "b@2.0.0", "--pack-destination", str(tmp_path)]
    assert set(npm.args[7:-2]) == SAFE
    assert npm.limits == Limits(npm_module.PACK_SECONDS, npm_module.CPU_SECONDS)
    assert npm_module.PACK_SECONDS > npm_module.INSTALL_SECONDS


@pytest.mark.parametrize("answer", [[{"name": "a", "version": "1"}], [{}]])
def test_a_download_that_is_not_told_whole_is_an_error(
    npm: Started, tmp_path: Path, answer: object
) -> None:
    npm.says(answer)
    with pytest.raises(NpmError, match="npm pack printed something else"):
        NPM.pack(["a@1"], tmp_path)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"versions": ["1.0.0", "2.0.0"], "dist-tags": {"latest": "2.0.0"}},
         Listing(("1.0.0", "2.0.0"), {"latest": "2.0.0"})),
        ({"versions": "1.0.0", "dist-tags": {"latest": "1.0.0"}},
         Listing(("1.0.0",), {"latest": "1.0.0"})),
        ({"versions": ["1.0.0"]}, Listing(("1.0.0",), {})),
    ],
)  # fmt: skip
def test_a_listing_is_read(npm: Started, tmp_path: Path, answer: object, expected: Listing) -> None:
    npm.says(answer)
    assert NPM.listing("a", tmp_path) == expected
    assert npm.args[2:6] == ["view", "a", "versions", "dist-tags"]
    assert npm.limits == Limits(npm_module.LOOKUP_SECONDS, npm_module.CPU_SECONDS)


Look = Callable[[Path], object]
LOOKS: Mapping[str, Look] = {
    "listing": lambda folder: NPM.listing("a", folder),
    "integrity": lambda folder: NPM.integrity("a@1", folder),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_only_what_the_registry_has_not_is_none(npm: Started, tmp_path: Path, look: Look) -> None:
    npm.fails(code="E404", summary="no such package")
    assert look(tmp_path) is None
    for code in ("E401", "E500", "ECONNREFUSED", ""):
        npm.fails(code=code, summary="no")
        with pytest.raises(NpmError) as caught:
            look(tmp_path)
        assert caught.value.code == code


@pytest.mark.parametrize("answer", [None, [], "text"])
def test_a_listing_that_is_none_is_an_error(npm: Started, tmp_path: Path, answer: object) -> None:
    npm.says(answer)
    with pytest.raises(NpmError, match="npm view printed something else"):
        NPM.listing("a", tmp_path)


def test_the_digest_is_the_registrys(npm: Started, tmp_path: Path) -> None:
    npm.says("sha512-x")
    assert NPM.integrity("a@1", tmp_path) == "sha512-x"
    assert npm.args[2:5] == ["view", "a@1", "dist.integrity"]


def test_a_failure_has_npms_code_and_its_words(npm: Started, tmp_path: Path) -> None:
    npm.fails(code="ERESOLVE", summary=" could not resolve \n", detail="because")
    with pytest.raises(NpmError, match=r"^npm install failed: could not resolve$") as caught:
        NPM.install({}, tmp_path)
    assert (caught.value.code, caught.value.detail) == (
        "ERESOLVE",
        "could not resolve\nbecause",
    )
    npm.fails(code="EWHAT")
    with pytest.raises(NpmError, match=r"^npm install failed: EWHAT$"):
        NPM.install({}, tmp_path)


@pytest.mark.parametrize(
    ("done", "words", "detail"),
    [
        (replace(GOOD, stdout="<html>", stderr="why"), "printed something else", "<html>why"),
        (replace(GOOD, returncode=1, stdout="[]", stderr="why"), "printed something", "[]why"),
        (replace(GOOD, returncode=1, stderr="why"), "printed something else", "why"),
        (replace(GOOD, ending="timeout", returncode=-15, stderr="why"), "within 240 s", "why"),
        (replace(GOOD, ending="signal", returncode=-9, cpu_seconds=119.6, stderr="why"),
         "by signal 9 after 120 s", "why"),
    ],
    ids=["no-json", "no-error", "nothing", "deadline", "killed"],
)  # fmt: skip
def test_what_is_no_word_of_npms_has_no_code(
    npm: Started, tmp_path: Path, done: Completed, words: str, detail: str
) -> None:
    npm.done = done
    with pytest.raises(NpmError, match=words) as caught:
        NPM.install({}, tmp_path)
    assert (caught.value.code, caught.value.detail) == ("", detail)


def test_npm_has_the_users_settings_of_its_own_and_nothing_else(
    npm: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = {
        "npm_config_registry": "r",
        "NPM_CONFIG_CACHE": "c",
        "NODE_EXTRA_CA_CERTS": "ca",
        "https_proxy": "p",
        "NO_PROXY": "n",
    }
    kept = {"OPENAI_API_KEY": "k", "NODE_OPTIONS": "o", "my_npm_config_x": "x", "npm_config_": ""}
    for name, value in {**passed, **kept}.items():
        monkeypatch.setenv(name, value)
    NPM.install({}, tmp_path)
    assert npm.env.items() >= passed.items()
    assert npm.env.get("NODE_OPTIONS") != "o"
    assert not (kept.keys() - {"NODE_OPTIONS"}) & npm.env.keys()
    assert npm.env["HOME"] == str(Path.home())
    assert npm.env["TMPDIR"] == str(tmp_path)
    assert npm.env["NODE_DISABLE_COMPILE_CACHE"] == "1"
    assert npm.env["PATH"].startswith("/node/bin:")
    heap = processes.heap_of(npm_module.HEAP_MEBIBYTES)
    assert npm.env.items() >= heap.items()


@pytest.mark.parametrize(
    "name", ["a", "A", "a.b", "a_b", "a-b", "a~!*'()", "@a/b", "@A/b.c", "@a/_b", "1"]
)
def test_names_that_a_package_can_have(name: str) -> None:
    assert is_valid_package_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "_a", "-a", ".a", "a b", "a/b", "@a", "@a/", "@/a", "@a/.b", "@.a/b", "@a/b/c"),
        *("node_modules", "Favicon.ico", "ä", "a%20", "a:b"),
    ],
)
def test_names_that_no_package_can_have(name: str) -> None:
    assert not is_valid_package_name(name)
