from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_convex_eval import once
from pytest_convex_eval.once import made_once
from pytest_convex_eval.outcomes import InfrastructureError
from tests.patience import HANG_SECONDS


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


def test_what_takes_long_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    make(tmp_path / "key", progress=lines.append)
    first, last = lines
    assert first == "installing it (once per machine)"
    assert re.fullmatch(r"installed it in \d+\.\d s", last)


def test_others_of_the_machine_can_read_it(tmp_path: Path) -> None:
    make(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o755


WORKER = """
import os
import sys
from pathlib import Path
from pytest_convex_eval.once import made_once, silent

folder, number = Path(sys.argv[1]), sys.argv[2]

def load(target):
    marker = target / "marker"
    return marker.read_text() if marker.is_file() else None

def build(target):
    print("builds", flush=True)
    sys.stdin.readline()
    (target / "marker").write_text(number)

def told(line):
    if line.startswith("waiting"):
        print("waits", flush=True)

print(made_once(folder / "key", what="it", load=load, build=build, progress=told), flush=True)
"""


def worker(folder: Path, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, folder, str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_processes_build_once(tmp_path: Path) -> None:
    first = worker(tmp_path, 1)
    assert said(first) == "builds"
    others = [worker(tmp_path, number) for number in (2, 3)]
    assert [said(process) for process in others] == ["waits", "waits"]
    assert first.communicate("\n")[0] == "1\n"
    assert [process.communicate()[0] for process in others] == ["1\n", "1\n"]


def test_who_waits_for_a_builder_that_is_killed_builds_itself(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 1), None
    try:
        assert said(first) == "builds"
        second = worker(tmp_path, 2)
        assert said(second) == "waits"
        first.kill()
        assert said(second) == "builds"
        assert second.communicate("\n")[0] == "2\n"
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {"key", ".key.lock"}


def test_who_waits_for_a_build_that_fails_builds_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "PATIENCE_SECONDS", 0.01)
    started, waits = threading.Event(), threading.Event()

    def fail(folder: Path) -> None:
        started.set()
        waits.wait(HANG_SECONDS)
        raise InfrastructureError("no network")

    def first() -> None:
        with pytest.raises(InfrastructureError, match="no network"):
            made_once(tmp_path / "key", what="it", load=load, build=fail, progress=once.silent)

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(HANG_SECONDS)
    lines: list[str] = []

    def told(line: str) -> None:
        lines.append(line)
        waits.set()

    assert make(tmp_path / "key", progress=told) == "whole"
    thread.join()
    assert [line.split()[0] for line in lines] == ["waiting", "installing", "installed"]


def test_what_is_not_whole_when_it_was_made_is_the_environments_fault(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="not whole although it was just made"):
        made_once(
            tmp_path / "key", what="it", load=load, build=lambda _: None, progress=once.silent
        )


def test_what_dead_builders_left_running_is_ended_before_their_folders_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = tmp_path / ".key.dead"
    there: list[bool] = []
    monkeypatch.setattr(once, "sweep", lambda: there.append(dead.exists()))
    dead.mkdir()
    make(tmp_path / "key")
    assert there[0] is True
    assert not dead.exists()


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


def test_a_leftover_that_was_left_twice_belongs_to_the_first_name(tmp_path: Path) -> None:
    # The name of a folder in the making ends with whatever `tempfile` chose, dots included.
    (tmp_path / ".key.de.ad").mkdir()
    made_once(tmp_path / "key", what="it", load=load, build=build, progress=once.silent)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"key"}


def test_a_leftover_that_cannot_go_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".older.dead"
    left.mkdir()
    real = os.rmdir

    def rmdir(path: str | Path, **options: int) -> None:
        if Path(path).name == left.name:
            raise PermissionError(path)
        real(path, **options)

    monkeypatch.setattr(os, "rmdir", rmdir)
    made_once(tmp_path / "key", what="it", load=load, build=build, progress=once.silent)
    assert left.is_dir()
    assert (tmp_path / "key").is_dir()


def test_who_waits_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "PATIENCE_SECONDS", 0.05)
    started, enough = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        started.set()
        enough.wait(HANG_SECONDS)
        build(folder)

    def first() -> None:
        made_once(tmp_path / "key", what="it", load=load, build=slowly, progress=once.silent)

    def told(line: str) -> None:
        lines.append(line)
        enough.set()

    lines: list[str] = []
    thread = threading.Thread(target=first)
    thread.start()
    started.wait(HANG_SECONDS)
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
        enough.wait(HANG_SECONDS)
        build(folder)

    def first() -> None:
        made_once(tmp_path / "key", what="it", load=load, build=slowly, progress=once.silent)

    thread = threading.Thread(target=first)
    thread.start()
    started.wait(HANG_SECONDS)
    try:
        with pytest.raises(InfrastructureError, match="another process"):
            make(tmp_path / "key")
    finally:
        enough.set()
        thread.join()


def test_a_cache_that_is_no_folder_is_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    words = r"^it can't be installed in .*/cache: File exists$"
    with pytest.raises(InfrastructureError, match=words):
        make(tmp_path / "cache" / "key")
