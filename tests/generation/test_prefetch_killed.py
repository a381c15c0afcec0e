"""A controller that is killed or interrupted while it generates."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.ahead.notices import Asked, Notices
from pytest_convex_eval.generation.ahead.prefetch import wait_for
from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.store import GenerationStore, read_stored
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]
ROOT = Path(__file__).parents[2]

CONTROLLER = """
import json, os, sys
from pathlib import Path
from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.retries import RetryPolicy
from pytest_convex_eval.generation.ahead.limiter import Limiter
from pytest_convex_eval.generation.ahead.notices import Notices
from pytest_convex_eval.generation.ahead.prefetch import Job, Prefetcher
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.store import GenerationStore
import anthropic  # a second each time, were it left to the children

def control(folder, url, count, run):
    folder = Path(folder)
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
            control(*json.loads(line))
        finally:
            os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


class Controllers:
    """Controller processes, one after the other, each forked from one that has all imported."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def start(self, folder: Path, url: str, count: int, run: str) -> int:
        """Starts one that has so many tasks; returns its number as a process."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps([str(folder), url, count, run]) + "\n")
        self._popen.stdin.flush()
        return int(self._line())

    def ended(self) -> None:
        assert self._line() == "ended\n"

    def close(self) -> None:
        self._popen.communicate()

    def _line(self) -> str:
        assert self._popen.stdout is not None
        told, _, _ = select.select([self._popen.stdout], [], [], HANG_SECONDS)
        assert told, "the controller goes on"
        return self._popen.stdout.readline()


@pytest.fixture(scope="module")
def controllers() -> Iterator[Controllers]:
    made = Controllers()
    yield made
    made.close()


def stored_tasks(folder: Path) -> set[str]:
    """The tasks in the store; every file of it has to be readable at any moment."""
    return {read_stored(path).generation.request.user for path in folder.rglob("*/[0-9a-f]*.json")}


def until_heard(server: MessagesServer) -> None:
    """Until the server has read what a killed client had sent."""
    heard = -1
    while heard < len(server.requests) or server.sums.in_flight:
        heard = len(server.requests)
        time.sleep(0.02)


def test_killed_at_any_moment_a_run_goes_on_and_pays_for_nothing_twice(
    tmp_path: Path, server: MessagesServer, script: MakeScript,
    controllers: Controllers,
) -> None:  # fmt: skip
    server.default = script(latency=0.03, pause=0.01, text="x" * 40)
    count, kills = 60, 20
    chance = random.Random(7)
    for number in range(kills):
        before = stored_tasks(tmp_path / "store")
        asked = len(server.requests)
        process = controllers.start(tmp_path, server.url, count, f"run{number}")
        if len(before) < count:
            server.until_asked(asked + 1)
        time.sleep(chance.uniform(0.0, 0.12))
        os.kill(process, signal.SIGKILL)
        controllers.ended()
        until_heard(server)
        again = {request.user for request in server.requests[asked:]}
        assert again.isdisjoint(before)
        assert before <= stored_tasks(tmp_path / "store")
    before = stored_tasks(tmp_path / "store")
    asked = len(server.requests)
    controllers.start(tmp_path, server.url, count, "last")
    controllers.ended()
    everything = {f"task {number}." for number in range(count)}
    assert stored_tasks(tmp_path / "store") == everything
    assert {request.user for request in server.requests[asked:]} == everything - before
    # What was on its way when it was killed, and nothing else, is asked for again.
    assert len(server.requests) <= count + kills * 4


def test_workers_of_a_killed_controller_generate_for_themselves(
    tmp_path: Path, server: MessagesServer, script: MakeScript, gated: Gated,
    make_request: MakeRequest, controllers: Controllers,
) -> None:  # fmt: skip
    server.queue = [script(hold=threading.Event())]
    process = controllers.start(tmp_path, server.url, 1, "run")
    server.until_asked()

    class Asking(Notices):
        def ask(self, asked: Asked) -> None:
            super().ask(asked)
            os.kill(process, signal.SIGKILL)
            controllers.ended()

    notices = Asking(tmp_path / "run")
    assert notices.attended()
    provider = gated()
    made = wait_for(
        GenerationStore(tmp_path / "store", run="run"), notices,
        make_request(user="task 0."), 1, lambda _: provider, label="case",
    )  # fmt: skip
    assert made.generation.text == "hello"
    assert len(server.requests) == 2


def test_an_interrupted_controller_ends_whatever_is_on_its_way(
    tmp_path: Path, server: MessagesServer, script: MakeScript,
    controllers: Controllers,
) -> None:  # fmt: skip
    server.default = script(hold=threading.Event())
    process = controllers.start(tmp_path, server.url, 8, "run")
    server.until_asked()
    os.kill(process, signal.SIGINT)
    controllers.ended()
    assert server.sums.replies == []
    told = json.loads((tmp_path / "run/failed/stop.json").read_text())
    assert (told["kind"], told["message"]) == ("cancelled", "the run was interrupted")
