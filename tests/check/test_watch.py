"""What makes a watch check again: the files themselves, whoever tells of them and when."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_convex_eval.check.project import find_project
from pytest_convex_eval.check.watch import changes, look

OLD = 1_000_000_000


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    for name in ("package.json", "convex/a.ts", "convex/_generated/api.ts", "src/b.ts", "other.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")
        os.utime(root / name, (OLD, OLD))
    return root


def edit(path: Path) -> None:
    path.write_text("changed")


def remove(path: Path) -> None:
    path.unlink()


def bring(path: Path) -> None:
    """As `mv` and `git checkout` do: a file that is older than the last check."""
    path.write_text("{}")
    os.utime(path, (OLD, OLD))


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (edit, "convex/a.ts"),
        (remove, "convex/a.ts"),
        (bring, "convex/new.ts"),
        (edit, "package.json"),
        (bring, "convex.json"),
        (edit, "src/b.ts"),
    ],
)
def test_what_changes_while_a_check_runs_is_checked_again(
    app: Path, how: Callable[[Path], None], name: str
) -> None:
    checks = 0
    for _ in changes(lambda: find_project(app), lambda: [app / "src/b.ts"]):
        checks += 1
        if checks == 2:
            break
        # The first check runs, and nobody watches yet.
        how(app / name)
    assert checks == 2


@pytest.mark.parametrize("name", ["other.md", "convex/_generated/api.ts", "convex/.hidden"])
def test_what_is_no_source_is_not_looked_at(app: Path, name: str) -> None:
    project = find_project(app)
    before = look(project, [app / "src/b.ts"])
    edit(app / name)
    assert look(project, [app / "src/b.ts"]) == before
    edit(app / "src/b.ts")
    after = look(project, [app / "src/b.ts"])
    assert [path for path in after if after[path] != before[path]] == [app / "src/b.ts"]
