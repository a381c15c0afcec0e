"""What a process leaves that is killed outright, and how the next run finds and ends it.

Process groups are told by notes in a folder of the user's own, temporary folders by their names. A
temporary folder is anybody's to write to, so that a note is believed only where nobody but this
user can have written it, and a folder is removed only where it is this user's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

UNKNOWN = "unknown"
"""When a process started, where nothing says it."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_NOTE_BYTES = 1000
_OURS = re.compile(r"convex-eval-[a-z]+-(?P<pid>\d+)-(?P<start>\w+)-(?P<machine>[0-9a-f]{8})-.+")


def sweep() -> list[int]:
    """Ends the process groups that this user's dead processes left running, and removes their
    temporary folders; returns the groups.

    A note names machine, owner and the group's start time, so that another machine's notes and a
    number that was used again by something else are left alone.
    """
    ended = []
    for note in _notes():
        with contextlib.suppress(OSError, ValueError):
            machine, owner, group, start = _trusted_text(note).split()
            if machine == os.uname().nodename and not alive(int(owner)):
                # Where nothing says when it started, its number may be another's by now.
                known = start != UNKNOWN and start == start_time(int(group))
                if known and alive(int(group)) and _is_mine(int(group)):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(int(group), signal.SIGKILL)
                    ended.append(int(group))
                note.unlink()
    for folder in _left_folders():
        shutil.rmtree(folder, ignore_errors=True)
    return ended


def note_group(pid: int) -> Path | None:
    """Notes that this process has started the group of `pid`; None where no note can be kept: notes
    are for those who are killed, and a run without them works."""
    folder = _registry()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_trusted(folder.lstat()):
            return None
        note = folder / f"{pid}.pgid"
        note.write_text(f"{os.uname().nodename} {os.getpid()} {pid} {start_time(pid)}")
        note.chmod(0o600)
    except OSError:
        return None
    return note


def scratch_name(what: str) -> str:
    """A name for a temporary folder of this process, different each time; `what` is one word."""
    owner = f"{os.getpid()}-{start_time(os.getpid())}-{_machine()}"
    return f"convex-eval-{what}-{owner}-{os.urandom(4).hex()}"


def new_scratch(what: str) -> Path:
    """A temporary folder that only this user can look into. The next run removes it where this
    process is killed before it does so itself. Raises OSError."""
    folder = Path(tempfile.gettempdir(), scratch_name(what))
    folder.mkdir(mode=0o700)
    return folder.resolve()


def start_time(pid: int) -> str:
    """When `pid` started: in the kernel's ticks, or where there is no /proc as `ps` says it, in
    letters and digits alone. `UNKNOWN` where nothing says it."""
    try:
        return (proc() / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if proc().is_dir():
            return UNKNOWN
    return re.sub(r"\W", "_", asked_of_ps(pid, "lstart")) or UNKNOWN


def proc() -> Path:
    """Where Linux tells of processes; no folder elsewhere."""
    return Path("/proc")


def asked_of_ps(pid: int, field: str) -> str:
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


def alive(pid: int) -> bool:
    """Whether there is a process `pid`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _registry() -> Path:
    """One folder per user, so that any later run finds what a killed one left."""
    return Path(tempfile.gettempdir(), f"convex-eval-processes-{os.getuid()}")


def _notes() -> Iterator[Path]:
    folder = _registry()
    with contextlib.suppress(OSError):
        if _is_trusted(folder.lstat()):
            yield from sorted(folder.glob("*.pgid"))


def _is_trusted(status: os.stat_result) -> bool:
    """Whether a folder or file is this user's, and nobody else may write to it."""
    kind = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
    return kind and status.st_uid == os.getuid() and not status.st_mode & _OTHERS_WRITE


def _trusted_text(note: Path) -> str:
    """The text of a note. Raises OSError where somebody else may have written it."""
    # Not by way of a link, and without waiting for what is no file.
    opened = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not _is_trusted(os.fstat(opened)):
            raise PermissionError(note)
        return os.read(opened, _MOST_NOTE_BYTES).decode("ascii", "replace")
    finally:
        os.close(opened)


def _is_mine(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.getuid()
    except OSError:
        # Without /proc the kernel decides whom a signal reaches.
        return not Path("/proc/self").exists()


def _left_folders() -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            found = _OURS.fullmatch(entry.name)
            if found is None or found["machine"] != _machine():
                continue
            pid = int(found["pid"])
            if alive(pid) and start_time(pid) in (found["start"], UNKNOWN):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
                    yield Path(entry.path)


def _machine() -> str:
    """Tells apart whose process numbers these are, also among containers that share a folder."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{os.uname().nodename} {namespace}".encode()).hexdigest()[:8]
