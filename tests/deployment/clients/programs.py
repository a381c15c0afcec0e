"""Programs that use the official clients."""

from __future__ import annotations

from pathlib import Path

from pytest_convex_eval import processes
from tests.patience import HANG_SECONDS


def printed(node: Path, program: str, folder: Path, modules: Path) -> str:
    """What a Node program prints that runs in a new folder with these `node_modules`."""
    folder.mkdir()
    (folder / "node_modules").symlink_to(modules)
    (folder / "main.mjs").write_text(program)
    done = processes.run(
        [node, "main.mjs"],
        cwd=folder,
        env=processes.environment(home=folder, path=[node.parent]),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stdout + done.stderr
    return done.stdout
