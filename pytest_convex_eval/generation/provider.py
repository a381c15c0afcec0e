"""A request to a model, the generation that answers it, and what a provider is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

from pytest_convex_eval.generation.json_fields import Fields, Json, lines
from pytest_convex_eval.generation.usage import Stop, Usage
from pytest_convex_eval.outcomes import InfrastructureError


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

    `model` is the name that records have, `model_id` what the vendor calls it where the name does
    not say. `max_tokens` includes what the model spends on thinking. `history` are the turns before
    `user`, oldest first. `effort` is how much it is to think, and `settings` whatever else it was
    told to be asked with, both in the vendor's own words.
    """

    model: str
    system: str
    user: str
    max_tokens: int
    history: tuple[Turn, ...] = ()
    effort: str | None = None
    model_id: str | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Identifies the prompt (not the model): the same for every model asked the same."""
        return _digest([self.system, [asdict(turn) for turn in self.history], self.user])[:16]

    def key(self, trial: int) -> str:
        """The name of trial `trial` (from 1) of this request: 64 hexadecimal digits."""
        asked = asdict(self)
        # Names of before there were such fields stay good.
        for later in ("model_id", "settings"):
            if not asked[later]:
                del asked[later]
        return _digest({"request": asked, "trial": trial})

    def to_json(self) -> dict[str, Json]:
        """For a file that people review: texts are lists of lines."""
        return {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "effort": self.effort,
            "model_id": self.model_id,
            "settings": dict(self.settings),
            "system": lines(self.system),
            "history": [{"role": turn.role, "text": lines(turn.text)} for turn in self.history],
            "user": lines(self.user),
        }

    @classmethod
    def from_json(cls, data: Json) -> Request:
        """The inverse of `to_json`. Raises ValueError when `data` is no request."""
        fields = Fields(data)
        history = []
        for entry in fields.list("history"):
            turn = Fields(entry)
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
            model_id=fields.optional_text("model_id"),
            settings=fields.object("settings"),
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
        fields = Fields(data)
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

    `text` is the answer alone, without thinking. Times are ISO 8601 in UTC, `seconds` the duration
    of the attempt that succeeded. `answered_by` is the model that the provider says answered, as
    prices name it.
    """

    request: Request
    text: str
    stop: Stop
    started: str
    finished: str
    seconds: float
    usage: Usage = field(default_factory=Usage)
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
            "text": lines(self.text),
            "stop": self.stop.to_json(),
            "usage": self.usage.to_json(),
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
        fields = Fields(data)
        attempts = [Attempt.from_json(entry) for entry in fields.list("attempts")]
        return cls(
            request=Request.from_json(fields.value("request")),
            text=fields.lines("text"),
            stop=Stop.from_json(fields.value("stop")),
            usage=Usage.from_json(fields.value("usage")),
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
    usage: Usage | None = None
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
