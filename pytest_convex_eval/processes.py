"""Every child process of the package is started here, and ends here.

A child gets its own session, so that ending it ends everything it started; a deadline; and, where
asked for, limits on memory and CPU time. Nothing survives its caller: a deadline, Ctrl-C and
pytest-timeout's signal (which raises a BaseException in the main thread) all end the whole process
group before they go on. For callers that are killed outright, `sweep` ends what they left.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

UNKNOWN = "unknown"
"""When a process started, where nothing says it."""
_PROC = Path("/proc")
GRACE_SECONDS = 1.0
"""Between asking a process group to end (SIGTERM) and making it (SIGKILL)."""

Ending: TypeAlias = Literal["exit", "signal", "timeout", "output"]

# `ulimit` is what sh offers everywhere; setting limits between fork and exec in Python is not safe
# with threads.
_LIMITED = 'test "$1" = 0 || ulimit -v "$1"; test "$2" = 0 || ulimit -t "$2"; shift 2; exec "$@"'


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
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0 if _PROC.is_dir() else _seconds(_asked_of_ps(pid, "time"))
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
    for entry in _PROC.glob("[0-9]*"):
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                total += cpu_seconds_of(pid)
    return total


def sweep() -> list[int]:
    """Ends the process groups that this user's dead processes left running; returns them.

    A note names machine, owner and the group's start time, so that another machine's notes and a
    number that was used again by something else are left alone.
    """
    ended = []
    for note in _registry().glob("*.pgid"):
        with contextlib.suppress(OSError, ValueError):
            machine, owner, group, start = note.read_text().split()
            if machine == os.uname().nodename and not _alive(int(owner)):
                # Where nothing says when it started, its number may be another's by now.
                known = start != UNKNOWN and start == _start_time(int(group))
                if known and _alive(int(group)):
                    _signal_group(int(group), signal.SIGKILL)
                    ended.append(int(group))
                note.unlink()
    return ended


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
    popen = subprocess.Popen(
        limits.wrap(args),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr if stderr is not None else subprocess.PIPE,
        start_new_session=True,
    )
    note = _note(popen.pid)
    try:
        yield _Child(popen)
    finally:
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if note is not None:
            note.unlink(missing_ok=True)


def _registry() -> Path:
    """One folder per user, so that any later run finds what a killed one left."""
    return Path(tempfile.gettempdir(), f"convex-eval-processes-{os.getuid()}")


def _note(pid: int) -> Path | None:
    folder = _registry()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            return None
        note = folder / f"{pid}.pgid"
        note.write_text(f"{os.uname().nodename} {os.getpid()} {pid} {_start_time(pid)}")
    except OSError:
        # Notes are for those who are killed; a run without them works.
        return None
    return note


def _start_time(pid: int) -> str:
    """When `pid` started: in the kernel's ticks, or where there is no /proc as `ps` says it,
    without blanks. `UNKNOWN` where nothing says it."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if _PROC.is_dir():
            return UNKNOWN
    return "-".join(_asked_of_ps(pid, "lstart").split()) or UNKNOWN


def _asked_of_ps(pid: int, field: str) -> str:
    """What `ps` says of a process; nothing where it is gone, or there is no `ps`."""
    try:
        done = subprocess.run(
            ["ps", "-o", f"{field}=", "-p", str(pid)],
            capture_output=True,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
