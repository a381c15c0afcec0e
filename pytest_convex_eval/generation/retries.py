"""A provider's attempts: gates, deadlines, pauses and records, the same for every vendor.

A vendor's own provider makes one HTTP request and says what came of it: an `Answer`, or an
`AttemptError` whose fields decide what follows. SDKs' retries are off: attempts have to be
recorded, and Retry-After has to have a cap.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeVar

from pytest_convex_eval.generation.provider import (
    Attempt,
    AttemptEnd,
    Gate,
    Generation,
    Passage,
    ProviderError,
    Request,
)
from pytest_convex_eval.generation.usage import Stop, Usage
from pytest_convex_eval.outcomes import ConfigurationError

_MESSAGE_CHARACTERS = 2000
_REQUEST_ID_HEADERS = ("request-id", "x-request-id")

_Self = TypeVar("_Self", bound="RetryingProvider")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is made again; times in seconds.

    The n-th pause is drawn evenly from the upper half of `first_pause * 2**n`, at most
    `longest_pause`. A Retry-After of the provider takes its place, at most `longest_retry_after`.
    `read` is the longest silence of the network within a reply, pings included. Refusals for the
    rate of requests are no `attempts`; one request may be refused in a row for `refused` seconds.
    """

    attempts: int = 6
    first_pause: float = 1.0
    longest_pause: float = 30.0
    longest_retry_after: float = 60.0
    connect: float = 10.0
    read: float = 120.0
    refused: float = 600.0


class Response(Protocol):
    """What is asked of an HTTP library's response."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class AttemptError(Exception):
    """An attempt that brought no reply, and what is to follow from it.

    `outcome` is as in `Attempt`. `again` says whether another attempt may bring one,
    `configuration` that none will before a person changes something, `refused` that the only
    trouble is the rate of requests: waiting helps.
    """

    def __init__(
        self,
        outcome: str,
        message: str,
        response: Response | None,
        *,
        again: bool = True,
        configuration: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.status = None if response is None else response.status_code
        self.headers: Mapping[str, str] = {} if response is None else response.headers
        self.again = again
        self.configuration = configuration
        self.refused = refused

    @property
    def billed(self) -> bool:
        """Whether the provider may have begun to answer, and so to count."""
        return self.outcome == "timeout" or (self.status is not None and self.status < 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply; fields as in `Generation`. `status` is that of its HTTP response."""

    text: str
    stop: Stop
    usage: Usage
    answered_by: str | None = None
    request_id: str | None = None
    status: int = 200


