"""Claude through the Anthropic SDK: streamed requests.

The SDK does authentication, HTTP and the decoding of server-sent events. What it does not do, and
what therefore stands here (each measured with SDK 2.11):

* raw events are read instead of its message helper, because the helper swallows pings (a stream
  that only pings would outlive any deadline) and warns of deprecated models, which a filter
  can't silence safely with threads about;
* an overload told in the middle of a stream has HTTP status 200, and a dropped connection raises
  httpx2's own exception: trouble is classified by error code, type, status and exception class.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.anthropic.errors import as_attempt_error, told_error
from pytest_convex_eval.generation.anthropic.messages_api import Reply, body
from pytest_convex_eval.generation.provider import Gate, Request
from pytest_convex_eval.generation.retries import (
    Answer,
    AttemptError,
    Call,
    RetryingProvider,
    RetryPolicy,
    request_id,
)

if TYPE_CHECKING:
    # Importing the SDK takes 1.5 s, which only a run that asks a model should pay.
    import anthropic
    import httpx2


class AnthropicProvider(RetryingProvider):
    """The provider for every Anthropic model; may be used by several threads at once.

    Where `base_url` is None the SDK's own rules hold (ANTHROPIC_BASE_URL). The rest is as in
    `RetryingProvider`.
    """

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
        super().__init__(secret=api_key, policy=policy, gates=gates, sleep=sleep, clock=clock)
        self._api_key = api_key
        self._base_url = base_url
        self._lock = threading.Lock()
        self._client: anthropic.Anthropic | None = None

    def prepare(self) -> None:
        """See `RetryingProvider.prepare`."""
        self._sdk()

    def close(self) -> None:
        """See `RetryingProvider.close`."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def sdk_version(self) -> str:
        """See `RetryingProvider.sdk_version`."""
        return sdk_version()

    def ask(self, request: Request, call: Call) -> Answer:
        """See `RetryingProvider.ask`."""
        import anthropic
        import httpx2
        from anthropic.types import Message, RawMessageStreamEvent

        reply = Reply()
        timeout = httpx2.Timeout(call.read_seconds, connect=call.connect_seconds)
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
                    call.check(response)
                    if event.event == "error":
                        raise told_error(event.data, response)
                    if event.data:
                        reply.add(json.loads(event.data))
                        if reply.begun:
                            call.answering()
        except Exception as error:
            known = as_attempt_error(error, response)
            if known is None:
                raise
            raise known from error
        if reply.stop is None:
            raise AttemptError("truncated", "the stream ended before the reply did", response)
        if reply.empty:
            raise AttemptError("empty", "the reply has no output tokens", response)
        return Answer(
            reply.text,
            reply.stop,
            reply.usage,
            reply.model,
            request_id(response.headers),
            response.status_code,
        )

    def _sdk(self) -> anthropic.Anthropic:
        import anthropic

        with self._lock:
            if self._client is None:
                self._client = anthropic.Anthropic(
                    api_key=self._api_key, base_url=self._base_url, max_retries=0
                )
            return self._client


def sdk_version() -> str:
    """Name and version of the SDK."""
    import anthropic

    return f"anthropic {anthropic.__version__}"
