"""Runs of pytest that are killed, and the same command again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

NAMES = [f"case_{number:02}" for number in range(24)]
CONCURRENCY = 3
WORKERS = 2
UNHURRIED = {"connect": HANG_SECONDS, "read": HANG_SECONDS}
"""On a slow machine our server's silence is no trouble."""
ARGS = ("-n", str(WORKERS), "--convex-concurrency", str(CONCURRENCY))


@contextmanager
def watched(project: Project) -> Iterator[list[Exception]]:
    """Reads the whole store again and again meanwhile; gives what could not be read."""
    ended = threading.Event()
    troubles: list[Exception] = []

    def watch() -> None:
        while not ended.wait(0.05):
            try:
                project.stored()
            except Exception as error:
                troubles.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield troubles
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Runs whose processes are ended with the test, workers without a controller too."""
    runs: list[subprocess.Popen[str]] = []
    yield runs
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        if run.stdout is not None:
            run.stdout.close()


def until_asked(server: MessagesServer, number: int, run: subprocess.Popen[str]) -> None:
    while len(server.requests) < number and run.poll() is None:
        time.sleep(0.005)


def kill_worker(run: subprocess.Popen[str], chance: random.Random) -> None:
    """Kills a worker that has begun to collect: xdist itself does not survive the loss of one that
    is still being started."""
    if sys.platform != "linux":
        pytest.skip("only there does a process say what it has loaded")
    while run.poll() is None:
        with contextlib.suppress(psutil.Error):
            workers = [
                child
                for child in psutil.Process(run.pid).children()
                if any("pydantic_core" in loaded.path for loaded in child.memory_maps())
            ]
            if workers:
                chance.choice(workers).kill()
                return
        time.sleep(0.02)
    pytest.fail(f"it ended early: {run.communicate()[0]}")


def asked_cases(server: MessagesServer, since: int = 0) -> list[str]:
    """What the server was asked for, and so what it bills."""
    users = [received.user for received in server.requests[since:]]
    return [user.partition("called <")[2].partition(">")[0] for user in users]


def scripted(
    server: MessagesServer, script: Callable[..., Script], answer: str, *, latency: float = 0.2
) -> dict[str, str]:
    """Has every fifth reply be no answer, and returns the verdicts: of two kinds."""
    server.default = script(text=answer, latency=latency, pause=0.02)
    wrong = set(NAMES[::5])
    server.rules = [script(text="No.", latency=latency, contains=f"<{name}>") for name in wrong]
    return {name: "failed" if name in wrong else "passed" for name in NAMES}


def verdicts(project: Project, runs: str) -> dict[str, str]:
    return {name: item["verdict"] for name, item in project.items(runs).items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_whose_controller_is_killed_goes_on_with_what_was_paid(
    seed: int, tmp_path: Path, projects: type[Project], server: MessagesServer,
    script: Callable[..., Script], answer: str, started: list[subprocess.Popen[str]],
) -> None:  # fmt: skip
    """Five kills for each seed, each after as many requests as chance says (with none: while it
    starts) and a moment more; and the same command at once again.

    What is paid: the server bills a reply when it begins. One that is in the store is never asked
    for again; one that was on its way when its process was killed may be, so that a kill costs at
    most what was in flight then: the controller's, and one for each worker, which goes on alone
    until it sees that nobody wants its result.
    """
    chance = random.Random(seed)
    expected = scripted(server, script, answer)
    project = projects(tmp_path, server.url, retries=UNHURRIED).write(*NAMES)
    kills = 0
    with watched(project) as troubles:
        for number in range(5):
            before = set(project.stored())
            asked = len(server.requests)
            run = project.start(*ARGS, "--convex-runs", f"run{number}")
            started.append(run)
            until_asked(server, asked + chance.randint(0, 4), run)
            time.sleep(chance.uniform(0.0, 0.4))
            # Where a busy machine was late with it, the run may have had its end.
            kills += run.poll() is None
            run.kill()
            assert before.isdisjoint(asked_cases(server, asked))
            assert before <= set(project.stored())
        before = set(project.stored())
        asked = len(server.requests)
        ran = project.run("--convex-runs", "last")
    assert troubles == []
    assert kills > 0
    assert verdicts(project, "last") == expected, ran.out
    assert before.isdisjoint(asked_cases(server, asked))
    assert len(server.requests) - len(NAMES) <= kills * (CONCURRENCY + WORKERS)


@pytest.mark.parametrize("seed", range(3, 8))
def test_a_run_whose_workers_are_killed_loses_their_items_and_no_reply(
    seed: int, tmp_path: Path, projects: type[Project], server: MessagesServer,
    script: Callable[..., Script], answer: str, started: list[subprocess.Popen[str]],
) -> None:  # fmt: skip
    """Two kills for each seed within one run, and then the same command again.

    Each is asked for once; but for one that nobody waits for any more, since its worker was killed,
    and that is still on its way when the run ends.
    """
    chance = random.Random(seed)
    expected = scripted(server, script, answer, latency=1.0)
    project = projects(tmp_path, server.url, retries=UNHURRIED).write(*NAMES)
    with watched(project) as troubles:
        run = project.start(*ARGS, "--convex-runs", "killed")
        started.append(run)
        aim = 0
        for _ in range(2):
            aim += chance.randint(1, 4)
            until_asked(server, aim, run)
            time.sleep(chance.uniform(0.0, 0.4))
            kill_worker(run, chance)
        out, _ = run.communicate(timeout=HANG_SECONDS)
        asked = asked_cases(server)
        stored = set(project.stored())
        ran = project.run("--convex-runs", "again")
    assert troubles == []
    assert len(asked) == len(set(asked)), asked
    assert sorted(asked_cases(server, len(asked))) == sorted(set(NAMES) - stored)
    killed = verdicts(project, "killed")
    lost = {name for name, verdict in killed.items() if verdict == "error"}
    assert len(lost) <= 2, out
    assert stored >= set(NAMES) - lost, out
    assert {name: expected[name] for name in killed if name not in lost} == {
        name: verdict for name, verdict in killed.items() if name not in lost
    }
    assert verdicts(project, "again") == expected, ran.out