class Call:
    """One attempt: until when it may take, and whom it tells that the reply has begun."""

    def __init__(
        self,
        passages: Sequence[Passage],
        policy: RetryPolicy,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        self._passages = passages
        self._policy = policy
        self._deadline = deadline
        self._clock = clock
        self._begun = False

    @property
    def read_seconds(self) -> float:
        """The longest silence of the network that may be."""
        return min(self._policy.read, self._remaining)

    @property
    def connect_seconds(self) -> float:
        """The longest that connecting may take."""
        return min(self._policy.connect, self._remaining)

    @property
    def _remaining(self) -> float:
        return max(self._deadline - self._clock(), 0.001)

    def check(self, response: Response) -> None:
        """Raises AttemptError at the deadline. To be called for whatever comes, pings too: a stream
        of nothing else would outlive any timeout."""
        if self._clock() >= self._deadline:
            raise AttemptError("deadline", "the reply took too long", response)

    def answering(self) -> None:
        """The first of the reply is here: from now on the request is billed. Once is enough."""
        if not self._begun:
            self._begun = True
            for passage in self._passages:
                passage.answering()


class RetryingProvider(ABC):
    """A provider that makes attempts by `ask`; may be used by several threads at once.

    Every attempt passes the `gates` in their order. `sleep` is given the seconds of every pause
    between two attempts (default: the last gate's); what it raises ends the generation. `clock` is
    what the deadline is told by. `secret` stands in no record and no message, whoever repeats it.
    """

    recordable = True

    def __init__(
        self,
        *,
        secret: str = "",
        policy: RetryPolicy | None = None,
        gates: Sequence[Gate] = (),
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = secret
        self._policy = policy or RetryPolicy()
        self._gates = tuple(gates)
        self._sleep = sleep or (self._gates[-1].sleep if self._gates else time.sleep)
        self._clock = clock

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def ask(self, request: Request, call: Call) -> Answer:
        """One HTTP request and its whole reply. Raises AttemptError where there is none."""

    @abstractmethod
    def prepare(self) -> None:
        """What takes time before the first attempt, and is not the vendor's: importing its SDK."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connections; the provider opens new ones when it is used again."""

    def sdk_version(self) -> str | None:
        """Name and version of what makes the requests."""
        return None

    def generate(self, request: Request, *, deadline_seconds: float) -> Generation:
        """See `Provider.generate`. A network that falls silent can exceed the deadline by the
        policy's `read` seconds, no more."""
        # Importing an SDK on a busy machine takes seconds, which are not the provider's.
        self.prepare()
        deadline = self._clock() + deadline_seconds
        attempts: list[Attempt] = []
        counted, refused_since = 0, None
        while True:
            passages = self._enter(request, attempts, deadline, deadline_seconds)
            started, began = now(), self._clock()
            try:
                answer = self._attempt(request, passages, deadline)
            except AttemptError as error:
                attempts.append(self._record(error, started, self._clock() - began))
                if error.configuration:
                    raise ConfigurationError(
                        f"{request.model} can't be asked: {_words(attempts[-1])}"
                    ) from error
                counted += not error.refused
                refused_since = (refused_since or began) if error.refused else None
                pause = self._pause(len(attempts) - 1, told_pause(error.headers))
                last = counted >= self._policy.attempts or (
                    refused_since is not None
                    and self._clock() - refused_since >= self._policy.refused
                )
                if last or not error.again or self._clock() + pause >= deadline:
                    raise _failure(request, attempts, deadline_seconds) from error
                attempts[-1] = replace(attempts[-1], waited_seconds=round(pause, 3))
                self._sleep(pause)
                continue
            seconds = round(self._clock() - began, 3)
            attempts.append(
                Attempt(started, seconds, "ok", answer.status, request_id=answer.request_id)
            )
            return Generation(
                request=request,
                text=answer.text,
                stop=answer.stop,
                usage=answer.usage,
                answered_by=answer.answered_by,
                started=started,
                finished=now(),
                seconds=seconds,
                attempts=tuple(attempts),
                request_id=answer.request_id,
                sdk_version=self.sdk_version(),
            )

    def _pause(self, number: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(retry_after, self._policy.longest_retry_after)
        longest = min(self._policy.first_pause * 2.0**number, self._policy.longest_pause)
        return longest * random.uniform(0.5, 1.0)

    def _record(self, error: AttemptError, started: str, seconds: float) -> Attempt:
        # Attempts are shown, and kept in the store: no key may stand in them.
        return Attempt(
            started=started,
            seconds=round(seconds, 3),
            outcome=error.outcome,
            status=error.status,
            message=redacted(str(error), self._secret)[:_MESSAGE_CHARACTERS],
            request_id=request_id(error.headers),
        )

    def _enter(
        self, request: Request, attempts: list[Attempt], deadline: float, seconds: float
    ) -> list[Passage]:
        """Passes the gates. Raises ProviderError at the deadline, and what a gate raises."""
        passages: list[Passage] = []
        try:
            for gate in self._gates:
                passages.append(gate.enter(request, deadline=deadline))
        except BaseException as error:
            for passage in passages:
                passage.leave(AttemptEnd("trouble"))
            if not isinstance(error, TimeoutError):
                raise
            waited = Attempt(now(), 0.0, "deadline", message=f"waited for its turn: {error}")
            raise _failure(request, [*attempts, waited], seconds) from error
        return passages

    def _attempt(self, request: Request, passages: Sequence[Passage], deadline: float) -> Answer:
        """One HTTP request and its whole reply, told to the gates. Raises AttemptError."""
        # What is interrupted from outside may have been billed.
        end = AttemptEnd("trouble", billed=True)
        try:
            answer = self.ask(request, Call(passages, self._policy, deadline, self._clock))
            end = AttemptEnd("answered", True, None, answer.answered_by, answer.usage)
            return answer
        except AttemptError as error:
            outcome: Literal["refused", "trouble"] = "refused" if error.refused else "trouble"
            pause = told_pause(error.headers)
            end = AttemptEnd(outcome, error.billed, pause, final=error.configuration)
            raise
        finally:
            for passage in reversed(passages):
                passage.leave(end)


def told_pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that the provider asks to wait, where it says so in numbers."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        # Some say 0 again and again: they do not know.
        if 0 < seconds < float("inf"):
            return seconds
    return None


def request_id(headers: Mapping[str, str]) -> str | None:
    """What the vendor calls the request, where it says so."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def redacted(text: str, secret: str) -> str:
    """`text` without `secret`: a vendor may repeat the key that it was sent."""
    return text.replace(secret, "[redacted]") if secret else text


def now() -> str:
    """The moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _failure(request: Request, attempts: list[Attempt], deadline_seconds: float) -> ProviderError:
    count = "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"
    return ProviderError(
        f"{request.model} gave no reply in {count} within {deadline_seconds:g} s: "
        f"{_words(attempts[-1])}",
        detail="\n".join(f"{attempt.started} {_words(attempt)}" for attempt in attempts),
        attempts=tuple(attempts),
    )


def _words(attempt: Attempt) -> str:
    status = "" if attempt.status is None else f", HTTP {attempt.status}"
    request_id = "" if attempt.request_id is None else f", request {attempt.request_id}"
    return f"{attempt.message} ({attempt.outcome}{status}{request_id})"
