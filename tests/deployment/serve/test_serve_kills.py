"""Nothing acknowledged is lost, and nothing is done twice, at whatever moment it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.outcomes import InfrastructureError
from tests.deployment.fixtures import Bundle
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.deployment.serve.conftest import Serve, Served

KILLS = 10
MUTATIONS = 1000
CLIENTS = 16

COUNTING = {
    "convex/app.ts": """
import { mutation, query } from "./_generated/server";
import { v } from "convex/values";
export const add = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  await ctx.db.insert("first", { n });
  await ctx.db.insert("second", { n });
} });
"""
}

RESEND = """
const [, url] = process.argv;
const socket = new WebSocket(url.replace("http", "ws") + "/api/1.48.0/sync");
await new Promise((done) => { socket.onopen = done; });
const send = (message) => socket.send(JSON.stringify(message));
send({ type: "Connect", sessionId: "me", connectionCount: 0, lastCloseReason: null });
send({ type: "Mutation", requestId: 0, udfPath: "app:add", args: [{ n: 1 }] });
socket.onmessage = (event) => {
  const message = JSON.parse(event.data);
  if (message.type !== "MutationResponse") return;
  console.log(JSON.stringify([message.success, message.result]));
  process.exit(0);
};
"""


def test_a_mutation_that_a_client_sends_again_runs_once(
    serve: Serve, bundle: Bundle, node: Path, tmp_path: Path
) -> None:
    """A client that lost its connection can't know whether its mutation was done."""

    def send(served: Served) -> str:
        done = processes.run(
            [node, "--input-type=module", "-e", RESEND, "--", served.url],
            cwd=tmp_path,
            env=processes.environment(home=tmp_path),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )
        assert done.ok, done.stderr
        return done.stdout

    data = ("--data", str(tmp_path / "data"))
    served = serve(*data)
    served.push(bundle(COUNTING))
    first = send(served)
    served.kill()
    served = serve(*data)
    assert send(served) == first
    assert [row["n"] for row in served.calls.documents("first")] == [1]


def test_a_disk_that_fails_ends_the_server_and_loses_nothing(serve: Serve, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("another process's limits are Linux's")
    data = ("--data", str(tmp_path / "data"))
    served = serve(*data)
    served.server.rlimit(psutil.RLIMIT_FSIZE, (400_000, 400_000))
    written = 0
    with contextlib.suppress(InfrastructureError):
        while written < 1000:
            served.calls.insert("rows", [{"n": written, "text": "x" * 10_000}])
            written += 1
    assert "can't be written" in served.popen.communicate(timeout=HANG_SECONDS)[1]
    assert served.popen.returncode == 2
    assert 0 < written < 1000
    served = serve(*data)
    found = [row["n"] for row in served.calls.documents("rows")]
    assert found[:written] == list(range(written))
    assert len(found) <= written + 1


def next_of(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def test_no_acknowledged_mutation_is_lost_at_any_kill(
    serve: Serve,
    bundle: Bundle,
    tmp_path: Path,
) -> None:
    """Ten times, at a random moment of a thousand mutations of several clients."""
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    data = ("--data", str(tmp_path / "data"))
    served = serve(*data)
    served.push(bundle(COUNTING))
    acknowledged: set[int] = set()
    sent = 0
    for round_number in range(KILLS):
        numbers = iter(range(sent, sent + MUTATIONS))
        kill_at = len(acknowledged) + moments.randrange(MUTATIONS)
        pid = served.server.pid
        lock = threading.Lock()

        def mutate(numbers: Any, kill_at: int, pid: int, url: str, lock: threading.Lock) -> None:
            parts = urlsplit(url)
            connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=HANG_SECONDS
            )
            with contextlib.closing(connection):
                while (number := next_of(numbers, lock)) is not None:
                    body = json.dumps({"path": "app:add", "args": {"n": number}})
                    try:
                        connection.request("POST", "/api/mutation", body)
                        answer = json.loads(connection.getresponse().read())
                    except (OSError, http.client.HTTPException, ValueError):
                        return
                    assert answer["status"] == "success", answer
                    with lock:
                        acknowledged.add(number)
                        due = len(acknowledged) >= kill_at
                    if due:
                        # Another client may have been as quick.
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                        return

        threads = [
            threading.Thread(target=mutate, args=(numbers, kill_at, pid, served.url, lock))
            for _ in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent += MUTATIONS
        served.popen.communicate()
        served = serve(*data)
        first = [row["n"] for row in served.calls.documents("first")]
        second = [row["n"] for row in served.calls.documents("second")]
        told = f"seed {seed}, round {round_number}"
        assert first == second, f"{told}: a mutation was written in half"
        assert len(first) == len(set(first)), f"{told}: a mutation was written twice"
        assert acknowledged <= set(first), f"{told}: an acknowledged mutation is lost"
    assert Client(served.url, served.admin_key).text("/version")
    with sqlite3.connect(tmp_path / "data" / "deployment.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
