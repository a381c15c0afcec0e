"""Chat Completions through the OpenAI SDK: streamed requests.

The SDK does authentication, HTTP and the form of errors. The stream is read here, line by line:

* the SDK passes over the comments that keep a connection alive, so that a stream of nothing else
  would outlive any deadline;
* an error in a stream, of status 200, has the classes of none;
* chunks of endpoints that are merely compatible do not fit the SDK's types.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.openai.chat_api import Dialect, Reply, answered_by, body
from pytest_convex_eval.generation.openai.errors import as_attempt_error, told_error
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
    # Importing the SDK takes a second, which only a run that asks a model should pay.
    import httpx2
    import openai

_DATA = "data:"
_DONE = "[DONE]"
_NO_KEY = "none"
"""What endpoints without keys get: the SDK wants one."""


class ChatProvider(RetryingProvider):
    """The provider for the models of one endpoint; may be used by several threads at once.

    Where `base_url` is None the SDK's own rules hold (OPENAI_BASE_URL, OPENAI_ORG_ID,
    OPENAI_PROJECT_ID); any other endpoint is told neither organization nor project. `prefix` is put
    before the names that the endpoint gives models. The rest is as in `RetryingProvider`.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        dialect: Dialect | None = None,
        prefix: str = "",
        policy: RetryPolicy | None = None,
        gates: Sequence[Gate] = (),
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(secret=api_key, policy=policy, gates=gates, sleep=sleep, clock=clock)
        self._api_key = api_key
        self._base_url = base_url
        self._dialect = dialect or Dialect()
        self._prefix = prefix
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None

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
        import openai

        return f"openai {openai.__version__}"

    def ask(self, request: Request, call: Call) -> Answer:
        """See `RetryingProvider.ask`."""
        import httpx2
        from openai import Stream
        from openai.types.chat import ChatCompletionChunk

        reply = Reply()
        timeout = httpx2.Timeout(call.read_seconds, connect=call.connect_seconds)
        response: httpx2.Response | None = None
        try:
            with self._sdk().post(
                "/chat/completions",
                cast_to=ChatCompletionChunk,
                body=body(request, self._dialect),
                options={"timeout": timeout},
                stream=True,
                stream_cls=Stream[ChatCompletionChunk],
            ) as stream:
                response = stream.response
                self._read(response, reply, call)
        except Exception as error:
            known = as_attempt_error(error, response)
            if known is None:
                raise
            raise known from error
        if reply.stop is None:
            raise AttemptError("truncated", "the stream ended before the reply did", response)
        if reply.finish_reason == "error":
            raise AttemptError("error", "the reply ended in an error", response)
        if reply.empty:
            raise AttemptError("empty", "the reply has no output", response)
        return Answer(
            reply.text,
            reply.stop,
            reply.usage,
            answered_by(reply.model, request, self._prefix),
            request_id(response.headers),
            response.status_code,
        )

    def _read(self, response: httpx2.Response, reply: Reply, call: Call) -> None:
        """Each event of this API is one line of data. Raises AttemptError for one of an error."""
        for line in response.iter_lines():
            call.check(response)
            data = line.removeprefix(_DATA).strip()
            if data == line.strip() or not data:
                continue
            if data.startswith(_DONE):
                return
            chunk: Json = json.loads(data)
            if isinstance(chunk, dict) and chunk.get("error"):
                raise told_error(chunk, response)
            reply.add(chunk)
            if reply.begun:
                call.answering()

    def _sdk(self) -> openai.OpenAI:
        import openai

        with self._lock:
            if self._client is None:
                client = openai.OpenAI(
                    api_key=self._api_key or _NO_KEY, base_url=self._base_url, max_retries=0
                )
                if self._base_url is not None:
                    client.organization = client.project = None
                self._client = client
            return self._client
