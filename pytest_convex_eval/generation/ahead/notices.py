"""What the processes of a run tell each other about generations, as small files in one folder.

The process that generates (the controller) holds a lock on the folder while it does. The others
(workers) ask it for what they need and learn what became of it; when the lock is free, nobody will
answer them. A reply itself is never told here: it is in the store.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.provider import (
    Attempt,
    GenerationCancelledError,
    ProviderError,
    Request,
)
from pytest_convex_eval.outcomes import ConfigurationError, ConvexEvalError, InfrastructureError

_STOP = "stop"
_LOCK = "attended.lock"
_ATTEND_SECONDS = 10.0
"""Workers that look whether the lock is held hold it themselves for a moment."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A generation that a worker waits for."""

    request: Request
    trial: int
    label: str

    @property
    def key(self) -> str:
        return self.request.key(self.trial)


class Notices:
    """The folder of one run's notices. OSErrors of writing are passed on: nobody could be told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed = folder / "failed"
        self._asked = folder / "asked"
        self._lock: filelock.FileLock | None = None

    # The process that generates.

    def attend(self) -> None:
        """From now on, until `leave` or the end of this process, asking is answered.

        Raises InfrastructureError when another process does so already.
        """
        self._failed.mkdir(parents=True, exist_ok=True)
        self._asked.mkdir(parents=True, exist_ok=True)
        # Held by the process, whichever thread ends it.
        lock = filelock.FileLock(self._folder / _LOCK, _ATTEND_SECONDS, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise InfrastructureError(
                f"another process generates for the run {self._folder}"
            ) from error
        self._lock = lock

    def leave(self) -> None:
        """Nothing more is answered: those who wait have to see to it themselves."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def fail(self, key: str, error: ConvexEvalError) -> None:
        """Tells that there will be no generation `key` in this run, and why."""
        _write(self._failed / f"{key}.json", _encode(error))

    def stop(self, error: ConvexEvalError) -> None:
        """Tells that there will be no further generation at all, and why."""
        self.fail(_STOP, error)

    def asked(self) -> Iterator[Asked]:
        """What was asked for since the last call; a notice that can't be read is dropped."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self._asked.glob("*.json"), key=_age):
                with contextlib.suppress(OSError, ValueError):
                    text = path.read_bytes().decode("utf-8", "surrogatepass")
                    path.unlink()
                    match json.loads(text):
                        case {"request": request, "trial": int(trial), "label": str(label)}:
                            yield Asked(Request.from_json(request), trial, label)

    # The processes that wait.

    def attended(self) -> bool:
        """Whether a living process answers."""
        if not self._failed.is_dir():
            return False
        lock = filelock.FileLock(self._folder / _LOCK, blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            return True
        lock.release()
        return False

    def ask(self, asked: Asked) -> None:
        """Asks for a generation; asking twice is as good as once."""
        data: dict[str, Json] = {
            "request": asked.request.to_json(),
            "trial": asked.trial,
            "label": asked.label,
        }
        _write(self._asked / f"{asked.key}.json", data)

    def failure(self, key: str) -> ConvexEvalError | None:
        """Why there will be no generation `key`; None where nothing is known of it."""
        for name in (key, _STOP):
            with contextlib.suppress(FileNotFoundError):
                return _decode(json.loads((self._failed / f"{name}.json").read_text("utf-8")))
        return None


def _encode(error: ConvexEvalError) -> dict[str, Json]:
    kind = next(name for name, known in _KINDS.items() if isinstance(error, known))
    detail = error.detail if isinstance(error, InfrastructureError) else ""
    attempts = error.attempts if isinstance(error, ProviderError) else ()
    return {
        "kind": kind,
        "message": str(error),
        "detail": detail,
        "attempts": [asdict(attempt) for attempt in attempts],
    }


# The first that fits is told: subclasses come before their bases.
_KINDS: Mapping[str, type[ConvexEvalError]] = {
    "configuration": ConfigurationError,
    "budget": BudgetExhaustedError,
    "provider": ProviderError,
    "cancelled": GenerationCancelledError,
    "infrastructure": InfrastructureError,
    "other": ConvexEvalError,
}


def _decode(data: Json) -> ConvexEvalError:
    match data:
        case {"kind": "configuration", "message": str(message)}:
            return ConfigurationError(message)
        case {"kind": "budget", "message": str(message)}:
            return BudgetExhaustedError(message)
        case {
            "kind": "provider",
            "message": str(message),
            "detail": str(detail),
            "attempts": list(attempts),
        }:
            made = tuple(Attempt.from_json(attempt) for attempt in attempts)
            return ProviderError(message, detail=detail, attempts=made)
        case {"kind": "cancelled", "message": str(message)}:
            return GenerationCancelledError(message)
        case {"message": str(message), **rest}:
            return InfrastructureError(message, detail=str(rest.get("detail", "")))
    return InfrastructureError(f"a notice about a generation can't be read: {data!r}")


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _write(path: Path, data: dict[str, Json]) -> None:
    write_whole(path, json.dumps(data))
