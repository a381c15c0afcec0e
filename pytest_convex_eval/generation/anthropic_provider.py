"""Claude through the Anthropic SDK: one streamed request at a time, with retries of our own.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.messages_api import Reply, body
from pytest_convex_eval.generation.provider import Attempt, Generation, ProviderError, Request
from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    # Importing the SDK takes 1.5 s, which only a run that asks a model should pay.
    import anthropic
    import httpx2

_CONFIGURATION_STATUS = frozenset({400, 401, 402, 403, 404})
_CONFIGURATION_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
    }
)
# Spend limits arrive as 429 or 402 and do not pass by waiting.
_SPEND_LIMIT_CODES = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    }
)
_RETRIED_STATUS = frozenset({408, 409, 429})
_MESSAGE_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is made again; times in seconds.

    The n-th pause is drawn evenly from the upper half of `first_pause * 2**n`, at most
    `longest_pause`. A Retry-After of the provider takes its place, at most `longest_retry_after`.
    `read` is the longest silence of the network within a reply, pings included.
    """

    attempts: int = 6
    first_pause: float = 1.0
    longest_pause: float = 30.0
    longest_retry_after: float = 60.0
    connect: float = 10.0
    read: float = 120.0


class AnthropicProvider:
    """The provider for every Anthropic model; may be used by several threads at once.

    Where `base_url` is None the SDK's own rules hold (ANTHROPIC_BASE_URL). `sleep` is given the
    seconds of every pause between two attempts; what it raises ends the generation.
    """

    recordable = True

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
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
        deadline = time.monotonic() + deadline_seconds
        attempts: list[Attempt] = []
        while True:
            started, began = _now(), time.monotonic()
            try:
                reply, response = self._ask(request, deadline)
            except _AttemptError as error:
                attempts.append(self._record(error, started, time.monotonic() - began))
                if error.configuration:
                    raise ConfigurationError(
                        f"{request.model} can't be asked: {_words(attempts[-1])}"
                    ) from error
                pause = self._pause(len(attempts) - 1, _retry_after(error.headers))
                last = len(attempts) >= self._policy.attempts
                if last or not error.again or time.monotonic() + pause >= deadline:
                    raise _failure(request, attempts, deadline_seconds) from error
                attempts[-1] = replace(attempts[-1], waited_seconds=round(pause, 3))
                self._sleep(pause)
                continue
            seconds = round(time.monotonic() - began, 3)
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
                finished=_now(),
                seconds=seconds,
                attempts=tuple(attempts),
                request_id=request_id,
                sdk_version=_sdk_version(),
            )

    def _pause(self, number: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(retry_after, self._policy.longest_retry_after)
        longest = min(self._policy.first_pause * 2.0**number, self._policy.longest_pause)
        return longest * random.uniform(0.5, 1.0)

    def _record(self, error: _AttemptError, started: str, seconds: float) -> Attempt:
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

    def _ask(self, request: Request, deadline: float) -> tuple[Reply, httpx2.Response]:
        """One HTTP request and its whole reply. Raises _AttemptError."""
        import anthropic
        import httpx2
        from anthropic.types import Message, RawMessageStreamEvent

        remaining = max(deadline - time.monotonic(), 0.001)
        timeout = httpx2.Timeout(
            min(self._policy.read, remaining), connect=min(self._policy.connect, remaining)
        )
        reply = Reply()
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
                    if time.monotonic() >= deadline:
                        raise _AttemptError("deadline", "the reply took too long", response)
                    if event.event == "error":
                        raise _told(event.data, response)
                    if event.data:
                        reply.add(json.loads(event.data))
        except anthropic.APIStatusError as error:
            raise _told(error.body, error.response) from error
        except (anthropic.APITimeoutError, httpx2.TimeoutException) as error:
            # httpx2's own, when the reply had begun.
            raise _AttemptError("timeout", _name(error), response) from error
        except (anthropic.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
            words = _name(error.__cause__ or error)
            raise _AttemptError("connection", words, response) from error
        except anthropic.AnthropicError as error:
            raise _AttemptError("sdk", _name(error), response, again=False) from error
        except ValueError as error:
            raise _AttemptError("protocol", _name(error), response) from error
        if reply.stop_reason is None:
            raise _AttemptError("truncated", "the stream ended before the reply did", response)
        if reply.empty:
            raise _AttemptError("empty", "the reply has no output tokens", response)
        return reply, response


class _AttemptError(Exception):
    """An attempt that brought no reply, and what is to follow from it."""

    def __init__(
        self,
        outcome: str,
        message: str,
        response: httpx2.Response | None,
        *,
        again: bool = True,
        configuration: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.status = None if response is None else response.status_code
        self.headers: Mapping[str, str] = {} if response is None else response.headers
        self.again = again
        self.configuration = configuration


def _told(told: object, response: httpx2.Response) -> _AttemptError:
    """What the provider itself says is wrong: `told` is the body of its error."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            told = {"error": {"message": told}}
    kind, code, words = None, None, str(told)
    match told:
        case {"error": {**error}}:
            kind, words = error.get("type"), str(error.get("message", told))
            match error:
                case {"details": {"error_code": str(found)}}:
                    code = found
    status = response.status_code
    if code in _SPEND_LIMIT_CODES:
        return _AttemptError(str(code), words, response, configuration=True)
    if 200 <= status < 300:
        # Told in the middle of a stream, where the type is all there is to go by.
        again, configuration = True, kind in _CONFIGURATION_TYPES
    else:
        again = status in _RETRIED_STATUS or status >= 500
        configuration = status in _CONFIGURATION_STATUS
    outcome = kind if isinstance(kind, str) else f"http_{status}"
    return _AttemptError(outcome, words, response, again=again, configuration=configuration)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the provider asks to wait, where it says so in numbers."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


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


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _sdk_version() -> str:
    import anthropic

    return f"anthropic {anthropic.__version__}"
