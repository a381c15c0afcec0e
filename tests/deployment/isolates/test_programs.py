"""The programs of isolates, written into the cache once, and removed when no server uses them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.deployment.server_modules import InServer

DAY_SECONDS = 86_400


def aged(folder: Path, days: float) -> Path:
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "program.mjs").write_text("export {};\n")
    stamp = time.time() - days * DAY_SECONDS
    os.utime(folder, (stamp, stamp))
    return folder


def test_what_no_server_used_for_a_week_goes_when_others_are_written(
    in_server: InServer, tmp_path: Path
) -> None:
    old = [aged(tmp_path / name, 8) for name in ("inside-0a", "convex-eval-inside-x")]
    kept = [
        aged(tmp_path / "inside-1b", 6),
        aged(tmp_path / "inside-2c", 0),
        aged(tmp_path / "compiled", 100),
        aged(tmp_path / "else-inside-1", 100),
    ]
    folder = Path(in_server("return new Programs(args.cache).folder", cache=str(tmp_path)))
    assert (folder / "inside" / "program.mjs").stat().st_size > 0
    assert folder.parent == tmp_path.resolve()
    assert [path.exists() for path in old] == [False, False]
    assert [path.exists() for path in kept] == [True] * 4


def test_a_server_that_starts_says_that_it_uses_them(in_server: InServer, tmp_path: Path) -> None:
    folder = Path(in_server("return new Programs(args.cache).folder", cache=str(tmp_path)))
    other = aged(tmp_path / "inside-0a", 30)
    before = time.time() - 6 * DAY_SECONDS
    os.utime(folder, (before, before))
    assert in_server("return new Programs(args.cache).folder", cache=str(tmp_path)) == str(folder)
    assert folder.stat().st_mtime > before + DAY_SECONDS
    # Nothing new was written, so that there is nothing to look for.
    assert other.exists()
