"""Children: how they end, what they may use, and that nothing outlives its owner."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import psutil
import pytest

from pytest_convex_eval import leftovers, processes
from pytest_convex_eval.leftovers import sweep
from pytest_convex_eval.processes import (
    Completed,
    Ending,
    Limits,
    cpu_seconds_of,
    environment,
    heap_of,
    kill,
    run,
    running,
)
from tests.patience import HANG_SECONDS, until, until_exited, until_gone

LONG = HANG_SECONDS
"""Seconds that no test comes near: of a machine's speed they say nothing."""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def sh(
    tmp_path: Path,
    script: str,
    limits: Limits | None = None,
    *,
    stdin: str | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    return run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=limits or Limits(LONG),
        stdin=stdin,
        on_line=on_line,
    )


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limits:
    """A limit that is reached as soon as there is a file called `ready`."""

    def monotonic() -> float:
        return time.monotonic() + (1e6 if (tmp_path / "ready").exists() else 0.0)

    told = SimpleNamespace(monotonic=monotonic, sleep=time.sleep)
    monkeypatch.setattr(processes, "time", told)
    return Limits(1e5)


def test_output_status_and_cpu_time_are_told(tmp_path: Path) -> None:
    code = "import sys; x = sum(range(3_000_000)); print(sys.stdin.read()); sys.exit(3)"
    before = time.monotonic()
    done = run(
        python(code),
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(LONG),
        stdin="é" * 9,
    )
    assert 0 < done.wall_seconds <= time.monotonic() - before
    assert (done.returncode, done.ending, done.stdout) == (3, "exit", "é" * 9 + "\n")
    assert done.cpu_seconds > 0.01
    assert not done.ok


def test_last_words_between_a_look_at_the_pipes_and_one_at_the_child_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(selectors.DefaultSelector):
        """Sees nothing at first, and looks again, as on a busy machine, when the child is gone."""

        looks = 0

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self.looks += 1
            if self.looks > 1:
                return super().select(timeout)
            until_exited(started[0])
            return []

    started: list[int] = []
    popen = subprocess.Popen

    def start(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] = popen(*args, **more)
        started.append(child.pid)
        return child

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(selectors, "DefaultSelector", Late)
    done = sh(tmp_path, "echo said; exit 1")
    assert (done.returncode, done.stdout) == (1, "said\n")


def test_the_environment_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    env = environment(home=tmp_path, path=[tmp_path / "a", tmp_path / "b"], MORE="1")
    assert env == {
        "PATH": f"{tmp_path}/a:{tmp_path}/b:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "MORE": "1",
    }
    done = run(["env"], cwd=tmp_path, env=env, limits=Limits(LONG))
    assert "secret" not in done.stdout
    assert f"HOME={tmp_path}" in done.stdout


def test_a_deadline_ends_the_whole_group(tmp_path: Path, late: Limits) -> None:
    def told(line: str) -> None:
        (tmp_path / "ready").touch()

    done = sh(tmp_path, "sleep 600 & echo $!; echo err >&2; wait", late, on_line=told)
    assert (done.ending, done.stderr, done.ok) == ("timeout", "err\n", False)
    assert done.wall_seconds > 1e5
    assert _gone(int(done.stdout))


