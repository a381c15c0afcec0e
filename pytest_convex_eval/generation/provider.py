"""A request to a model, the generation that answers it, and what a provider is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol, TypeAlias

from pytest_convex_eval.outcomes import InfrastructureError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What `json.loads` returns."""


class ProviderError(InfrastructureError):
    """The provider gave no whole reply within its attempts or its deadline.

    `attempts` are all that were made; `detail` holds the provider's own words of the last one.
    """

    def __init__(
        self, message: str, *, detail: str = "", attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, detail=detail)
        self.attempts = attempts


class GenerationCancelledError(InfrastructureError):
    """The run was interrupted before there was a reply."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """All that decides what a model is asked; nothing that differs from run to run.

    `max_tokens` includes what the model spends on thinking. There is no temperature and no seed:
    the API of 2026-10-21 refuses them, so that only a stored generation can be had again.
    `history` are the turns before `user`, oldest first.
    """

    model: str
    system: str
    user: str
    max_tokens: int
    history: tuple[Turn, ...] = ()
    effort: str | None = None

    def fingerprint(self) -> str:
        """Identifies the prompt (not the model): the same for every model asked the same."""
        return _digest([self.system, [asdict(turn) for turn in self.history], self.user])[:16]

    def key(self, trial: int) -> str:
        """The name of trial `trial` (from 1) of this request: 64 hexadecimal digits."""
        return _digest({"request": asdict(self), "trial": trial})

    def to_json(self) -> dict[str, Json]:
        """For a file that people review: texts are lists of lines."""
        return {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "effort": self.effort,
            "system": _lines(self.system),
            "history": [{"role": turn.role, "text": _lines(turn.text)} for turn in self.history],
            "user": _lines(self.user),
        }

    @classmethod
    def from_json(cls, data: Json) -> Request:
        """The inverse of `to_json`. Raises ValueError when `data` is no request."""
        fields = _Fields(data)
        history = []
        for entry in fields.list("history"):
            turn = _Fields(entry)
            role = turn.text("role")
            if role not in ("user", "assistant"):
                raise ValueError(f"role is {role!r}")
            history.append(Turn("user" if role == "user" else "assistant", turn.lines("text")))
        return cls(
            model=fields.text("model"),
            system=fields.lines("system"),
            user=fields.lines("user"),
            max_tokens=fields.integer("max_tokens"),
            history=tuple(history),
            effort=fields.optional_text("effort"),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request to the provider.

    `outcome` is `ok` or the kind of trouble: the provider's own error type where it named one
    (`overloaded_error`), else `timeout`, `connection`, `truncated`, `empty` or `deadline`.
    `waited_seconds` is the pause that followed.
    """

    started: str
    seconds: float
    outcome: str
    status: int | None = None
    message: str = ""
    request_id: str | None = None
    waited_seconds: float = 0.0

    @classmethod
    def from_json(cls, data: Json) -> Attempt:
        """The inverse of `asdict`. Raises ValueError when `data` is no attempt."""
        fields = _Fields(data)
        return cls(
            started=fields.text("started"),
            seconds=fields.number("seconds"),
            outcome=fields.text("outcome"),
            status=fields.optional_integer("status"),
            message=fields.text("message"),
            request_id=fields.optional_text("request_id"),
            waited_seconds=fields.number("waited_seconds"),
        )


