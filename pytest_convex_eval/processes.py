"""Every child process of the package is started here, and ends here.

A child gets its own session, so that ending it ends everything it started; a deadline; and, where
asked for, limits on memory and CPU time. Nothing survives its caller: a deadline, Ctrl-C and
pytest-timeout's signal (which raises a BaseException in the main thread) all end the whole process
group before they go on. For callers that are killed outright, `leftovers` has what ends the rest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

from pytest_convex_eval.leftovers import asked_of_ps, note_group, proc

GRACE_SECONDS = 1.0
"""The time between asking a process group to end (SIGTERM) and making it (SIGKILL)."""

Ending: TypeAlias = Literal["exit", "signal", "timeout", "output"]

# `ulimit` is what sh offers everywhere; setting limits between fork and exec in Python is not safe
# with threads.
_LIMITED = 'test "$1" = 0 || ulimit -v "$1"; test "$2" = 0 || ulimit -t "$2"; shift 2; exec "$@"'


# A child begins once it is told to, when there is a note of it: where its owner is killed before
# that, its stdin ends, and so does it. `read` takes no more than the line from a pipe.
_GATED = 'read -r _ || exit 1; exec "$@"'


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use. Address space binds on Linux only; the rest everywhere."""

    wall_seconds: float
    cpu_seconds: int | None = None
    address_space_bytes: int | None = None
    output_bytes: int = 32 * 1024 * 1024

    def wrap(self, args: Sequence[str | Path]) -> list[str]:
        """`args`, run under the limits on CPU time and address space."""
        plain = [str(arg) for arg in args]
        if self.cpu_seconds is None and self.address_space_bytes is None:
            return plain
        kibibytes = (self.address_space_bytes or 0) // 1024
        head = ["/bin/sh", "-c", _LIMITED, "sh", str(kibibytes), str(self.cpu_seconds or 0)]
        return head + plain


def heap_of(mebibytes: int) -> dict[str, str]:
    """The variable that limits the heap of Node and of what it starts of its own kind.

    Node reserves far more address space than it uses, so that a limit on that does not bind.
    """
    return {"NODE_OPTIONS": f"--max-old-space-size={mebibytes}"}


@dataclass(frozen=True, slots=True)
class Completed:
    """A child that has ended. Seconds of CPU are those of the child and all it waited for, and,
    where it was made to end, of all that it had running.

    `ending` says by what: its own exit, a signal (a limit of the kernel's among them), our
    deadline, or more output than allowed.
    """

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    wall_seconds: float
    cpu_seconds: float
    ending: Ending

    @property
    def ok(self) -> bool:
        return self.ending == "exit" and self.returncode == 0

    def out_of_cpu(self, limit_seconds: float) -> bool:
        """Whether the kernel ended it at its limit on CPU time, by SIGKILL where it sends no other.

        The limit is held against a sampled count, and what was used is measured: on a busy machine,
        processes were killed at 3 s that had used 2.6.
        """
        if self.ending != "signal":
            return False
        killed = self.returncode == -signal.SIGKILL and self.cpu_seconds >= limit_seconds * 0.75
        return killed or self.returncode == -signal.SIGXCPU


def environment(*, home: Path, path: Sequence[Path] = (), **variables: str) -> dict[str, str]:
    """A child's whole environment: nothing of the caller's but the locale.

    Keys of the caller (ANTHROPIC_API_KEY among them) are never visible to a child.
    """
    system = ["/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join([*map(str, path), *system]),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        **variables,
    }