def test_a_deadline_also_ends_a_child_that_has_closed_its_pipes(
    tmp_path: Path, late: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        (tmp_path / "ready").touch()
        time.sleep(seconds)

    monkeypatch.setattr("pytest_convex_eval.processes.time.sleep", sleep)
    done = sh(tmp_path, "echo said; exec >&- 2>&-; exec sleep 600", late)
    assert (done.ending, done.stdout) == ("timeout", "said\n")


def test_a_child_that_has_closed_its_pipes_is_waited_for(tmp_path: Path) -> None:
    done = sh(tmp_path, "exec >&- 2>&-; sleep 0.2; exit 4")
    assert (done.ending, done.returncode) == ("exit", 4)


@on_linux
def test_what_a_childs_own_child_used_counts_at_a_deadline(tmp_path: Path, late: Limits) -> None:
    code = """
        import sys, time
        from pathlib import Path
        while time.process_time() < 0.3:
            pass
        Path(sys.argv[1]).touch()
        if Path("one").exists() and Path("two").exists():
            Path("ready").touch()
        time.sleep(600)
    """
    # The child itself only waits.
    args = ["sh", "-c", '"$@" one & "$@" two; true', "sh", *python(code)]
    done = run(args, cwd=tmp_path, env=environment(home=tmp_path), limits=late)
    assert done.ending == "timeout"
    assert done.cpu_seconds >= 0.5


def test_what_a_child_leaves_in_its_group_dies_with_it(tmp_path: Path) -> None:
    done = sh(tmp_path, "sleep 600 & echo $!")
    assert (done.ending, done.returncode) == ("exit", 0)
    assert _gone(int(done.stdout))


def test_a_child_is_asked_to_end_before_it_is_killed(
    tmp_path: Path, late: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", LONG)
    done = sh(tmp_path, "trap 'exit 7' TERM; : > ready; while :; do sleep 0.05; done", late)
    assert (done.ending, done.returncode) == ("timeout", 7)


def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path, late: Limits) -> None:
    done = sh(tmp_path, "trap '' TERM; : > ready; while :; do sleep 0.05; done", late)
    assert (done.ending, done.returncode) == ("timeout", -signal.SIGKILL)


@pytest.mark.parametrize(
    ("limits", "head"),
    [
        (Limits(1), None),
        (Limits(1, cpu_seconds=5), ["0", "5"]),
        (Limits(1, address_space_bytes=4096), ["4", "0"]),
        (Limits(1, cpu_seconds=1, address_space_bytes=10240), ["10", "1"]),
    ],
)
def test_only_what_is_limited_runs_under_a_shell(limits: Limits, head: list[str] | None) -> None:
    wrapped = limits.wrap([Path("/bin/x"), "a b"])
    if head is None:
        assert wrapped == ["/bin/x", "a b"]
    else:
        assert wrapped[:2] == ["/bin/sh", "-c"]
        assert wrapped[3:] == ["sh", *head, "/bin/x", "a b"]


def test_what_a_child_may_print_is_limited_without_saying_so() -> None:
    assert Limits(1).output_bytes == 32 * 1024 * 1024


def test_a_limit_on_the_heap_is_told_to_node() -> None:
    assert heap_of(512) == {"NODE_OPTIONS": "--max-old-space-size=512"}


@pytest.mark.parametrize(
    ("ending", "returncode", "cpu_seconds", "out_of_cpu"),
    [
        ("signal", -signal.SIGKILL, 3.0, True),
        # The kernel's count is sampled.
        ("signal", -signal.SIGKILL, 2.25, True),
        ("signal", -signal.SIGKILL, 2.2, False),
        ("signal", -signal.SIGXCPU, 0.0, True),
        ("signal", -signal.SIGTERM, 3.0, False),
        ("timeout", -signal.SIGKILL, 3.0, False),
        ("exit", 0, 3.0, False),
    ],
)
def test_who_was_ended_by_the_limit_on_cpu(
    ending: Ending, returncode: int, cpu_seconds: float, out_of_cpu: bool
) -> None:
    done = Completed(("x",), returncode, "", "", 9.0, cpu_seconds, ending)
    assert done.out_of_cpu(3.0) is out_of_cpu


@pytest.mark.parametrize(
    ("script", "ending", "returncode", "ok"),
    [
        ("true", "exit", 0, True),
        ("exit 3", "exit", 3, False),
        ("kill -9 $$", "signal", -9, False),
        ("kill -15 $$", "signal", -15, False),
    ],
)
def test_how_a_child_ended_is_told(
    tmp_path: Path, script: str, ending: str, returncode: int, ok: bool
) -> None:
    done = sh(tmp_path, script)
    assert (done.ending, done.returncode, done.ok) == (ending, returncode, ok)
    assert done.args == ("sh", "-c", script)


def test_a_child_runs_where_it_is_told_and_what_is_no_text_is_replaced(tmp_path: Path) -> None:
    done = sh(tmp_path, r"pwd; printf '\377' >&2")
    assert (done.stdout.strip(), done.stderr) == (str(tmp_path.resolve()), "\ufffd")


def test_more_than_a_pipe_holds_goes_in_and_out(tmp_path: Path) -> None:
    text = "0123456789" * 30_000
    done = sh(tmp_path, "cat; cat >&2 </dev/null", stdin=text)
    assert done.stdout == text


def test_a_child_need_not_read(tmp_path: Path) -> None:
    done = sh(tmp_path, "exec <&-; echo said", stdin="x" * 300_000)
    assert (done.ending, done.returncode, done.stdout) == ("exit", 0, "said\n")


def test_a_child_without_input_reads_an_end(tmp_path: Path) -> None:
    assert sh(tmp_path, "cat; echo end").stdout == "end\n"


def test_a_program_that_is_not_there_is_an_error_and_leaves_no_note(
    tmp_path: Path, registry: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        run([tmp_path / "none"], cwd=tmp_path, env={}, limits=Limits(LONG))
    assert not registry.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="address space binds on Linux only")
def test_memory_and_cpu_limits_bind(tmp_path: Path) -> None:
    env = environment(home=tmp_path)
    hungry = Limits(LONG, address_space_bytes=500_000_000)
    done = run(python("x = bytearray(10**9)"), cwd=tmp_path, env=env, limits=hungry)
    assert "MemoryError" in done.stderr
    limits = Limits(LONG, cpu_seconds=1)
    busy = run(["sh", "-c", "while :; do :; done"], cwd=tmp_path, env=env, limits=limits)
    assert busy.ending == "signal"
    assert busy.out_of_cpu(1)


def test_too_much_output_ends_the_child(tmp_path: Path) -> None:
    done = sh(tmp_path, "exec yes", Limits(LONG, output_bytes=1000))
    assert done.ending == "output"
    assert done.stdout.startswith("y\ny\n")


@pytest.mark.parametrize(("limit", "ending"), [(12, "exit"), (11, "output")])
def test_both_pipes_count_as_output(tmp_path: Path, limit: int, ending: str) -> None:
    done = sh(tmp_path, "echo 12345; echo 12345 >&2", Limits(LONG, output_bytes=limit))
    assert done.ending == ending


def test_lines_are_told_as_they_come(tmp_path: Path) -> None:
    lines: list[str] = []
    run(
        ["sh", "-c", "echo one >&2; printf t >&2; sleep 0.1; echo out; printf 'wo\nrest' >&2"],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(LONG),
        on_line=lines.append,
    )
    assert lines == ["one", "two"]


def test_an_interrupt_meanwhile_ends_the_group(tmp_path: Path) -> None:
    told: list[str] = []

    def interrupt(line: str) -> None:
        told.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            ["sh", "-c", "sleep 600 & echo $! >&2; wait"],
            cwd=tmp_path,
            env=environment(home=tmp_path),
            limits=Limits(LONG),
            on_line=interrupt,
        )
    assert _gone(int(told[0]))


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    args = ["sh", "-c", "echo err >&2; exec cat"]
    env = environment(home=tmp_path)
    with (
        (tmp_path / "err").open("wb") as err,
        running(args, cwd=tmp_path, env=env, limits=Limits(LONG), stderr=err) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"
        assert child.stderr is None
    assert _gone(child.pid)
    assert child.returncode == -signal.SIGTERM
    assert (child.stdin.closed, child.stdout.closed) == (True, True)
    assert (tmp_path / "err").read_bytes() == b"err\n"


def test_a_server_ends_with_all_it_started_when_its_block_fails(tmp_path: Path) -> None:
    args = ["sh", "-c", "sleep 600 & echo $!; exec cat"]
    started: list[int] = []

    def fail() -> None:
        with running(args, cwd=tmp_path, env={}, limits=Limits(LONG)) as child:
            assert child.stdout is not None
            started.extend([child.pid, int(child.stdout.readline())])
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    assert [_gone(pid) for pid in started] == [True, True]


def test_a_server_is_killed_with_its_group(tmp_path: Path) -> None:
    args = ["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait"]
    with running(args, cwd=tmp_path, env={}, limits=Limits(LONG)) as child:
        assert child.stdout is not None
        started = int(child.stdout.readline())
        kill(child.pid)
        assert _gone(started)
    assert child.returncode == -signal.SIGKILL
    # Who is gone is no error.
    kill(child.pid)


@on_linux
def test_cpu_seconds_are_those_of_a_process_and_what_it_waited_for(tmp_path: Path) -> None:
    used = cpu_seconds_of(os.getpid())
    ours = os.times()
    assert 0 < used <= sum(ours[:4]) + 0.05
    with running(["cat"], cwd=tmp_path, env={}, limits=Limits(LONG)) as child:
        pass
    assert cpu_seconds_of(child.pid) == 0.0


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for notes that no other process knows of; not there yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"convex-eval-processes-{os.getuid()}"


def test_a_child_is_noted_while_it_runs(tmp_path: Path, registry: Path) -> None:
    with running(["cat"], cwd=tmp_path, env={}, limits=Limits(LONG)) as child:
        (note,) = registry.iterdir()
        assert note.name == f"{child.pid}.pgid"
        machine, owner, group, start = note.read_text().split()
        assert (machine, owner, group) == (os.uname().nodename, str(os.getpid()), str(child.pid))
        assert start == _start(child.pid)
        assert registry.stat().st_mode & 0o777 == 0o700
        assert sweep() == []
        assert _running(child.pid)
        assert os.getpgid(child.pid) == child.pid
        assert note.exists()
    assert list(registry.iterdir()) == []


def test_a_killed_owner_leaves_nothing_after_a_sweep(tmp_path: Path, registry: Path) -> None:
    code = f"""
        from pathlib import Path
        from pytest_convex_eval.processes import Limits, environment, run
        home = Path({str(tmp_path)!r})
        run(["sh", "-c", "echo $$ > {tmp_path}/pid; sleep 60"], cwd=home,
            env=environment(home=home), limits=Limits(600))
    """
    owner = subprocess.Popen(python(code), env={**os.environ, "TMPDIR": str(tmp_path)})
    # The child may be quicker than the note about it.
    child = int(_text(tmp_path / "pid"))
    _text(registry / f"{child}.pgid")
    owner.kill()
    owner.wait()
    assert _running(child)
    assert sweep() == [child]
    assert _gone(child)


def test_a_run_works_where_no_note_can_be_written(tmp_path: Path, registry: Path) -> None:
    registry.write_text("a file where the folder belongs")
    assert sh(tmp_path, "echo said").stdout == "said\n"
    assert sweep() == []


def test_nothing_is_noted_in_a_folder_of_somebody_else(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    theirs = tmp_path / f"convex-eval-processes-{mine + 1}"
    with running(["cat"], cwd=tmp_path, env={}, limits=Limits(LONG)):
        assert list(theirs.iterdir()) == []
    assert not registry.exists()


@pytest.fixture
def left() -> Iterator[int]:
    """A process that leads its own group, and that nobody here has noted."""
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield child.pid
    child.kill()
    child.wait()


@pytest.fixture
def dead() -> int:
    """The number of a process that is gone."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


Note: TypeAlias = Callable[..., Path]


@pytest.fixture
def note(registry: Path, left: int, dead: int) -> Note:
    """Writes the note of a dead owner about `left`; keywords replace its parts."""
    registry.mkdir()

    def write(**parts: object) -> Path:
        machine, start = os.uname().nodename, _start(left)
        whole = {"machine": machine, "owner": dead, "group": left, "start": start, **parts}
        path = registry / f"{whole['group']}.pgid"
        path.write_text(" ".join(map(str, whole.values())))
        return path

    return write


def test_a_sweep_ends_what_a_dead_process_left(note: Note, left: int) -> None:
    path = note()
    assert sweep() == [left]
    assert _gone(left)
    assert not path.exists()
    assert sweep() == []


@on_linux
def test_a_number_that_is_another_s_now_lives(note: Note, left: int) -> None:
    path = note(start=int(_start(left)) - 1)
    assert sweep() == []
    assert not path.exists()
    assert _running(left)


@pytest.mark.parametrize("parts", [{"machine": "another"}, {"owner": os.getpid()}])
def test_notes_of_another_machine_and_of_the_living_stay(
    note: Note, left: int, parts: dict[str, object]
) -> None:
    path = note(**parts)
    assert sweep() == []
    assert path.exists()
    assert _running(left)


def test_an_owner_of_another_user_lives(
    note: Note, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = note()

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert sweep() == []
    assert path.exists()
    monkeypatch.undo()
    assert _running(left)


def test_the_note_of_a_group_that_is_gone_goes_too(note: Note, dead: int) -> None:
    path = note(group=dead, start="unknown")
    assert sweep() == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "one two", "a b c d", "\0"])
def test_a_note_that_cannot_be_read_stops_no_sweep(
    note: Note, registry: Path, left: int, text: str
) -> None:
    note()
    for name in ("0.pgid", "zzz.pgid"):
        (registry / name).write_text(text.replace("a b", f"{os.uname().nodename} b"))
    (registry / "other.txt").write_text("no note")
    assert sweep() == [left]
    assert _gone(left)
    assert {path.name for path in registry.iterdir()} == {"0.pgid", "zzz.pgid", "other.txt"}


def test_an_interrupt_at_the_moment_of_a_child_s_end_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait4 = os.wait4

    def interrupted(pid: int, options: int) -> tuple[int, int, Any]:
        ended = wait4(pid, options)
        if ended[0]:
            monkeypatch.setattr(os, "wait4", wait4)
            signal.raise_signal(signal.SIGINT)
        return ended

    monkeypatch.setattr(os, "wait4", interrupted)
    # Where pytest runs in a shell's background, interrupts are ignored from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(["true"], cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(LONG))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS."""
    for module in (leftovers, processes):
        monkeypatch.setattr(module, "proc", lambda: tmp_path / "no-proc")


@pytest.mark.usefixtures("no_proc")
def test_without_proc_ps_tells_when_a_process_started_and_what_it_used() -> None:
    me = psutil.Process()
    started = time.strptime(leftovers.start_time(me.pid), "%a_%b_%d_%H_%M_%S_%Y")
    assert abs(time.mktime(started) - me.create_time()) < 60
    before = sum(me.cpu_times()[:2])
    told = processes.cpu_seconds_of(me.pid)
    after = sum(me.cpu_times()[:2])
    assert before - 1 <= told <= after + 1
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert (leftovers.start_time(gone.pid), processes.cpu_seconds_of(gone.pid)) == ("unknown", 0.0)


@pytest.mark.usefixtures("no_proc")
@pytest.mark.parametrize(("same", "ended"), [(True, True), (False, False), (None, False)])
def test_without_proc_only_what_is_known_to_be_left_over_is_ended(
    same: bool | None, ended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_registry", lambda: tmp_path)
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        own = leftovers.start_time(left.pid)
        start = {True: own, False: "Mon_Jan_1_00_00_00_2024", None: "unknown"}[same]
        note = tmp_path / f"{left.pid}.pgid"
        note.write_text(f"{os.uname().nodename} {dead.pid} {left.pid} {start}")
        assert sweep() == ([left.pid] if ended else [])
        assert _gone(left.pid) if ended else _running(left.pid)
        assert not note.exists()
    finally:
        left.kill()
        left.wait()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:01.50", 1.5),
        ("00:00:07", 7),
        ("2:03:04", 7384),
        ("1-00:00:01", 86401),
        ("", 0),
        ("x", 0),
    ],
)
def test_times_are_read_as_ps_prints_them(text: str, seconds: float) -> None:
    assert processes._seconds(text) == seconds


def _start(pid: int) -> str:
    """When a process started, in the kernel's ticks, as `/proc` has it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "unknown"


def _text(path: Path) -> str:
    """What is in a file that another process writes, once it is there."""
    until(lambda: path.exists() and bool(path.read_text().strip()), f"the text of {path.name}")
    return path.read_text()


def _gone(pid: int) -> bool:
    until_gone(pid)
    return not _running(pid)


def _running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
