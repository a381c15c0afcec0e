"""The Messages API as data: a request's body, and a reply put together from a stream's events."""

from __future__ import annotations

from pytest_convex_eval.generation.anthropic.words import stop_of, usage_of
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.usage import Stop, Usage
from pytest_convex_eval.text import paired


def body(request: Request) -> dict[str, Json]:
    """The body of a streamed request. The system block, stable over cases, is what gets cached."""
    return {**_params(request, cached={"type": "ephemeral"}), "stream": True}


def batch_params(request: Request) -> dict[str, Json]:
    """What an entry of a batch asks. A batch takes longer than five minutes, and so its cache."""
    return _params(request, cached={"type": "ephemeral", "ttl": "1h"})


def _params(request: Request, *, cached: Json) -> dict[str, Json]:
    messages: list[Json] = [{"role": turn.role, "content": turn.text} for turn in request.history]
    messages.append({"role": "user", "content": request.user})
    data: dict[str, Json] = {
        "model": request.model_id or request.model,
        "max_tokens": request.max_tokens,
        "messages": messages,
    }
    if request.system:
        data["system"] = [{"type": "text", "text": request.system, "cache_control": cached}]
    if request.effort is not None:
        data["output_config"] = {"effort": request.effort}
    return {**data, **request.settings}


class Reply:
    """A message in the making. It is whole when it has a `stop`.

    The SDK's own accumulation is not used: it takes a stream that just ends for a message, and it
    turns the usage object into a class that drops what the class does not know.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self._stop_reason: str | None = None
        self._stop_details: dict[str, Json] | None = None
        self._usage: dict[str, Json] = {}
        self._texts: list[str] = []
        self._text_blocks: set[int] = set()

    def take(self, message: Json) -> None:
        """Takes a message that comes whole, as the results of a batch do."""
        if not isinstance(message, dict):
            return
        self.add({"type": "message_start", "message": message})
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else []):
            self.add({"type": "content_block_start", "index": index, "content_block": block})
        self.add({"type": "message_delta", "delta": message, "usage": None})

    def add(self, event: Json) -> None:
        """Takes one event; kinds unknown here are passed over, as the API asks its clients to."""
        match event:
            case {"type": "message_start", "message": {**message}}:
                model = message.get("model")
                self.model = model if isinstance(model, str) else None
                self._count(message.get("usage"))
            case {
                "type": "content_block_start",
                "index": int(index),
                "content_block": {"type": "text", "text": str(text)},
            }:
                self._text_blocks.add(index)
                self._texts.append(text)
            case {
                "type": "content_block_delta",
                "index": int(index),
                "delta": {"type": "text_delta", "text": str(text)},
            } if index in self._text_blocks:
                self._texts.append(text)
            case {"type": "message_delta", "delta": {**delta}, **rest}:
                reason, details = delta.get("stop_reason"), delta.get("stop_details")
                self._stop_reason = reason if isinstance(reason, str) else self._stop_reason
                self._stop_details = details if isinstance(details, dict) else self._stop_details
                self._count(rest.get("usage"))

    @property
    def text(self) -> str:
        """The text of the text blocks, as it came, without thinking."""
        return paired("".join(self._texts))

    @property
    def stop(self) -> Stop | None:
        """Why it ended; None where it has not."""
        reason = self._stop_reason
        return None if reason is None else stop_of(reason, self._stop_details)

    @property
    def usage(self) -> Usage:
        """What it used, as far as that was told."""
        return usage_of(self._usage)

    @property
    def begun(self) -> bool:
        """Whether the provider has begun to answer: from here on the request is billed."""
        return bool(self._usage)

    @property
    def empty(self) -> bool:
        """Whether the model never answered: no output tokens, and not because it refused."""
        return self._usage.get("output_tokens") == 0 and self._stop_reason != "refusal"

    def _count(self, usage: object) -> None:
        # The report at the end repeats some counts of the one at the start and nulls others.
        if isinstance(usage, dict):
            for name, value in usage.items():
                if value is not None or name not in self._usage:
                    self._usage[name] = value