def run(
    args: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    stdin: str | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Runs `args` to its end and returns what it printed; never raises for how it ended.

    `on_line` is given each line of stderr as it comes, for progress. Output is decoded with
    replacement characters: a lone surrogate would break xdist's serialisation.
    Raises OSError when the program cannot be started.
    """
    started = time.monotonic()
    with _spawn(args, cwd=cwd, env=env, limits=limits) as child:
        try:
            ending, out, err = _communicate(
                child, stdin, started + limits.wall_seconds, limits, on_line
            )
            # What is made to end is waited for by nobody but us, and its children by nobody.
            spent = 0.0 if ending == "exit" else _session_cpu_seconds(child.pid)
        finally:
            # Also after a clean exit: what the child left running in its group dies with it.
            _end(child)
    status = child.reaped.status
    if ending == "exit" and status < 0:
        ending = "signal"
    return Completed(
        args=tuple(map(str, args)),
        returncode=status,
        stdout=out.decode("utf-8", "replace"),
        stderr=err.decode("utf-8", "replace"),
        wall_seconds=time.monotonic() - started,
        cpu_seconds=max(spent, child.reaped.cpu_seconds),
        ending=ending,
    )


@contextlib.contextmanager
def running(
    args: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    stderr: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that serves until the block is left; its stdin and stdout are pipes.

    The wall limit does not apply. A server that ends itself at the end of its stdin also ends when
    this process is killed outright.
    """
    with _spawn(args, cwd=cwd, env=env, limits=limits, stderr=stderr) as child:
        try:
            yield child.popen
        finally:
            _end(child)


def cpu_seconds_of(pid: int) -> float:
    """CPU seconds that process `pid` has used so far; 0.0 where the system does not say."""
    try:
        fields = (proc() / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0 if proc().is_dir() else _seconds(asked_of_ps(pid, "time"))
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _seconds(time: str) -> float:
    """Of a time as `ps` prints it (`[[days-]hours:]minutes:seconds`); 0.0 where it is none."""
    days, _, rest = time.rpartition("-")
    try:
        total = 0.0
        for part in rest.split(":"):
            total = total * 60 + float(part)
        return total + 86_400 * int(days or 0)
    except ValueError:
        return 0.0


def kill(leader: int) -> None:
    """Ends the group of `leader`, a child that serves; whoever holds it waits for it."""
    _signal_group(leader, signal.SIGKILL)


def _session_cpu_seconds(leader: int) -> float:
    """CPU seconds of all processes in the session of `leader`; 0.0 where the system does not say.

    Those that have ended count once their parents have waited for them.
    """
    total = 0.0
    for entry in proc().glob("[0-9]*"):
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                total += cpu_seconds_of(pid)
    return total


@dataclass(frozen=True, slots=True)
class _Reaped:
    status: int
    cpu_seconds: float


class _Child:
    """A started process. Waited for here and not by Popen, which drops what the child used."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.pid = popen.pid
        self._reaped: _Reaped | None = None

    def wait(self, *, block: bool) -> bool:
        """Whether the child has ended."""
        if self._reaped is None:
            try:
                pid, status, usage = os.wait4(self.pid, 0 if block else os.WNOHANG)
            except ChildProcessError:
                # An interrupt came between the child's end and our note of it. How it ended is
                # lost; an error here would take the interrupt's place, and hide it.
                self._note(_Reaped(-signal.SIGKILL, 0.0))
            else:
                if pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._note(_Reaped(code, usage.ru_utime + usage.ru_stime))
        return self._reaped is not None

    def _note(self, reaped: _Reaped) -> None:
        self.popen.returncode = reaped.status
        self._reaped = reaped

    @property
    def reaped(self) -> _Reaped:
        assert self._reaped is not None
        return self._reaped


@contextlib.contextmanager
def _spawn(
    args: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    stderr: IO[bytes] | None = None,
) -> Iterator[_Child]:
    _must_be_there(str(args[0]), cwd, env)
    popen = subprocess.Popen(
        ["/bin/sh", "-c", _GATED, "sh", *limits.wrap(args)],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr if stderr is not None else subprocess.PIPE,
        start_new_session=True,
    )
    assert popen.stdin is not None
    note = note_group(popen.pid)
    try:
        with contextlib.suppress(BrokenPipeError):
            popen.stdin.write(b"\n")
            popen.stdin.flush()
        yield _Child(popen)
    finally:
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if note is not None:
            note.unlink(missing_ok=True)


def _must_be_there(program: str, cwd: Path, env: Mapping[str, str]) -> None:
    """Raises OSError for a program that can't be started, which sh would only say in words."""
    place = str(cwd / program) if os.sep in program else program
    if shutil.which(place, path=env.get("PATH", os.defpath)) is None:
        number = errno.EACCES if Path(place).exists() else errno.ENOENT
        raise OSError(number, os.strerror(number), program)


def _communicate(
    child: _Child,
    stdin: str | None,
    deadline: float,
    limits: Limits,
    on_line: Callable[[str], None] | None,
) -> tuple[Ending, bytes, bytes]:
    popen = child.popen
    assert popen.stdin is not None
    assert popen.stdout is not None
    assert popen.stderr is not None
    pending = memoryview((stdin or "").encode())
    out, err = bytearray(), bytearray()
    told = 0
    ended = False
    with selectors.DefaultSelector() as selector:
        if pending:
            os.set_blocking(popen.stdin.fileno(), False)
            selector.register(popen.stdin, selectors.EVENT_WRITE)
        else:
            popen.stdin.close()
        selector.register(popen.stdout, selectors.EVENT_READ, out)
        selector.register(popen.stderr, selectors.EVENT_READ, err)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return "timeout", bytes(out), bytes(err)
            events = selector.select(0 if ended else min(remaining, 0.1))
            if not events:
                if ended:
                    # Something that the child started still holds its pipes.
                    return "exit", bytes(out), bytes(err)
                # On a busy machine, its last words and its end come between one line and the next:
                # once it has ended, what it said is looked for again.
                ended = child.wait(block=False)
            for key, _ in events:
                if key.fileobj is popen.stdin:
                    try:
                        pending = pending[os.write(key.fd, pending[:65536]) :]
                    except BrokenPipeError:
                        pending = memoryview(b"")
                    if not pending:
                        selector.unregister(popen.stdin)
                        popen.stdin.close()
                    continue
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                key.data.extend(chunk)
                if len(out) + len(err) > limits.output_bytes:
                    return "output", bytes(out), bytes(err)
                if on_line is not None and key.data is err:
                    *lines, rest = bytes(err[told:]).split(b"\n")
                    told = len(err) - len(rest)
                    for line in lines:
                        on_line(line.decode("utf-8", "replace"))
    while not child.wait(block=False):
        if time.monotonic() >= deadline:
            return "timeout", bytes(out), bytes(err)
        time.sleep(0.002)
    return "exit", bytes(out), bytes(err)


def _end(child: _Child) -> None:
    """Ends the child's whole group, politely first, and waits for the child."""
    if not child.wait(block=False):
        _signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and not child.wait(block=False):
            time.sleep(0.01)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait(block=True)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
