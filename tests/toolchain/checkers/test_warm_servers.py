"""The warm compiler and the warm linter as processes: what they survive, and what they do not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
import pytest

from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.toolchain import exhaustion, typecheck
from pytest_convex_eval.toolchain.lint import oxlint as lint_oxlint
from pytest_convex_eval.toolchain.lint import oxlint_server
from pytest_convex_eval.toolchain.lint import tsgolint as lint_tsgolint
from pytest_convex_eval.toolchain.lint.oxlint_server import OxlintServer
from pytest_convex_eval.toolchain.model import ToolReport
from pytest_convex_eval.toolchain.servers import tsapi, warm
from pytest_convex_eval.toolchain.servers.pipes import Pipes
from pytest_convex_eval.toolchain.servers.tsapi import TypeServer
from pytest_convex_eval.workspace.layout import Workspace
from tests.patience import HANG_SECONDS, until_exited, until_gone

if TYPE_CHECKING:
    from tests.toolchain.checkers.conftest import Checkers

RIGHT: Files = {"convex/a.ts": "export const n: number = 1;\n"}
WRONG: Files = {
    "convex/a.ts": "export const n: number = 1;\nPromise.resolve(n);\nexport const s: string = n;\n"
}
REFUSAL = '{"id":1,"error":{"code":-1,"message":"no such method"}}'


@dataclass
class Warm(ABC):
    """A server, and the checkers that asks it."""

    checkers: Checkers
    wrong: ClassVar[str]
    """What is found in `WRONG`."""
    exhausted: ClassVar[str]

    @property
    @abstractmethod
    def server(self) -> TypeServer | OxlintServer: ...

    @abstractmethod
    def report(
        self, workspace: Workspace, deadline_seconds: float = HANG_SECONDS, *, cold: bool = False
    ) -> ToolReport: ...

    def codes(self, files: Files, name: str) -> list[str]:
        """What is found in a workspace of its own, however that was found out."""
        return [f.code for f in self.report(self.checkers.lay_out(files, name)).findings]


@dataclass
class Types(Warm):
    _server: TypeServer
    wrong = "TS2322"
    exhausted = "typecheck/resource-limit"

    @property
    def server(self) -> TypeServer:
        return self._server

    def report(
        self, workspace: Workspace, deadline_seconds: float = HANG_SECONDS, *, cold: bool = False
    ) -> ToolReport:
        return self.checkers.types_of(workspace, None if cold else self._server, deadline_seconds)


@dataclass
class Lint(Warm):
    _server: OxlintServer
    wrong = "lint/no-floating-promises"
    exhausted = "lint/resource-limit"

    @property
    def server(self) -> OxlintServer:
        return self._server

    def report(
        self, workspace: Workspace, deadline_seconds: float = HANG_SECONDS, *, cold: bool = False
    ) -> ToolReport:
        return self.checkers.lint_of(workspace, None if cold else self._server, deadline_seconds)


KINDS = ("types", "lint")


def warm_kind(checkers: Checkers, kind: str) -> Warm:
    if kind == "types":
        return Types(checkers, TypeServer(checkers.toolchain.tsc))
    return Lint(checkers, OxlintServer(checkers.toolchain))


@pytest.fixture(params=KINDS)
def kept(checkers: Checkers, request: pytest.FixtureRequest) -> Iterator[Warm]:
    kept = warm_kind(checkers, request.param)
    with kept.server as server:
        assert server.pid is None
        yield kept
    assert server.pid is None


@pytest.mark.parametrize("kind", KINDS)
def test_one_server_serves_all_and_ends_with_its_block(checkers: Checkers, kind: str) -> None:
    kept = warm_kind(checkers, kind)
    with kept.server as server:
        assert kept.codes(WRONG, "one") == [kept.wrong]
        pid = server.pid
        assert pid is not None
        assert kept.codes(RIGHT, "two") == []
        assert kept.codes(WRONG, "three") == [kept.wrong]
        assert server.pid == pid
        assert server.failure is None
    until_gone(pid)


def test_it_starts_no_process_where_cold_ones_start_each_time(
    kept: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that saves tells `benchmarks/warm_against_cold.py`."""
    workspaces = [kept.checkers.lay_out(RIGHT, str(number)) for number in range(6)]
    kept.report(workspaces.pop())
    started: list[object] = []

    class Counted(subprocess.Popen[Any]):
        def __init__(self, args: Any, *more: Any, **options: Any) -> None:
            started.append(args)
            super().__init__(args, *more, **options)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    for workspace in workspaces:
        kept.report(workspace)
    assert started == []
    for workspace in workspaces:
        kept.report(workspace, cold=True)
    assert len(started) >= len(workspaces)


def test_one_that_was_killed_is_replaced_within_the_item(kept: Warm) -> None:
    kept.codes(RIGHT, "one")
    first = kept.server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until_exited(first)
    assert kept.codes(WRONG, "two") == [kept.wrong]
    assert kept.server.pid not in (None, first)


