"""The generation store: every reply that was paid for, one reviewable JSON file each.

A file is named by the digest of its request and trial, so that the same question is never paid for
twice, a finished one is found again after a crash, and re-grading asks no model. Files are good to
commit: no secrets, no locks among them, texts as lists of lines.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.generation.anthropic.words import upgraded
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.modes import StoreMode
from pytest_convex_eval.generation.provider import Generation, Provider, Request
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A generation and how it was come by. `stored` is true when no model was asked for it now."""

    generation: Generation
    key: str
    stored: bool


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """What stands in one file of the store; `label` names the item it was made for."""

    key: str
    label: str
    trial: int
    run: str
    generation: Generation


class GenerationStore:
    """A folder of generations; any number of processes and threads may use it at once.

    `run` identifies the run that the store is used in, the same in all its processes: in mode
    `refresh`, a file that this run wrote is not made again.
    """

    def __init__(self, folder: Path, mode: StoreMode = "auto", *, run: str | None = None) -> None:
        self.folder = folder
        self.mode: StoreMode = mode
        self.run = run or uuid.uuid4().hex

    def path(self, request: Request, trial: int) -> Path:
        """Where the generation is, or would be."""
        model = re.sub(r"[^A-Za-z0-9._-]+", "-", request.model).strip(".")[:80] or "model"
        return self.folder / model / f"{request.key(trial)}.json"

    def find(self, request: Request, trial: int) -> Generation | None:
        """The stored generation that `get` would use; None where it would ask.

        Raises InfrastructureError for a file that is unreadable, in the modes that do not make it
        anew.
        """
        found = self._read(request, trial)
        return None if found is None else found.generation

    def lookup(self, request: Request, trial: int) -> Retrieval | None:
        """As `find`; `stored` is false for what this run had made, by whichever process."""
        found = self._read(request, trial)
        if found is None:
            return None
        return Retrieval(found.generation, found.key, stored=found.run != self.run)

    def put(self, request: Request, trial: int, generation: Generation, *, label: str) -> None:
        """Keeps a generation that was come by otherwise (a batch); one that is there stays.

        Raises InfrastructureError when the store can't be written.
        """
        key = request.key(trial)
        with self._locked(key, label, 60.0):
            try:
                found = self._read(request, trial)
            except InfrastructureError:
                found = None  # unreadable, and now made anew
            if found is None:
                self._write(self.path(request, trial), key, trial, label, generation)

    def _read(self, request: Request, trial: int) -> StoredGeneration | None:
        path, key = self.path(request, trial), request.key(trial)
        try:
            stored = read_stored(path)
            if stored.key != key:
                raise ValueError("its request is not the one that its name stands for")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if self.mode in ("record", "refresh"):
                return None
            raise InfrastructureError(
                f"{path} is no readable generation ({error}); restore it, or have it made anew "
                "with the store mode record",
            ) from error
        return None if self.mode == "refresh" and stored.run != self.run else stored

    def get(
        self,
        request: Request,
        trial: int,
        provider: Provider | None,
        *,
        label: str,
        deadline_seconds: float = 900.0,
    ) -> Retrieval:
        """The generation of trial `trial` (from 1) of `request`, stored or asked for now.

        `label` names the item for people, in errors and in the file; it is no part of the key.
        However many processes ask for one generation, one request is made. Waiting for another
        process counts towards `deadline_seconds`. What a provider raises is passed on and never
        stored; a refusal or a reply that was cut off is a generation like any other.
        Raises InfrastructureError for a miss in mode `replay` and for an unreadable file, and
        ConfigurationError when there is no provider to ask.
        """
        key = request.key(trial)
        if provider is not None and not provider.recordable:
            generation = provider.generate(request, deadline_seconds=deadline_seconds)
            return Retrieval(generation, key, stored=False)
        if self.mode == "record" and provider is None:
            raise ConfigurationError(f"store mode record needs a key for {request.model}")
        found = self.find(request, trial)
        if found is not None:
            return Retrieval(found, key, stored=True)
        if self.mode == "replay":
            raise InfrastructureError(
                f"{label} (trial {trial}) is not in the generation store {self.folder}: no file "
                f"has the key {key}, and store mode replay asks no model"
            )
        if provider is None:
            raise ConfigurationError(
                f"{label} (trial {trial}) is not in the generation store {self.folder}, and "
                f"there is no key to ask {request.model} with"
            )
        started = time.monotonic()
        with self._locked(key, label, deadline_seconds):
            found = self.find(request, trial)
            if found is not None:
                return Retrieval(found, key, stored=True)
            remaining = max(deadline_seconds - (time.monotonic() - started), 1.0)
            generation = provider.generate(request, deadline_seconds=remaining)
            self._write(self.path(request, trial), key, trial, label, generation)
        return Retrieval(generation, key, stored=False)

    @contextlib.contextmanager
    def _locked(self, key: str, label: str, seconds: float) -> Iterator[None]:
        locks = self.folder / ".locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            # Lock files are left behind (deleting one that is waited for breaks the lock).
            ignore = locks / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            lock = filelock.FileLock(locks / f"{key}.lock", timeout=seconds)
            lock.acquire()
        except filelock.Timeout as error:
            raise InfrastructureError(
                f"{label}: another process has been asking for this generation for {seconds:g} s"
            ) from error
        except OSError as error:
            raise InfrastructureError(
                f"the generation store {self.folder} can't be written: {error}"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _write(self, path: Path, key: str, trial: int, label: str, generation: Generation) -> None:
        data: dict[str, Json] = {
            "format": _FORMAT,
            "key": key,
            "label": label,
            "trial": trial,
            "run": self.run,
            "generation": generation.to_json(),
        }
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text, durable=True)
        except OSError as error:
            raise InfrastructureError(
                f"the generation store {self.folder} can't be written: {error}"
            ) from error


def read_stored(path: Path) -> StoredGeneration:
    """The generation in a file of a store.

    Raises FileNotFoundError, OSError, and ValueError for what is no generation, or not the one of
    its key.
    """
    text = path.read_bytes().decode("utf-8", "surrogatepass")
    try:
        data: Json = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    match data:
        case {"format": int(number)} if not 1 <= number <= _FORMAT:
            raise ValueError(f"of format {number}, where {_FORMAT} is known")
        case {
            "format": int(number),
            "key": str(named),
            "run": str(run),
            "trial": int(trial),
            "label": str(label),
            "generation": encoded,
        }:
            generation = Generation.from_json(upgraded(encoded) if number == 1 else encoded)
        case _:
            raise ValueError("not a generation file")
    key = generation.request.key(trial)
    if named != key:
        raise ValueError("its request is not the one that its name stands for")
    return StoredGeneration(key, label, trial, run, generation)
