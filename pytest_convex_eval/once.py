"""A folder that is made once on a machine, however many processes want it, or not at all.

Under a lock, the folder is built beside its place and renamed into it: a reader sees a whole
folder or none, and a builder that is killed leaves only a leftover, which the next one removes.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

from filelock import FileLock, Timeout

from pytest_convex_eval.leftovers import sweep
from pytest_convex_eval.outcomes import InfrastructureError

T = TypeVar("T")

Progress: TypeAlias = Callable[[str], None]
"""Told, one line at a time, what takes long."""

PATIENCE_SECONDS = 2.0
"""How long another's work is waited for without a word."""

WAIT_SECONDS = 1200.0
"""How long another's work is waited for at all: above the deadline of one install."""


def silent(line: str) -> None:
    """The progress of who does not want to know."""


def made_once(
    target: Path,
    *,
    what: str,
    load: Callable[[Path], T | None],
    build: Callable[[Path], None],
    progress: Progress,
) -> T:
    """What `load` reads from `target`, which `build` fills first if `load` finds nothing whole.

    `target`'s name must hold no dot. `load` must be quick and start no process: it is all that
    happens when the folder is there. `what` names it to a person. Raises what `build` raises, and
    InfrastructureError when the folder can't be written or another process never ends.
    """
    if (found := load(target)) is not None:
        return found
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, what, progress):
            if (found := load(target)) is None:
                _remove_leftovers(target)
                _build(target, what, build, progress)
                found = load(target)
    except OSError as error:
        raise InfrastructureError(
            f"{what} can't be installed in {target.parent}: {error.strerror or error}"
        ) from error
    if found is None:
        raise InfrastructureError(f"{what} in {target} is not whole although it was just made")
    return found


def _build(target: Path, what: str, build: Callable[[Path], None], progress: Progress) -> None:
    progress(f"installing {what} (once per machine)")
    started = time.monotonic()
    folder = _beside(target)
    try:
        build(folder)
        if target.exists():
            # Damaged: something of it was deleted. Moved away first, so that nobody reads it.
            target.rename(_beside(target) / target.name)
        folder.rename(target)
    finally:
        _remove_leftovers(target)
    progress(f"installed {what} in {time.monotonic() - started:.1f} s")


def _beside(target: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    folder.chmod(0o755)
    return folder


@contextlib.contextmanager
def _locked(target: Path, what: str, progress: Progress) -> Iterator[None]:
    lock = FileLock(_lock_file(target))
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        progress(f"waiting for another process to install {what}")
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            raise InfrastructureError(
                f"another process has been installing {what} for more than "
                f"{WAIT_SECONDS / 60:.0f} minutes; end it, or delete {_lock_file(target)}"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _remove_leftovers(target: Path) -> None:
    """Removes what dead builders left: of `target`, and of others that nobody builds just now,
    whose key (another version's, say) may never be built again."""
    leftovers = [folder for folder in target.parent.glob(".*.*") if folder.is_dir()]
    if leftovers:
        # A builder that was killed outright leaves its npm behind, still writing.
        sweep()
    for folder in leftovers:
        name = folder.name[1:].partition(".")[0]
        if name == target.name:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        other = FileLock(_lock_file(target.with_name(name)))
        with contextlib.suppress(Timeout), other.acquire(blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
