"""Children: how they end, what they may use, and that nothing outlives its owner."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_convex_eval.processes import Limits, environment, run, running, sweep


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_output_status_and_cpu_time_are_told(tmp_path: Path) -> None:
    code = "import sys; x = sum(range(3_000_000)); print(sys.stdin.read()); sys.exit(3)"
    done = run(
        python(code), cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(30), stdin="é" * 9
    )
    assert (done.returncode, done.ending, done.stdout) == (3, "exit", "é" * 9 + "\n")
    assert done.cpu_seconds > 0.01
    assert not done.ok


def test_last_words_between_a_look_at_the_pipes_and_one_at_the_child_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(selectors.DefaultSelector):
        """Sees nothing at first, and then sleeps as on a busy machine, until the child is gone."""

        looks = 0

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self.looks += 1
            if self.looks > 1:
                return super().select(timeout)
            time.sleep(0.5)
            return []

    monkeypatch.setattr(selectors, "DefaultSelector", Late)
    command = ["sh", "-c", "echo said; exit 1"]
    done = run(command, cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(10))
    assert (done.returncode, done.stdout) == (1, "said\n")


def test_the_environment_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    done = run(["env"], cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(10))
    assert "secret" not in done.stdout
    assert f"HOME={tmp_path}" in done.stdout


def test_a_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    code = """
        import subprocess, time
        print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
        time.sleep(60)
    """
    done = run(python(code), cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(1.0))
    assert done.ending == "timeout"
    assert done.wall_seconds < 5
    assert _gone(int(done.stdout))


@pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")
def test_what_a_childs_own_child_used_counts_at_a_deadline(tmp_path: Path) -> None:
    busy = ["sh", "-c", "sh -c 'while :; do :; done'; true"]
    done = run(busy, cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(2.0))
    assert done.ending == "timeout"
    # The child itself only waits.
    assert done.cpu_seconds > 0.1


def test_what_a_child_leaves_in_its_group_dies_with_it(tmp_path: Path) -> None:
    done = run(
        ["sh", "-c", "sleep 60 & echo $!"],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(20),
    )
    assert done.ending == "exit"
    assert done.wall_seconds < 5
    assert _gone(int(done.stdout))


def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    done = run(python(code), cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(0.5))
    assert (done.ending, done.returncode) == ("timeout", -signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="address space binds on Linux only")
def test_memory_and_cpu_limits_bind(tmp_path: Path) -> None:
    env = environment(home=tmp_path)
    hungry = Limits(20, address_space_bytes=500_000_000)
    done = run(python("x = bytearray(10**9)"), cwd=tmp_path, env=env, limits=hungry)
    assert "MemoryError" in done.stderr
    busy = run(python("while True: pass"), cwd=tmp_path, env=env, limits=Limits(20, cpu_seconds=1))
    assert busy.ending == "signal"
    assert busy.wall_seconds < 10


def test_too_much_output_ends_the_child(tmp_path: Path) -> None:
    done = run(
        ["yes"], cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(20, output_bytes=1000)
    )
    assert done.ending == "output"


def test_lines_are_told_as_they_come(tmp_path: Path) -> None:
    lines: list[str] = []
    run(
        ["sh", "-c", "echo one >&2; echo two >&2"],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(10),
        on_line=lines.append,
    )
    assert lines == ["one", "two"]


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    with running(["cat"], cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(10)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"
    assert _gone(child.pid)


def test_a_killed_owner_leaves_nothing_after_a_sweep(tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        from pytest_convex_eval.processes import Limits, environment, run
        home = Path({str(tmp_path)!r})
        run(["sh", "-c", "echo $$ > {tmp_path}/pid; sleep 60"], cwd=home,
            env=environment(home=home), limits=Limits(60))
    """
    owner = subprocess.Popen(python(code))
    note = tmp_path / "pid"
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(note.read_text())
    owner.kill()
    owner.wait()
    assert _running(child)
    sweep()
    assert _gone(child)


def test_a_sweep_leaves_the_living_alone(tmp_path: Path) -> None:
    with running(["cat"], cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(10)) as child:
        assert child.pid not in sweep()
        assert _running(child.pid)
        assert os.getpgid(child.pid) == child.pid


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
    with pytest.raises(KeyboardInterrupt):
        run(["true"], cwd=tmp_path, env=environment(home=tmp_path), limits=Limits(20))


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 2
    while _running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _running(pid)


def _running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
