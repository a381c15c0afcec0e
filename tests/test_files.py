"""Files that are written whole or not at all, and the package as one word."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_convex_eval import fingerprint
from pytest_convex_eval.files import write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_whole_and_can_be_read_by_all(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.json"
    path.write_text("the old one, which is longer")
    write_whole(path, "é\ud83d\r\n", durable=durable)
    assert path.read_bytes() == b"\xc3\xa9\xed\xa0\xbd\r\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("durable", "times"), [(False, 0), (True, 1)])
def test_only_what_must_survive_a_power_cut_is_forced_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, times: int
) -> None:
    forced = []

    def fsync(handle: int) -> None:
        (beside,) = tmp_path.iterdir()
        forced.append((os.fstat(handle).st_ino == beside.stat().st_ino, beside.read_text()))
        assert beside.name.startswith(".")
        assert beside.name.endswith(".tmp")

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "a", "text", durable=durable)
    assert forced == [(True, "text")] * times


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_writer_that_is_stopped_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def replace(self: Path, target: Path) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(type(error)):
        write_whole(path, "new")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a": "old"}


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a", "text")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a few files, which the fingerprint takes for its own."""
    folder = tmp_path / "package"
    for name in ("a.py", "deep/b.mjs", "deep/c.json", "d.md", "e.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.setattr(fingerprint, "__file__", str(folder / "fingerprint.py"))
    fingerprint.package_fingerprint.cache_clear()
    yield folder
    fingerprint.package_fingerprint.cache_clear()


def _anew() -> str:
    fingerprint.package_fingerprint.cache_clear()
    return fingerprint.package_fingerprint()


@pytest.mark.parametrize("name", ["a.py", "deep/b.mjs", "deep/c.json", "d.md"])
def test_each_file_that_can_change_a_verdict_changes_the_fingerprint(
    package: Path, name: str
) -> None:
    before = _anew()
    assert len(before) == 16
    assert _anew() == before
    path = package / name
    path.write_text(f"{name} ")
    changed = _anew()
    path.rename(path.with_name(f"x{path.suffix}"))
    renamed = _anew()
    path.with_name(f"x{path.suffix}").unlink()
    assert len({before, changed, renamed, _anew()}) == 4


@pytest.mark.parametrize(
    ("name", "judges"),
    [
        ("stages/a.py", True),
        ("server/push/b.ts", True),
        ("toolchain/lint/plugin/c.mjs", True),
        ("generation/reading/d.py", True),
        ("generation/prompts.py", False),
        ("runs/e.py", False),
        ("statistics/f.py", False),
        ("plugin.py", False),
    ],
)
def test_the_checker_is_what_judges_an_answer_and_nothing_else(
    package: Path, name: str, judges: bool
) -> None:
    def anew() -> str:
        fingerprint.checker_fingerprint.cache_clear()
        return fingerprint.checker_fingerprint()

    before = anew()
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_text("new")
    changed = anew() != before
    fingerprint.checker_fingerprint.cache_clear()
    assert changed == judges


def test_each_folder_that_judges_is_there() -> None:
    root = Path(fingerprint.__file__).parent
    assert len(fingerprint.JUDGES) == 8
    assert [name for name in fingerprint.JUDGES if not (root / name).is_dir()] == []


def test_the_fingerprint_knows_no_other_files_and_no_place(package: Path) -> None:
    before = _anew()
    (package / "e.txt").write_text("changed")
    (package / "f.pyc").write_text("new")
    (package / "folder.py").mkdir()
    assert _anew() == before
    moved = package.with_name("moved")
    shutil.copytree(package, moved)
    fingerprint.__file__ = str(moved / "fingerprint.py")
    assert _anew() == before


def test_the_fingerprint_is_made_once_a_process(package: Path) -> None:
    before = _anew()
    (package / "a.py").write_text("changed")
    assert fingerprint.package_fingerprint() == before
