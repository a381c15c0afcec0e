from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import platformdirs
import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.lint import bundle as lint_bundle
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.install import (
    bundled_sources,
    check_integrity,
    install_toolchain,
    unpack,
)
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Tarball
from pytest_convex_eval.toolchain.packages.pins import Pin, current_platform, packages
from tests.patience import until

INSTALL = """
import sys
from pathlib import Path
from pytest_convex_eval.toolchain.packages.install import install_toolchain

def told(line):
    print(line, flush=True)

print(install_toolchain(Path(sys.argv[1]), progress=told).root, flush=True)
"""


def installer(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL, cache], stdout=subprocess.PIPE, text=True
    )


def assert_whole(toolchain: Toolchain) -> None:
    """Each program runs, and there is nothing but what was pinned."""
    commands: list[list[str | Path]] = [
        [toolchain.esbuild, "--version"],
        [toolchain.tsc, "--version"],
        [toolchain.node, toolchain.oxlint, "--version"],
        [toolchain.tsgolint, "--help"],
        [toolchain.node, toolchain.npm, "--version"],
        [toolchain.node, "--check", toolchain.lint_plugin],
    ]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    modules = toolchain.root / "node_modules"
    found = {
        str(manifest.parent.relative_to(modules))
        for pattern in ("*/package.json", "@*/*/package.json")
        for manifest in modules.glob(pattern)
    }
    assert found == set(packages(current_platform()).values())


def test_the_programs_run_and_nothing_but_them_is_there(toolchain: Toolchain) -> None:
    assert_whole(toolchain)
    assert {path.name for path in toolchain.root.iterdir()} == {
        "lint_plugin.mjs",
        "node_modules",
        "rules_plugin.mjs",
        "toolchain.json",
    }
    assert toolchain.versions["node"] == node_runtime().version
    assert toolchain.versions["typescript"] == "7.0.2"


def test_an_installed_toolchain_needs_no_process(toolchain: Toolchain, no_processes: None) -> None:
    lines: list[str] = []
    assert install_toolchain(default_cache(), progress=lines.append) == toolchain
    assert lines == []


def test_every_path_is_absolute_and_below_the_root(toolchain: Toolchain) -> None:
    paths = [getattr(toolchain, field.name) for field in fields(toolchain)]
    files = [path for path in paths if isinstance(path, Path)]
    assert all(path.is_absolute() and path.exists() for path in files)
    assert toolchain.root.name == toolchain.fingerprint


def test_a_toolchain_is_another_one_where_what_is_built_into_it_is(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    rules = Path(lint_bundle.__file__).with_name("plugin") / "index.mjs"
    meta = tmp_path / "meta.json"
    options = ["--bundle", "--platform=node", "--format=esm", f"--metafile={meta}"]
    subprocess.run(
        [toolchain.esbuild, rules, *options, f"--outfile={tmp_path / 'out.mjs'}"],
        cwd=rules.parent,
        check=True,
        capture_output=True,
    )
    inputs = {(rules.parent / path).resolve() for path in json.loads(meta.read_text())["inputs"]}
    assert inputs | {rules.parents[1] / "bundle.py", rules.parents[1] / "shim.mjs"} == {
        path.resolve() for path in bundled_sources()
    }


def test_a_killed_install_is_followed_by_a_whole_one(tmp_path: Path) -> None:
    process = installer(tmp_path)
    toolchains = tmp_path / "toolchains"
    until(lambda: bool(list(toolchains.glob(".*/downloads/*"))) or process.poll() is not None)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert [path for path in toolchains.iterdir() if not path.name.startswith(".")] == []
    assert any(path.is_dir() for path in toolchains.iterdir())

    assert_whole(install_toolchain(tmp_path))
    assert sum(path.is_dir() for path in toolchains.iterdir()) == 1


def test_no_network_is_the_environments_fault(unreachable_registry: None, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="npm pack failed"):
        install_toolchain(tmp_path / "cache")
    assert not any(path.is_dir() for path in (tmp_path / "cache" / "toolchains").iterdir())


def test_the_cache_is_the_users_or_the_configured_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONVEX_EVAL_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("CONVEX_EVAL_CACHE")
    assert default_cache() == platformdirs.user_cache_path("pytest-convex-eval")


def integrity_of(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


def test_a_tarball_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.tgz"
    file.write_bytes(b"good")
    tarball = Tarball("a", "1.0.0", integrity_of(b"good"), file)
    pin = Pin("a", "a", "1.0.0", integrity_of(b"good"))
    check_integrity(tarball, pin)
    check_integrity(tarball, replace(pin, integrity=None))

    file.write_bytes(b"evil")
    for recorded in (pin.integrity, None, "sha512-nonsense!", "sha1-abcd"):
        with pytest.raises(InfrastructureError, match="not the pinned tarball"):
            check_integrity(tarball, replace(pin, integrity=recorded))
    # The registry serving other bytes under other metadata is what the record is there for.
    with pytest.raises(InfrastructureError, match="not the pinned tarball"):
        check_integrity(replace(tarball, integrity=integrity_of(b"evil")), pin)


def tarball_of(path: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for entry in entries:
            entry.size = 1 if entry.isfile() else 0
            archive.addfile(entry, io.BytesIO(b"x"))
    return path


def test_unpacking_drops_the_top_folder_and_keeps_programs_executable(tmp_path: Path) -> None:
    program, text = tarfile.TarInfo("package/bin/run"), tarfile.TarInfo("package/read.me")
    program.mode, text.mode = 0o775, 0o664
    link = tarfile.TarInfo("package/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    unpack(tarball_of(tmp_path / "a.tgz", program, text, link), tmp_path / "out")
    found = {p.name: oct(p.stat().st_mode & 0o777) for p in (tmp_path / "out").rglob("*.*")}
    assert found == {"read.me": "0o644"}
    assert os.access(tmp_path / "out" / "bin" / "run", os.X_OK)
    assert not os.path.lexists(tmp_path / "out" / "link")


@pytest.mark.parametrize(
    "path", ["package/../../out", "package", "../../out", "package//../a/../.."]
)
def test_an_entry_that_would_land_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    tarball = tarball_of(tmp_path / "a.tgz", tarfile.TarInfo(path))
    with pytest.raises(InfrastructureError, match="bad path"):
        unpack(tarball, tmp_path / "deep" / "deeper" / "target")


def test_what_is_no_tarball_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"<html>")
    with pytest.raises(InfrastructureError, match="can't be unpacked"):
        unpack(tmp_path / "a.tgz", tmp_path / "out")