def test_one_that_is_stuck_is_ended_and_the_item_has_its_findings(
    kept: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.codes(RIGHT, "one")
    stuck = kept.server.pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        # A second, and for the process of its own as long as a busy machine may take.
        for module in (typecheck, lint_oxlint):
            patch.setattr(module, "WARM_SHARE", 1.0 / HANG_SECONDS)
        report = kept.report(kept.checkers.lay_out(WRONG, "two"), deadline_seconds=HANG_SECONDS)
    assert [finding.code for finding in report.findings] == [kept.wrong]
    until_gone(stuck)
    assert kept.codes(RIGHT, "three") == []
    assert kept.server.pid not in (None, stuck)


def test_a_type_bomb_costs_no_other_workspace_anything(
    kept: Warm, type_bomb: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept.codes(RIGHT, "before") == []
    first = kept.server.pid
    # A linter looks at types only where a rule asks for one.
    bomb = {"convex/a.ts": f"{type_bomb['convex/a.ts']}export const f = async () => await order;\n"}
    with monkeypatch.context() as patch:
        # Ends as it does at the real limits, only sooner.
        patch.setattr(exhaustion, "ADDRESS_SPACE_BYTES", 1_000_000_000)
        patch.setattr(lint_tsgolint, "ADDRESS_SPACE_BYTES", 1_000_000_000)
        patch.setattr(tsapi, "CHECK_CPU_SECONDS", 0.5)
        patch.setattr(oxlint_server, "LINT_CPU_SECONDS", 1)
        found = kept.codes(bomb, "bomb")
    assert found[0] == kept.exhausted
    assert kept.server.pid is None
    assert kept.codes(WRONG, "after") == [kept.wrong]
    assert kept.server.pid not in (None, first)


def test_it_makes_way_for_a_fresh_one_in_time(kept: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsapi, "CHECKS", 2)
    monkeypatch.setattr(oxlint_server, "LINTS", 2)
    pids = []
    for name in ("one", "two", "three"):
        assert kept.codes(WRONG, name) == [kept.wrong]
        pids.append(kept.server.pid)
    assert pids[0] == pids[1] != pids[2]


def test_a_folder_that_is_used_again_is_read_again(kept: Warm) -> None:
    assert kept.codes(WRONG, "one") == [kept.wrong]
    shutil.rmtree(kept.checkers.folder / "one")
    assert kept.codes(RIGHT, "one") == []
    assert kept.server.pid is not None


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
def test_a_compiler_that_does_not_work_is_asked_three_times_and_then_left(
    checkers: Checkers, tmp_path: Path, program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of them never says that it is ready.
    monkeypatch.setattr(warm, "START_SECONDS", 1.0)
    path = tmp_path / "tsc"
    if program is not None:
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o755)
    kept = Types(checkers, TypeServer(path))
    with kept.server as server:
        for name in ("one", "two", "three", "four"):
            assert kept.codes(WRONG, name) == [kept.wrong]
            assert server.pid is None
        path.unlink(missing_ok=True)
        assert kept.codes(WRONG, "five") == [kept.wrong]


@pytest.mark.parametrize("breaks", ["node", "modules"])
def test_a_linter_that_does_not_work_is_asked_three_times_and_then_left(
    checkers: Checkers, tmp_path: Path, breaks: str
) -> None:
    path = tmp_path / "bin" / "oxlint"
    whole = checkers.toolchain
    broken = replace(whole, node=path) if breaks == "node" else replace(whole, oxlint=path)
    server = OxlintServer(broken)
    kept = Lint(checkers, server)
    with server:
        for name in ("one", "two", "three", "four"):
            assert kept.codes(WRONG, name) == [kept.wrong]
            assert server.pid is None
        assert "the last servers gave no answers" not in str(server.failure)
        # Nobody would find out any more.
        server._toolchain = checkers.toolchain
        assert kept.codes(WRONG, "five") == [kept.wrong]
        assert server.pid is None


def test_an_interrupted_question_leaves_no_answer_for_the_next(
    kept: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.codes(RIGHT, "one")
    stopped = kept.server.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    waits = threading.Event()
    read = Pipes._read

    def noted(pipes: Pipes, *args: Any) -> None:
        waits.set()
        read(pipes, *args)

    def alarm(main: int) -> None:
        if waits.wait(HANG_SECONDS):
            signal.pthread_kill(main, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupting = threading.Thread(target=alarm, args=(threading.get_ident(),))
    interrupting.start()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Pipes, "_read", noted)
            with pytest.raises(KeyboardInterrupt):
                kept.codes(WRONG, "two")
    finally:
        interrupting.join()
        signal.signal(signal.SIGALRM, before)
    assert kept.server.pid is None
    until_gone(stopped)
    assert kept.codes(RIGHT, "three") == []


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_compiler_ends_when_its_process_is_killed(
    checkers: Checkers, type_bomb: Files, busy: bool
) -> None:
    root = checkers.lay_out(type_bomb if busy else RIGHT).root
    ends_with_its_process(f"""
from pytest_convex_eval.toolchain.servers import tsapi
tsapi.CHECK_CPU_SECONDS = 60.0
server = tsapi.TypeServer(Path({str(checkers.toolchain.tsc)!r}))

def ask():
    server.check(Path({str(root)!r}), wall_seconds={HANG_SECONDS})
""")


def test_a_linter_ends_when_its_process_is_killed(checkers: Checkers) -> None:
    root = checkers.lay_out(RIGHT).root
    ends_with_its_process(f"""
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.toolchain.lint.oxlint_server import OxlintServer
server = OxlintServer(install_toolchain(default_cache()))

def ask():
    server.lint(Path({str(root)!r}), ["--format=json", "convex"], wall_seconds={HANG_SECONDS})
""")


def ends_with_its_process(program: str) -> None:
    """That the `server` of a program ends when that is killed after, or while, it does `ask`."""
    program = f"""
import contextlib, sys, threading, time
from pathlib import Path
from pytest_convex_eval.processes import cpu_seconds_of
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
{program}
def tell():
    while server.pid is None or cpu_seconds_of(server.pid) < 0.05:
        time.sleep(0.01)
    print(server.pid, flush=True)

threading.Thread(target=tell, daemon=True).start()
with contextlib.suppress(NoAnswerError):
    ask()
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
        until_gone(pid)
