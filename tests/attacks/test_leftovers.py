"""What lies in the temporary folder ends nobody's process and removes nobody's files but ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_convex_eval.leftovers import new_scratch, scratch_name, start_time, sweep
from tests.patience import until_gone

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that no other process knows of."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user that leads its own group."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as child:
        yield child
        child.kill()


@pytest.fixture
def dead() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen(["true"]) as child:
        child.wait()
    return child.pid


@pytest.fixture
def registry(temporary: Path) -> Path:
    folder = temporary / f"convex-eval-processes-{os.getuid()}"
    folder.mkdir(mode=0o700)
    return folder


def forged(registry: Path, pid: int, dead: int) -> Path:
    """A note as a dead owner would have left it."""
    note = registry / f"{pid}.pgid"
    note.write_text(f"{os.uname().nodename} {dead} {pid} {start_time(pid)}")
    note.chmod(0o600)
    return note


def writable_folder(registry: Path, note: Path) -> None:
    registry.chmod(0o777)


def folder_of_the_group(registry: Path, note: Path) -> None:
    registry.chmod(0o770)


def writable_note(registry: Path, note: Path) -> None:
    note.chmod(0o666)


def linked_note(registry: Path, note: Path) -> None:
    elsewhere = registry.parent / "note"
    note.rename(elsewhere)
    note.symlink_to(elsewhere)


def linked_folder(registry: Path, note: Path) -> None:
    elsewhere = registry.parent / "registry"
    registry.rename(elsewhere)
    registry.symlink_to(elsewhere)


def fifo(registry: Path, note: Path) -> None:
    note.unlink()
    os.mkfifo(note, 0o600)


def endless(registry: Path, note: Path) -> None:
    note.unlink()
    note.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "change",
    [
        writable_folder, folder_of_the_group, writable_note, linked_note, linked_folder, fifo,
        endless,
    ],
)  # fmt: skip
def test_a_note_that_others_may_have_written_ends_nothing(
    registry: Path,
    victim: subprocess.Popen[bytes],
    dead: int,
    change: Callable[[Path, Path], None],
) -> None:
    change(registry, forged(registry, victim.pid, dead))
    assert sweep() == []
    assert victim.poll() is None


def test_a_folder_of_another_user_is_not_believed(
    registry: Path, victim: subprocess.Popen[bytes], dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged(registry, victim.pid, dead)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    registry.rename(registry.with_name(f"convex-eval-processes-{mine + 1}"))
    assert sweep() == []
    assert victim.poll() is None


def test_a_note_of_this_user_is_believed(
    registry: Path, victim: subprocess.Popen[bytes], dead: int
) -> None:
    forged(registry, victim.pid, dead)
    assert sweep() == [victim.pid]
    assert victim.wait() < 0


def left_by(pid: int, name: str | None = None) -> Path:
    """A temporary folder with files in it, as the process `pid` leaves it that is killed."""
    name = name or scratch_name("item")
    folder = Path(tempfile.gettempdir(), name.replace(f"-{os.getpid()}-", f"-{pid}-"))
    (folder / "workspace" / "convex").mkdir(parents=True)
    (folder / "workspace" / "convex" / "a.ts").write_text("export {};\n")
    (folder / "workspace" / "link").symlink_to(ROOT)
    return folder


def test_folders_of_the_dead_are_removed_and_what_they_link_to_is_not(dead: int) -> None:
    folders = [left_by(dead), left_by(dead), left_by(dead, scratch_name("deployment"))]
    sweep()
    assert [folder.exists() for folder in folders] == [False] * 3
    assert (ROOT / "pytest_convex_eval").is_dir()


def test_folders_of_the_living_another_machine_and_others_stay(
    dead: int, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = new_scratch("item")
    start = start_time(os.getpid())
    reused = left_by(os.getpid(), scratch_name("item").replace(f"-{start}-", "-1-"))
    other_machine = left_by(dead)
    machine = other_machine.name.split("-")[-2]
    other_machine = other_machine.rename(
        other_machine.with_name(other_machine.name.replace(machine, "0" * 8))
    )
    stranger = temporary / "convex-eval-notes"
    stranger.mkdir()
    link = temporary / left_by(dead, scratch_name("link")).name.replace("-link-", "-linked-")
    link.symlink_to(stranger)
    sweep()
    kept = [mine, other_machine, stranger, link]
    assert [folder.exists() for folder in kept] == [True] * 4
    if start != "unknown":
        assert not reused.exists()
    theirs = left_by(dead)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    sweep()
    assert theirs.exists()


def test_a_scratch_folder_is_its_owners_alone() -> None:
    one, other = new_scratch("item"), new_scratch("item")
    assert one != other
    assert one.stat().st_mode & 0o777 == 0o700


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_child_whose_owner_is_killed_before_there_is_a_note_never_begins(temporary: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from pytest_convex_eval import processes

        def killed(pid):
            Path("{temporary}/pid").write_text(str(pid))
            os.kill(os.getpid(), signal.SIGKILL)

        processes.note_group = killed
        home = Path("{temporary}")
        processes.run(["sh", "-c", "echo begun > {temporary}/begun; sleep 600"], cwd=home,
            env=processes.environment(home=home), limits=processes.Limits(600))
    """
    owner = subprocess.run(python(code), env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert owner.returncode < 0
    child = int((temporary / "pid").read_text())
    until_gone(child)
    assert not (temporary / "begun").exists()


def test_a_killed_run_leaves_no_folder_after_the_next_sweep(temporary: Path) -> None:
    code = """
        import os, signal
        from pytest_convex_eval.leftovers import new_scratch

        (new_scratch("item") / "file").write_text("left")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    owner = subprocess.run(
        python(code),
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        check=False,
    )
    assert owner.returncode < 0
    (left,) = temporary.glob("convex-eval-item-*")
    assert (left / "file").read_text() == "left"
    sweep()
    assert not left.exists()
