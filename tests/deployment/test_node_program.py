"""The server's JavaScript by itself."""

from __future__ import annotations

from pathlib import Path

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import SERVER
from tests.deployment.fixtures import NpmInstall
from tests.patience import HANG_SECONDS


def test_its_types_are_sound(node: Path, npm_install: NpmInstall, tmp_path: Path) -> None:
    modules = npm_install("typescript@7.0.2", "@types/node@24")
    tsc = modules / "typescript" / "bin" / "tsc"
    done = processes.run(
        [node, tsc, "-p", SERVER.parent, "--noEmit", "--typeRoots", modules / "@types"],
        cwd=tmp_path,
        env=processes.environment(home=tmp_path, path=[node.parent]),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stdout + done.stderr
