"""Claude through the Anthropic SDK: streamed requests, with retries of our own.

The SDK does authentication, HTTP and the decoding of server-sent events. What it does not do, and
what therefore stands here (each measured with SDK 2.11):

* its own retries are off: attempts have to be recorded, and Retry-After has to have a cap;
* raw events are read instead of its message helper, because the helper swallows pings (a stream
  that only pings would outlive any deadline) and warns of deprecated models, which a filter
  can't silence safely with threads about;
* an overload told in the middle of a stream has HTTP status 200, and a dropped connection raises
  httpx2's own exception: trouble is classified by error code, type, status and exception class.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pytest_convex_eval.generation.anthropic.errors import (
    AttemptError,
    as_attempt_error,
    told_error,
    told_pause,
)
from pytest_convex_eval.generation.anthropic.messages_api import Reply, body
from pytest_convex_eval.generation.provider import (
    Attempt,
    AttemptEnd,
    Gate,
    Generation,
    Passage,
    ProviderError,
    Request,
)
from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    # Importing the SDK takes 1.5 s, which only a run that asks a model should pay.
    import anthropic
    import httpx2

_MESSAGE_CHARACTERS = 2000


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


class AnthropicProvider:
    """The provider for every Anthropic model; may be used by several threads at once.

    Where `base_url` is None the SDK's own rules hold (ANTHROPIC_BASE_URL). Every attempt passes
    the `gates` in their order. `sleep` is given the seconds of every pause between two attempts
    (default: the last gate's); what it raises ends the generation. `clock` is what the deadline is
    told by.
    """

    recordable = True

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        policy: RetryPolicy | None = None,
        gates: Sequence[Gate] = (),
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._policy = policy or RetryPolicy()
        self._gates = tuple(gates)
        self._sleep = sleep or (self._gates[-1].sleep if self._gates else time.sleep)
        self._clock = clock
        self._lock = threading.Lock()
        self._client: anthropic.Anthropic | None = None

    def __enter__(self) -> AnthropicProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the provider opens new ones when it is used again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def generate(self, request: Request, *, deadline_seconds: float) -> Generation:
        """See `Provider.generate`. A network that falls silent can exceed the deadline by the
        policy's `read` seconds, no more."""
        # Importing the SDK on a busy machine takes seconds, which are not the provider's.
        self._sdk()
        deadline = self._clock() + deadline_seconds
        attempts: list[Attempt] = []
        counted, refused_since = 0, None
        while True:
            passages = self._enter(request, attempts, deadline, deadline_seconds)
            started, began = now(), self._clock()
            try:
                reply, response = self._attempt(request, passages, deadline)
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
            request_id = response.headers.get("request-id")
            attempts.append(
                Attempt(started, seconds, "ok", response.status_code, request_id=request_id)
            )
            return Generation(
                request=request,
                text=reply.text,
                stop_reason=reply.stop_reason or "",
                stop_details=reply.stop_details,
                usage=reply.usage,
                answered_by=reply.model,
                started=started,
                finished=now(),
                seconds=seconds,
                attempts=tuple(attempts),
                request_id=request_id,
                sdk_version=sdk_version(),
            )

    def _pause(self, number: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(retry_after, self._policy.longest_retry_after)
        longest = min(self._policy.first_pause * 2.0**number, self._policy.longest_pause)
        return longest * random.uniform(0.5, 1.0)

    def _record(self, error: AttemptError, started: str, seconds: float) -> Attempt:
        # Attempts are shown, and kept in the store: no key may stand in them.
        words = str(error).replace(self._api_key, "[redacted]") if self._api_key else str(error)
        return Attempt(
            started=started,
            seconds=round(seconds, 3),
            outcome=error.outcome,
            status=error.status,
            message=words[:_MESSAGE_CHARACTERS],
            request_id=error.headers.get("request-id"),
        )

    def _sdk(self) -> anthropic.Anthropic:
        import anthropic

        with self._lock:
            if self._client is None:
                self._client = anthropic.Anthropic(
                    api_key=self._api_key, base_url=self._base_url, max_retries=0
                )
            return self._client

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

    def _attempt(
        self, request: Request, passages: Sequence[Passage], deadline: float
    ) -> tuple[Reply, httpx2.Response]:
        """One HTTP request and its whole reply, told to the gates. Raises AttemptError."""
        reply = Reply()
        # What is interrupted from outside may have been billed.
        end = AttemptEnd("trouble", billed=True)
        try:
            response = self._ask(request, reply, passages, deadline)
            end = AttemptEnd("answered", True, None, reply.model, reply.usage)
            return reply, response
        except AttemptError as error:
            outcome: Literal["refused", "trouble"] = "refused" if error.refused else "trouble"
            pause = told_pause(error.headers)
            end = AttemptEnd(outcome, error.billed, pause, final=error.configuration)
            raise
        finally:
            for passage in reversed(passages):
                passage.leave(end)

    def _ask(
        self, request: Request, reply: Reply, passages: Sequence[Passage], deadline: float
    ) -> httpx2.Response:
        """Streams one HTTP request's answer into `reply`. Raises AttemptError."""
        import anthropic
        import httpx2
        from anthropic.types import Message, RawMessageStreamEvent

        remaining = max(deadline - self._clock(), 0.001)
        timeout = httpx2.Timeout(
            min(self._policy.read, remaining), connect=min(self._policy.connect, remaining)
        )
        response: httpx2.Response | None = None
        try:
            with self._sdk().post(
                "/v1/messages",
                cast_to=Message,
                body=body(request),
                options={"timeout": timeout},
                stream=True,
                stream_cls=anthropic.Stream[RawMessageStreamEvent],
            ) as stream:
                response = stream.response
                for event in stream.raw_events(response):
                    if self._clock() >= deadline:
                        raise AttemptError("deadline", "the reply took too long", response)
                    if event.event == "error":
                        raise told_error(event.data, response)
                    if event.data:
                        begun = reply.begun
                        reply.add(json.loads(event.data))
                        if reply.begun and not begun:
                            for passage in passages:
                                passage.answering()
        except Exception as error:
            known = as_attempt_error(error, response)
            if known is None:
                raise
            raise known from error
        if reply.stop_reason is None:
            raise AttemptError("truncated", "the stream ended before the reply did", response)
        if reply.empty:
            raise AttemptError("empty", "the reply has no output tokens", response)
        return response


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


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sdk_version() -> str:
    import anthropic

    return f"anthropic {anthropic.__version__}"