@dataclass(frozen=True, slots=True)
class Generation:
    """A whole reply, whatever it is worth: refusals and replies that were cut off as well.

    `text` is that of the text blocks alone; `usage` is the provider's own object, unchanged (what
    it does not say is unknown, not 0). Times are ISO 8601 in UTC, `seconds` the duration of the
    attempt that succeeded. `answered_by` is the model that the provider says answered.
    """

    request: Request
    text: str
    stop_reason: str
    started: str
    finished: str
    seconds: float
    usage: Mapping[str, Json] = field(default_factory=dict)
    stop_details: Mapping[str, Json] | None = None
    attempts: tuple[Attempt, ...] = ()
    answered_by: str | None = None
    request_id: str | None = None
    sdk_version: str | None = None

    @property
    def prompt_fingerprint(self) -> str:
        return self.request.fingerprint()

    def to_json(self) -> dict[str, Json]:
        """For a file that people review: texts are lists of lines."""
        return {
            "request": self.request.to_json(),
            "prompt_fingerprint": self.prompt_fingerprint,
            "text": _lines(self.text),
            "stop_reason": self.stop_reason,
            "stop_details": None if self.stop_details is None else dict(self.stop_details),
            "usage": dict(self.usage),
            "answered_by": self.answered_by,
            "started": self.started,
            "finished": self.finished,
            "seconds": self.seconds,
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "request_id": self.request_id,
            "sdk_version": self.sdk_version,
        }

    @classmethod
    def from_json(cls, data: Json) -> Generation:
        """The inverse of `to_json`. Raises ValueError when `data` is no generation."""
        fields = _Fields(data)
        attempts = [Attempt.from_json(entry) for entry in fields.list("attempts")]
        return cls(
            request=Request.from_json(fields.value("request")),
            text=fields.lines("text"),
            stop_reason=fields.text("stop_reason"),
            stop_details=fields.optional_object("stop_details"),
            usage=fields.optional_object("usage") or {},
            answered_by=fields.optional_text("answered_by"),
            started=fields.text("started"),
            finished=fields.text("finished"),
            seconds=fields.number("seconds"),
            attempts=tuple(attempts),
            request_id=fields.optional_text("request_id"),
            sdk_version=fields.optional_text("sdk_version"),
        )


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How one HTTP request to a provider ended.

    refused: for the rate of requests (429), and `retry_after` are the seconds it asked to wait;
    trouble: anything else. `billed` says that it may be billed: a reply that has begun is, however
    it ends. `usage` is there when the reply was whole. `final` says that no further request has a
    chance before a person changes something.
    """

    outcome: Literal["answered", "refused", "trouble"]
    billed: bool = False
    retry_after: float | None = None
    answered_by: str | None = None
    usage: Mapping[str, Json] | None = None
    final: bool = False


class Passage(Protocol):
    """One HTTP request that a gate has let pass. `leave` is called once, whatever happens."""

    def answering(self) -> None:
        """The first of the reply is here: prompt and prefix are in the provider's cache now."""

    def leave(self, end: AttemptEnd) -> None: ...


class Gate(Protocol):
    """What every HTTP request passes, so that a run as a whole keeps to its limits.

    A provider enters its gates in order before each attempt, repeated ones too, and leaves all of
    them after it.
    """

    def enter(self, request: Request, *, deadline: float) -> Passage:
        """Waits until the request may be made, at most until `deadline` of `time.monotonic`.

        Raises TimeoutError when it may not be made in time, and what the gate is for otherwise
        (no money left, the run was interrupted).
        """

    def sleep(self, seconds: float) -> None:
        """A pause between attempts, which ends early by raising when the run is interrupted."""


class Provider(Protocol):
    """What answers a request."""

    @property
    def recordable(self) -> bool:
        """Whether its generations belong in the store; false for what is had for nothing."""

    def generate(self, request: Request, *, deadline_seconds: float) -> Generation:
        """The whole reply to `request`, all attempts and pauses within `deadline_seconds`.

        Raises ProviderError when there is none, and ConfigurationError when none can be had
        before somebody changes something (key, model, spend limit).
        """


def _digest(value: object) -> str:
    # ASCII JSON, so that a lone surrogate in a prompt can't make the hashing fail.
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _lines(text: str) -> list[Json]:
    return list(text.split("\n"))


class _Fields:
    """Typed reading of a JSON object; every method raises ValueError and names the field."""

    def __init__(self, data: Json) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"an object is expected, not {type(data).__name__}")
        self._data = data

    def value(self, name: str) -> Json:
        try:
            return self._data[name]
        except KeyError:
            raise ValueError(f"{name} is missing") from None

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is no string")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.value(name) is None else self.text(name)

    def number(self, name: str) -> float:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is no number")
        return value

    def integer(self, name: str) -> int:
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} is no integer")
        return value

    def optional_integer(self, name: str) -> int | None:
        return None if self.value(name) is None else self.integer(name)

    def list(self, name: str) -> list[Json]:
        value = self.value(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return value

    def lines(self, name: str) -> str:
        parts = []
        for line in self.list(name):
            if not isinstance(line, str):
                raise ValueError(f"{name} holds something that is no line")
            parts.append(line)
        return "\n".join(parts)

    def optional_object(self, name: str) -> dict[str, Json] | None:
        value = self.value(name)
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{name} is no object")
        return value
