"""Warm tools that several processes share."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from pytest_convex_eval.outcomes import Files
from pytest_convex_eval.toolchain import sharing
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.servers.pipes import NoAnswerError
from pytest_convex_eval.toolchain.servers.warm import WarmServer
from pytest_convex_eval.toolchain.sharing import Guest, Host, Pool, shared_tools
from tests.patience import HANG_SECONDS, until, until_ended, until_exited
from tests.toolchain.checkers.conftest import Checkers

RIGHT: Files = {"convex/a.ts": "export const n: number = 1;\n"}
WRONG: Files = {"convex/a.ts": 'export const n: number = "é";\nPromise.resolve(n);\n'}


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "tools" / "socket"


@pytest.fixture
def host(address: Path, toolchain: Toolchain) -> Iterator[Host]:
    host = Host(address, toolchain)
    yield host
    host.close()


@pytest.fixture
def guest(host: Host, address: Path) -> Iterator[Guest]:
    guest = Guest(str(address))
    yield guest
    guest.close()


Servers: TypeAlias = Callable[[], list[psutil.Process]]


@pytest.fixture
def servers(checkers: Checkers) -> Servers:
    """The compilers and linters that this process has started since the test began: others keep
    theirs for the whole session."""
    programs = (str(checkers.toolchain.tsc), "oxlint_server.mjs")

    def is_ours(process: psutil.Process) -> bool:
        try:
            return any(part.endswith(programs) for part in process.cmdline())
        except psutil.NoSuchProcess:
            # It has ended, and whoever started it has not waited for it yet.
            return False

    def running() -> list[psutil.Process]:
        return [child for child in psutil.Process().children(recursive=True) if is_ours(child)]

    before = {process.pid for process in running()}
    return lambda: [process for process in running() if process.pid not in before]


def codes(checkers: Checkers, guest: Guest, files: Files, name: str) -> list[str]:
    workspace = checkers.lay_out(files, name)
    reports = (checkers.types_of(workspace, guest), checkers.lint_of(workspace, guest))
    return [finding.code for report in reports for finding in report.findings]


def when_asked(host: Host, do: Callable[[], object]) -> None:
    """Does something as soon as the compiler is busy with a question."""
    until(lambda: bool(host._types._busy), "the question")
    do()


def test_it_says_what_tools_of_ones_own_say(
    checkers: Checkers, guest: Guest, servers: Servers
) -> None:
    workspace = checkers.lay_out(WRONG)
    shared = (checkers.types_of(workspace, guest), checkers.lint_of(workspace, guest))
    own = (checkers.types_of(workspace), checkers.lint_of(workspace))
    assert [report.findings for report in shared] == [report.findings for report in own]
    assert all(report.cpu_seconds > 0 for report in shared)
    assert len(servers()) == 2


def test_everybody_gets_their_own_answer_from_one_compiler_and_one_linter(
    checkers: Checkers,
    address: Path,
    toolchain: Toolchain,
    monkeypatch: pytest.MonkeyPatch,
    servers: Servers,
) -> None:
    monkeypatch.setattr(sharing, "CORES_A_SERVER", 1_000)
    host = Host(address, toolchain)

    def work(number: int) -> bool:
        guest = Guest(str(address))
        name = f"thing{number}"
        workspaces = [
            checkers.lay_out({"convex/a.ts": f"export const {name}: string = {number};\n"}, f"{n}")
            for n in (f"{number}a", f"{number}b", f"{number}c")
        ]
        reports = [checkers.types_of(workspace, guest) for workspace in workspaces]
        reports += [checkers.lint_of(workspace, guest) for workspace in workspaces]
        guest.close()
        found = [finding for report in reports for finding in report.findings]
        assert len(found) == 3
        return all(finding.excerpt and name in finding.excerpt for finding in found)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
    assert len(servers()) == 2
    host.close()


def test_nobody_else_can_reach_them_and_nothing_stays(
    checkers: Checkers, address: Path, toolchain: Toolchain, servers: Servers
) -> None:
    host = Host(address, toolchain)
    assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700
    guest = Guest(str(address))
    codes(checkers, guest, RIGHT, "one")
    running = servers()
    assert len(running) == 2
    guest.close()
    host.close()
    until_ended(running)
    assert servers() == []
    assert not address.parent.exists()
    assert shared_tools(str(address)) is None


def test_a_folder_that_somebody_has_made_before_is_not_trusted(
    address: Path, toolchain: Toolchain
) -> None:
    address.parent.mkdir()
    with pytest.raises(FileExistsError):
        Host(address, toolchain)


def test_a_server_that_was_killed_costs_nobody_a_finding(
    checkers: Checkers, guest: Guest, servers: Servers
) -> None:
    expected = ["TS2322", "lint/no-floating-promises"]
    assert codes(checkers, guest, WRONG, "one") == expected
    for server in servers():
        server.send_signal(signal.SIGKILL)
        until_exited(server.pid)
    assert codes(checkers, guest, WRONG, "two") == expected
    assert codes(checkers, guest, WRONG, "three") == expected


def test_a_guest_that_is_killed_while_it_waits_costs_the_others_nothing(
    checkers: Checkers, host: Host, address: Path, guest: Guest, type_bomb: Files
) -> None:
    root = checkers.lay_out(type_bomb, "bomb").root
    program = f"""
