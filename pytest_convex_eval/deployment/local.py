"""The official Convex backend as a child process of this one."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, TypeAlias

from pydantic import JsonValue

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.official import Live, OfficialDeployment
from pytest_convex_eval.deployment.recorder import (
    FINISH_PUSH,
    START_PUSH,
    WAIT_FOR_SCHEMA,
    PushRecorder,
    RecordedPush,
)
from pytest_convex_eval.leftovers import new_scratch
from pytest_convex_eval.outcomes import InfrastructureError

START_SECONDS = 30.0
"""For the backend to answer: what the official CLI waits, too."""
KEYGEN_SECONDS = 30.0
REPLAY_SECONDS = 120.0
"""For one request of a push that is made again."""
_ATTEMPTS = 3
"""Pairs of ports to try: another process may take one between choosing it and using it."""
_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 2.0
_LOG_BYTES = 64 * 1024

# A program that is not ours ends neither with its stdin nor tells when it has ended. So something
# else waits for the end of stdin, which comes when this process ends, however it does; and the
# program holds our pipe open as long as it runs, while what it prints goes to the log.
_WITH_US = """
exec 3<&0 4>&1 1>&2
(cat <&3 >/dev/null; trap "" TERM; kill 0; sleep 2; kill -KILL 0) 4>&- &
exec "$@" 3<&-
"""

_State: TypeAlias = Literal["ready", "ended", "another", "silent"]


class LocalDeployment(OfficialDeployment):
    """A backend with a data folder of its own, empty when it is started.

    The binary has no command that empties it: `reset` starts it anew on an empty folder. It can
    neither outlive this process nor see anything of it (an environment of its own); what the
    backend itself lets the pushed code do is the backend's to say.
    """

    def __init__(
        self, binary: Path, *, node: Path | None = None, start_seconds: float = START_SECONDS
    ) -> None:
        """`binary`: the official program, or one that takes its flags; `node`: what it finds to
        run `"use node"` actions with."""
        self._binary = binary
        self._path = [] if node is None else [node.parent]
        self._start_seconds = start_seconds
        self._folder = contextlib.ExitStack()
        self._process = contextlib.ExitStack()
        self._scratch: Path | None = None
        self._pid = 0
        self._stdout: IO[bytes] | None = None
        self._ports: tuple[int, int] | None = None
        # A name of its own tells this backend from another that took over its port.
        self._name = f"convex-eval-{secrets.token_hex(8)}"
        self._secret = secrets.token_hex(32)

    def start(self) -> None:
        self.close()
        try:
            scratch = new_scratch("deployment")
            self._folder.callback(shutil.rmtree, scratch, ignore_errors=True)
            self._scratch = scratch
            key = self._generate_key()
            url, site_url = self._run()
            recorder = PushRecorder(url)
            self._folder.callback(recorder.close)
            self._live = Live(url, site_url, key, recorder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._live = None
        self._process.close()
        self._folder.close()
        self._scratch = self._stdout = None
        self._pid = 0

    def release(self) -> None:
        """Nobody else ever uses it."""

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            raise InfrastructureError("the local backend is not running")
        return self._scratch

    @property
    def pid(self) -> int:
        self._running()
        return self._pid

    def alive(self) -> bool:
        if self._live is None or self._has_ended():
            return False
        return self._answer(self._live.url) == self._name

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds_of(self._pid) if self._pid else 0.0

    def reset(self) -> None:
        # The program has no command that empties it: another process, on an empty data folder.
        if self._live is None:
            self.start()
            return
        self._restart(self._live)
        self._live.recorder.forget()
        self._live.variables.clear()

    def reset_data(self, now: float | None = None) -> None:
        """Documents can be cleared; where there are files or scheduled functions
        too, the backend is started anew and the push made again. Raises UnsupportedError for a
        `now`: its time is real."""
        self._check_clock(now)
        live = self._running()
        api = self._api()
        api.clear_documents()
        if not api.leftovers():
            return
        pushed = live.recorder.live_push()
        self._restart(live)
        if live.variables:
            self._api().set_variables(live.variables)
        if pushed is not None:
            self._push_again(live, pushed)

    def log(self) -> str:
        """The end of what the backend printed since its last start."""
        try:
            with (self.scratch / "backend.log").open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _LOG_BYTES, 0))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _push_again(self, live: Live, pushed: RecordedPush) -> None:
        client = Client(live.url, live.admin_key, REPLAY_SECONDS)
        answer = client.send("POST", START_PUSH, pushed.headers, pushed.body)
        if answer.status != 200:
            raise InfrastructureError(
                f"the local backend refused with HTTP {answer.status} what it had accepted",
                detail=answer.body.decode("utf-8", "replace"),
            )
        started = Client.parse(answer.body)
        schema: JsonValue = started.get("schemaChange") if isinstance(started, dict) else None
        common: dict[str, JsonValue] = {"adminKey": live.admin_key, "dryRun": False}
        wait: dict[str, JsonValue] = {**common, "schemaChange": schema, "timeoutMs": 10_000}
        deadline = time.monotonic() + REPLAY_SECONDS
        while True:
            status = client.post(WAIT_FOR_SCHEMA, wait)
            if isinstance(status, dict) and status.get("type") == "complete":
                break
            unfinished = isinstance(status, dict) and status.get("type") == "inProgress"
            if not unfinished or time.monotonic() > deadline:
                raise InfrastructureError(
                    "the local backend did not make again what it had accepted", detail=str(status)
                )
        client.post(FINISH_PUSH, {**common, "startPush": started, "message": None})

    def _restart(self, live: Live) -> None:
        try:
            live.url, live.site_url = self._run()
        except BaseException:
            self.close()
            raise
        live.recorder.upstream = live.url
        live.told_failures.clear()

    def _run(self) -> tuple[str, str]:
        """Starts the process, after ending the last one; its URL and that of its site."""
        self._process.close()
        for attempt in range(_ATTEMPTS):
            ports = self._ports if attempt == 0 and self._ports is not None else _free_ports()
            urls = (f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
            self._launch(ports, urls)
            state = self._wait(urls[0])
            if state == "ready":
                self._ports = ports
                return urls
            log = self.log()
            self._process.close()
            if state == "silent":
                raise InfrastructureError(
                    f"the local backend did not answer within {self._start_seconds:g} s", detail=log
                )
            if state == "ended" and not any(map(_is_taken, ports)):
                raise InfrastructureError("the local backend ended at its start", detail=log)
        if state == "another":
            raise InfrastructureError(
                f"{self._binary} answers as another deployment than the one it was started as "
                f"({self._name})",
                detail=log,
            )
        raise InfrastructureError("the local backend found no free ports", detail=log)

    def _launch(self, ports: tuple[int, int], urls: tuple[str, str]) -> None:
        data = self.scratch / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        log = self._process.enter_context((self.scratch / "backend.log").open("wb"))
        # The name and the secret of a deployment that is gone with its files in a moment.
        identity = ("--instance-name", self._name, "--instance-secret", self._secret)
        flags = [
            *("--interface", "127.0.0.1", "--port", str(ports[0])),
            *("--site-proxy-port", str(ports[1]), *identity),
            *("--convex-origin", urls[0], "--convex-site", urls[1]),
            *("--local-storage", str(data / "storage"), "--disable-beacon"),
            str(data / "convex.sqlite3"),
        ]
        try:
            child = self._process.enter_context(
                processes.running(
                    ["/bin/sh", "-c", _WITH_US, "sh", self._binary, *flags],
                    cwd=data,
                    env=processes.environment(home=self.scratch, path=self._path),
                    limits=processes.Limits(wall_seconds=self._start_seconds),
                    stderr=log,
                )
            )
        except OSError as error:
            raise InfrastructureError(f"{self._binary} can't be started: {error}") from error
        self._pid, self._stdout = child.pid, child.stdout

    def _wait(self, url: str) -> _State:
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline:
            if self._has_ended():
                return "ended"
            name = self._answer(url)
            if name is not None:
                return "ready" if name == self._name else "another"
            # A program that is not ours tells nobody that it is ready.
            time.sleep(_POLL_SECONDS)
        return "silent"

    def _has_ended(self) -> bool:
        # Nothing is ever written to it: all that can be read is its end.
        return self._stdout is None or bool(select.select([self._stdout], [], [], 0)[0])

    def _answer(self, url: str) -> str | None:
        with contextlib.suppress(InfrastructureError):
            return Client(url, "", _ANSWER_SECONDS).text("/instance_name").strip()
        return None

    def _generate_key(self) -> str:
        identity = ("--instance-name", self._name, "--instance-secret", self._secret)
        args: list[str | Path] = [self._binary, "keygen", "admin-key", *identity]
        try:
            done = processes.run(
                args,
                cwd=self.scratch,
                env=processes.environment(home=self.scratch),
                limits=processes.Limits(wall_seconds=KEYGEN_SECONDS),
            )
        except OSError as error:
            raise InfrastructureError(f"{self._binary} can't be started: {error}") from error
        key = done.stdout.strip()
        if not done.ok or not key or len(key.split()) != 1:
            raise InfrastructureError(
                f"{self._binary} makes no admin key: it is no Convex backend, is too old for "
                "'keygen admin-key', or does not run on this machine",
                detail=(done.stdout + done.stderr).replace(self._secret, "<secret>"),
            )
        return key


def _free_ports() -> tuple[int, int]:
    with _bound() as first, _bound() as second:
        return first, second


@contextlib.contextmanager
def _bound() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
