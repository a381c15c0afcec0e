"""Which batches are on their way, in files beside the generations they will become."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.outcomes import InfrastructureError

_FORMAT = 1
_LOCK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A batch with an entry for each of `keys`, sent after `submitted` (ISO 8601); `batch` is the
    provider's name for it, None until it is known."""

    keys: tuple[str, ...]
    submitted: str
    batch: str | None

    @property
    def name(self) -> str:
        """The same for the same set of keys."""
        digest = hashlib.sha256("\n".join(sorted(self.keys)).encode()).hexdigest()
        return f"{digest[:32]}.json"


class BatchFiles:
    """The files of a store. All methods raise InfrastructureError where they can't be used."""

    def __init__(self, store: Path) -> None:
        self._folder = store / ".batches"

    def path(self, file: BatchFile) -> Path:
        return self._folder / file.name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process decides at a time what is sent."""
        with self._told():
            self._folder.mkdir(parents=True, exist_ok=True)
            # Nobody else can fetch the results: not good to commit.
            ignore = self._folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            lock = filelock.FileLock(self._folder / ".lock", _LOCK_SECONDS)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def read(self) -> list[BatchFile]:
        """All of them, oldest first.

        One that can't be read is an error, and not passed over: its batch would be paid again.
        """
        files = []
        with self._told():
            for path in self._folder.glob("*.json"):
                with contextlib.suppress(FileNotFoundError):
                    files.append(_decode(path))
        return sorted(files, key=lambda file: file.submitted)

    def write(self, file: BatchFile) -> None:
        data: dict[str, Json] = {
            "format": _FORMAT,
            "batch": file.batch,
            "submitted": file.submitted,
            "keys": list(file.keys),
        }
        with self._told():
            write_whole(self.path(file), json.dumps(data, indent=1), durable=True)

    def remove(self, file: BatchFile) -> None:
        with self._told():
            self.path(file).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"the batches on their way, in {self._folder}, can't be used: {error}"
            ) from error


def _decode(path: Path) -> BatchFile:
    match json.loads(path.read_text("utf-8")):
        case {
            "format": 1,
            "batch": str() | None as batch,
            "submitted": str(submitted),
            "keys": list(keys),
        }:
            return BatchFile(tuple(map(str, keys)), submitted, batch)
    raise ValueError(f"{path.name} is no file of a batch")