from pathlib import Path
from pytest_convex_eval.toolchain.sharing import Guest
guest = Guest({str(address)!r})
print("asks", flush=True)
guest.check(Path({str(root)!r}), wall_seconds={HANG_SECONDS})
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"asks\n"
        child.kill()
        child.wait()
    assert codes(checkers, guest, WRONG, "after") == ["TS2322", "lint/no-floating-promises"]


def test_who_waits_when_the_host_ends_gets_no_answer(
    checkers: Checkers,
    address: Path,
    toolchain: Toolchain,
    monkeypatch: pytest.MonkeyPatch,
    servers: Servers,
) -> None:
    host = Host(address, toolchain)
    guest = Guest(str(address))
    codes(checkers, guest, RIGHT, "one")
    stopped = servers()
    for server in stopped:
        server.send_signal(signal.SIGSTOP)
    root = checkers.lay_out(WRONG, "two").root
    closing = threading.Thread(target=when_asked, args=(host, host.close))
    closing.start()
    # Long before the time is over, or this test never ends.
    with pytest.raises(NoAnswerError):
        guest.check(root, wall_seconds=10 * HANG_SECONDS)
    closing.join()
    # Everybody goes on without.
    assert codes(checkers, guest, WRONG, "three") == ["TS2322", "lint/no-floating-promises"]
    guest.close()
    until_ended(stopped)
    assert servers() == []


def test_an_interrupted_question_leaves_no_answer_for_the_next(
    checkers: Checkers, host: Host, guest: Guest, servers: Servers
) -> None:
    codes(checkers, guest, RIGHT, "one")
    for server in servers():
        server.send_signal(signal.SIGSTOP)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    root = checkers.lay_out(WRONG, "two").root
    before = signal.signal(signal.SIGALRM, interrupt)
    alarm = partial(signal.pthread_kill, threading.get_ident(), signal.SIGALRM)
    interrupting = threading.Thread(target=when_asked, args=(host, alarm))
    interrupting.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            guest.check(root, wall_seconds=HANG_SECONDS)
    finally:
        interrupting.join()
        signal.signal(signal.SIGALRM, before)
    for server in servers():
        server.send_signal(signal.SIGCONT)
    assert codes(checkers, guest, RIGHT, "three") == []


def test_whoever_finds_no_free_server_in_time_gets_no_answer() -> None:
    pool = Pool(WarmServer, 1)
    with pool.lease(1), pytest.raises(NoAnswerError, match="busy"), pool.lease(0.05):
        raise AssertionError
    with pool.lease(1) as first:
        pass
    with pool.lease(1) as again:
        assert again is first
    pool.close()
    with pytest.raises(NoAnswerError, match="ended"), pool.lease(1):
        raise AssertionError


def test_a_pool_makes_no_more_servers_than_are_asked_at_a_time() -> None:
    pool = Pool(WarmServer, 3)
    with pool.lease(1) as first, pool.lease(1) as second:
        assert first is not second
    with pool.lease(1) as third:
        assert third in (first, second)


@pytest.mark.parametrize("line", [b"", b"{", b'{"what": "types"}', b'{"what": "else"}'])
def test_what_is_no_question_has_no_answer(
    checkers: Checkers, host: Host, address: Path, guest: Guest, line: bytes
) -> None:
    odd = Guest(str(address))
    assert odd._socket is not None
    odd._socket.settimeout(HANG_SECONDS)
    odd._socket.sendall(line + b"\n")
    assert b"broken" in odd._socket.recv(4096)
    odd.close()
    assert codes(checkers, guest, RIGHT, "one") == []
