"""A controller that is killed or interrupted while it generates."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider
from pytest_convex_eval.generation.notices import Notices
from pytest_convex_eval.generation.prefetch import wait_for
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.store import GenerationStore, read_stored

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]
ROOT = Path(__file__).parents[2]

CONTROLLER = """
import os, sys
from pathlib import Path
from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider, RetryPolicy
from pytest_convex_eval.generation.limiter import Limiter
from pytest_convex_eval.generation.notices import Notices
from pytest_convex_eval.generation.prefetch import Job, Prefetcher
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.store import GenerationStore
import anthropic  # a second each time, were it left to the children

folder, url, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def control(run):
    limiter = Limiter(4)
    provider = AnthropicProvider("key", base_url=url, gates=[limiter], policy=RetryPolicy(1))
    prefetcher = Prefetcher(GenerationStore(folder / "store", run=run), lambda _: provider,
        Notices(folder / run), concurrency=4, gates=[limiter])
    try:
        prefetcher.start([Job(Request("claude-sonnet-5-5", "rules", f"task {n}.", 64_000), 1,
            f"case {n}") for n in range(count)])
        while not prefetcher.wait(0.1):
            pass
    finally:
        prefetcher.close()

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            control(line.strip())
        finally:
            os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


class Controllers:
    """Controller processes, one after the other; `start` returns the number of the process."""

    def __init__(self, folder: Path, url: str, count: int) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, folder, url, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def start(self, run: str) -> int:
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{run}\n")
        self.popen.stdin.flush()
        return int(self._line())

    def ended(self) -> None:
        assert self._line() == "ended\n"

    def _line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline()


@pytest.fixture
def controllers(tmp_path: Path, server: MessagesServer) -> Iterator[Callable[[int], Controllers]]:
    made: list[Controllers] = []

    def make(count: int) -> Controllers:
        made.append(Controllers(tmp_path, server.url, count))
        return made[-1]

    yield make
    for one in made:
        one.popen.communicate()


def stored_tasks(folder: Path) -> set[str]:
    """The tasks in the store; every file of it has to be readable at any moment."""
    return {read_stored(path).generation.request.user for path in folder.rglob("*/[0-9a-f]*.json")}


def until_asked(server: MessagesServer, number: int) -> None:
    while len(server.requests) < number:
        time.sleep(0.005)


def until_heard(server: MessagesServer) -> None:
    """Until the server has read what a killed client had sent."""
    heard = -1
    while heard < len(server.requests) or server.sums.in_flight:
        heard = len(server.requests)
        time.sleep(0.05)


def test_killed_at_any_moment_a_run_goes_on_and_pays_for_nothing_twice(
    tmp_path: Path, server: MessagesServer, script: MakeScript,
    controllers: Callable[[int], Controllers],
) -> None:  # fmt: skip
    server.default = script(latency=0.03, pause=0.01, text="x" * 40)
    count, kills = 60, 20
    chance = random.Random(7)
    running = controllers(count)
    for number in range(kills):
        before = stored_tasks(tmp_path / "store")
        asked = len(server.requests)
        process = running.start(f"run{number}")
        if len(before) < count:
            until_asked(server, asked + 1)
        time.sleep(chance.uniform(0.0, 0.12))
        os.kill(process, signal.SIGKILL)
        running.ended()
        until_heard(server)
        again = {request.user for request in server.requests[asked:]}
        assert again.isdisjoint(before)
        assert before <= stored_tasks(tmp_path / "store")
    before = stored_tasks(tmp_path / "store")
    asked = len(server.requests)
    running.start("last")
    running.ended()
    everything = {f"task {number}." for number in range(count)}
    assert stored_tasks(tmp_path / "store") == everything
    assert {request.user for request in server.requests[asked:]} == everything - before
    # What was on its way when it was killed, and nothing else, is asked for again.
    assert len(server.requests) <= count + kills * 4


def test_workers_of_a_killed_controller_generate_for_themselves(
    tmp_path: Path, server: MessagesServer, script: MakeScript, gated: Gated,
    make_request: MakeRequest, controllers: Callable[[int], Controllers],
) -> None:  # fmt: skip
    server.queue = [script(latency=20)]
    process = controllers(1).start("run")
    until_asked(server, 1)
    notices = Notices(tmp_path / "run")
    assert notices.attended()
    threading.Timer(0.3, os.kill, [process, signal.SIGKILL]).start()
    provider = gated()
    made = wait_for(
        GenerationStore(tmp_path / "store", run="run"), notices,
        make_request(user="task 0."), 1, lambda _: provider, label="case",
    )  # fmt: skip
    assert made.generation.text == "hello"
    assert len(server.requests) == 2


def test_an_interrupted_controller_ends_within_a_second(
    tmp_path: Path, server: MessagesServer, script: MakeScript,
    controllers: Callable[[int], Controllers],
) -> None:  # fmt: skip
    server.default = script(pause=5, text="x" * 40)
    running = controllers(8)
    process = running.start("run")
    until_asked(server, 1)
    began = time.monotonic()
    os.kill(process, signal.SIGINT)
    running.ended()
    assert time.monotonic() - began < 1.5
    assert json.loads((tmp_path / "run/failed/stop.json").read_text())["kind"] == "cancelled"
