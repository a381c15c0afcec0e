"""The warm compiler as a process: what it survives, and what does not survive it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.toolchain import exhaustion, tsapi
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.tsapi import TypeServer

if TYPE_CHECKING:
    from tests.toolchain.checkers.conftest import Bench

WRONG: Files = {"convex/a.ts": 'export const n: number = "";\n'}
REFUSAL = '{"id":1,"error":{"code":-1,"message":"no such method"}}'
RIGHT: Files = {"convex/a.ts": "export const n: number = 1;\n"}


@pytest.fixture
def server(toolchain: Toolchain) -> Iterator[TypeServer]:
    with TypeServer(toolchain.tsc) as server:
        assert server.pid is None
        yield server
    assert server.pid is None


def codes(bench: Bench, server: TypeServer, files: Files, name: str) -> list[str]:
    """What is found in a workspace of its own, however that was found out."""
    report = bench.types_of(bench.lay_out(files, name), server)
    return [finding.code for finding in report.findings]


def gone(pid: int) -> bool:
    """Whether a process that is no child of this one ends within a few seconds."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(pid).wait(10)
    with contextlib.suppress(psutil.NoSuchProcess):
        # Whoever inherits orphans may not wait for them.
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_one_server_serves_all_and_ends_with_its_block(toolchain: Toolchain, bench: Bench) -> None:
    with TypeServer(toolchain.tsc) as server:
        assert codes(bench, server, WRONG, "one") == ["TS2322"]
        pid = server.pid
        assert pid is not None
        assert codes(bench, server, RIGHT, "two") == []
        assert codes(bench, server, WRONG, "three") == ["TS2322"]
        assert server.pid == pid
    assert gone(pid)


def test_it_takes_less_than_cold_processes(bench: Bench, server: TypeServer) -> None:
    workspaces = [bench.lay_out(RIGHT, str(number)) for number in range(6)]
    bench.types_of(workspaces.pop(), server)
    warm = sum(bench.types_of(workspace, server).cpu_seconds for workspace in workspaces)
    cold = sum(bench.types_of(workspace).cpu_seconds for workspace in workspaces)
    assert warm < cold


def test_one_that_was_killed_is_replaced_within_the_item(bench: Bench, server: TypeServer) -> None:
    codes(bench, server, RIGHT, "one")
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert codes(bench, server, WRONG, "two") == ["TS2322"]
    assert server.pid not in (None, first)


def test_one_that_is_stuck_is_ended_and_the_item_has_its_findings(
    bench: Bench, server: TypeServer
) -> None:
    codes(bench, server, RIGHT, "one")
    stuck = server.pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    report = bench.types_of(bench.lay_out(WRONG, "two"), server, deadline_seconds=8)
    assert [finding.code for finding in report.findings] == ["TS2322"]
    assert gone(stuck)
    assert codes(bench, server, RIGHT, "three") == []
    assert server.pid not in (None, stuck)


def test_a_type_bomb_costs_no_other_workspace_anything(
    bench: Bench, server: TypeServer, type_bomb: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ends as it does at the real limits, only sooner.
    monkeypatch.setattr(exhaustion, "ADDRESS_SPACE_BYTES", 1_000_000_000)
    monkeypatch.setattr(tsapi, "CHECK_CPU_SECONDS", 0.5)
    assert codes(bench, server, RIGHT, "before") == []
    first = server.pid
    found = codes(bench, server, type_bomb, "bomb")
    assert found[0] == "typecheck/resource-limit"
    assert server.pid is None
    assert codes(bench, server, WRONG, "after") == ["TS2322"]
    assert server.pid not in (None, first)


def test_it_makes_way_for_a_fresh_one_in_time(
    bench: Bench, server: TypeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsapi, "CHECKS", 2)
    pids = []
    for name in ("one", "two", "three"):
        assert codes(bench, server, WRONG, name) == ["TS2322"]
        pids.append(server.pid)
    assert pids[0] == pids[1] != pids[2]


def test_a_folder_that_is_used_again_is_read_again(bench: Bench, server: TypeServer) -> None:
    assert codes(bench, server, WRONG, "one") == ["TS2322"]
    shutil.rmtree(bench.folder / "one")
    assert codes(bench, server, RIGHT, "one") == []
    assert server.pid is not None


@pytest.mark.parametrize(
    "program",
    [
        "exit 3",
        "echo Hello; cat",
        "printf 'Content-Length: 2\\r\\n\\r\\n{}'; cat > /dev/null",
        "printf 'Content-Length: 99999999999\\r\\n\\r\\n{}'; cat > /dev/null",
        f"printf 'Content-Length: {len(REFUSAL)}\\r\\n\\r\\n{REFUSAL}'",
        None,
    ],
    ids=["ends", "chatters", "says-nothing", "says-too-much", "refuses", "is-not-there"],
)
def test_one_that_does_not_work_is_asked_three_times_and_then_left(
    bench: Bench, tmp_path: Path, program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsapi, "_START_SECONDS", 1.0)
    path = tmp_path / "tsc"
    if program is not None:
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o755)
    with TypeServer(path) as server:
        for name in ("one", "two", "three", "four"):
            assert codes(bench, server, WRONG, name) == ["TS2322"]
            assert server.pid is None
        path.unlink(missing_ok=True)
        assert codes(bench, server, WRONG, "five") == ["TS2322"]


def test_an_interrupted_check_leaves_no_answer_for_the_next(
    bench: Bench, server: TypeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes(bench, server, RIGHT, "one")
    stopped = server.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            codes(bench, server, WRONG, "two")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert server.pid is None
    assert gone(stopped)
    assert codes(bench, server, RIGHT, "three") == []


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_it_ends_when_its_process_is_killed(bench: Bench, type_bomb: Files, busy: bool) -> None:
    root = bench.lay_out(type_bomb if busy else RIGHT).root
    program = f"""
import contextlib, sys, threading, time
from pathlib import Path
from pytest_convex_eval.processes import cpu_seconds_of
from pytest_convex_eval.toolchain import tsapi
tsapi.CHECK_CPU_SECONDS = 60.0
server = tsapi.TypeServer(Path({str(bench.toolchain.tsc)!r}))

def tell():
    while server.pid is None or cpu_seconds_of(server.pid) < 0.05:
        time.sleep(0.01)
    print(server.pid, flush=True)

threading.Thread(target=tell, daemon=True).start()
with contextlib.suppress(tsapi.NoAnswerError):
    server.check(Path({str(root)!r}), wall_seconds=60)
sys.stdin.read()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        pid = int(child.stdout.readline())
        assert psutil.pid_exists(pid)
        child.kill()
        child.wait()
        assert gone(pid)
