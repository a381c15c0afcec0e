from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain import once
from pytest_convex_eval.toolchain.once import made_once


def load(folder: Path) -> str | None:
    marker = folder / "marker"
    return marker.read_text() if marker.is_file() else None


def build(folder: Path) -> None:
    (folder / "marker").write_text("whole")


def make(target: Path, *, progress: once.Progress = once.silent) -> str:
    return made_once(target, what="it", load=load, build=build, progress=progress)


def test_it_is_built_and_then_only_loaded(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "key"
    lines: list[str] = []
    assert make(target, progress=lines.append) == "whole"
    assert len(lines) == 2
    assert make(target, progress=lines.append) == "whole"
    assert len(lines) == 2


def test_threads_build_once(tmp_path: Path) -> None:
    builds = []

    def slowly(folder: Path) -> None:
        builds.append(folder)
        time.sleep(0.2)
        build(folder)

    def want() -> None:
        made_once(tmp_path / "key", what="it", load=load, build=slowly, progress=once.silent)

    threads = [threading.Thread(target=want) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert load(tmp_path / "key") == "whole"


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise InfrastructureError("no network")

    with pytest.raises(InfrastructureError, match="no network"):
        made_once(tmp_path / "key", what="it", load=load, build=fail, progress=once.silent)
    assert [path.name for path in tmp_path.iterdir()] == [".key.lock"]
    assert make(tmp_path / "key") == "whole"


def test_a_damaged_folder_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "key"
    make(target)
    (target / "marker").unlink()
    (target / "other").touch()
    assert make(target) == "whole"
    assert not (target / "other").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"key", ".key.lock"}


def test_leftovers_go_but_not_what_another_builds_just_now(tmp_path: Path) -> None:
    for name in (".key.dead", ".older.dead"):
        (tmp_path / name / "deep").mkdir(parents=True)
    seen: list[bool] = []

    def build_inner(folder: Path) -> None:
        make(tmp_path / "inner")
        seen.append(folder.is_dir())
        build(folder)

    made_once(tmp_path / "key", what="it", load=load, build=build_inner, progress=once.silent)
    assert seen == [True]
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"key", "inner"}


def test_who_waits_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "PATIENCE_SECONDS", 0.05)
    started, enough = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        started.set()
        enough.wait(10)
        build(folder)

    def first() -> None:
        made_once(tmp_path / "key", what="it", load=load, build=slowly, progress=once.silent)

    def told(line: str) -> None:
        lines.append(line)
        enough.set()

    lines: list[str] = []
    thread = threading.Thread(target=first)
    thread.start()
    started.wait(10)
    assert make(tmp_path / "key", progress=told) == "whole"
    thread.join()
    assert lines == ["waiting for another process to install it"]


def test_who_waits_too_long_is_not_left_hanging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(once, "WAIT_SECONDS", 0.1)
    enough = threading.Event()
    started = threading.Event()

    def slowly(folder: Path) -> None:
        started.set()
        enough.wait(10)
        build(folder)

    def first() -> None:
        made_once(tmp_path / "key", what="it", load=load, build=slowly, progress=once.silent)

    thread = threading.Thread(target=first)
    thread.start()
    started.wait(10)
    try:
        with pytest.raises(InfrastructureError, match="another process"):
            make(tmp_path / "key")
    finally:
        enough.set()
        thread.join()


def test_a_cache_that_is_no_folder_is_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InfrastructureError, match="can't be installed"):
        make(tmp_path / "cache" / "key")
