"""Chat Completions as data: a request's body, and a reply put together from a stream's chunks."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.openai.words import stop_of, usage_of
from pytest_convex_eval.generation.provider import Request
from pytest_convex_eval.generation.usage import Stop, Usage
from pytest_convex_eval.text import paired

RESERVED = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "n"),
        *("max_tokens", "max_completion_tokens", "reasoning_effort"),
        *("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"),
        *("response_format", "modalities", "audio", "prediction", "store", "logprobs"),
    }
)
"""What no setting may change: what is asked, how it comes, and what has an option of its own."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an endpoint differs from others.

    `limit` is its name for the limit on output. `reasoning` says that the effort is a part of
    `reasoning`, and not a field; `tells_cost` that a reply's cost has to be asked for.
    """

    limit: str = "max_tokens"
    reasoning: bool = False
    tells_cost: bool = False


def body(request: Request, dialect: Dialect) -> dict[str, Json]:
    """The body of a streamed request. What stays the same over cases comes first: prompt caches go
    by prefixes."""
    messages: list[Json] = [{"role": "system", "content": request.system}] if request.system else []
    messages += [{"role": turn.role, "content": turn.text} for turn in request.history]
    messages.append({"role": "user", "content": request.user})
    data: dict[str, Json] = {
        "model": request.model_id or request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        dialect.limit: request.max_tokens,
    }
    if dialect.tells_cost:
        data["usage"] = {"include": True}
    if request.effort is not None and dialect.reasoning:
        data["reasoning"] = {"effort": request.effort}
    elif request.effort is not None:
        data["reasoning_effort"] = request.effort
    return {**data, **request.settings}


def answered_by(told: str | None, request: Request, prefix: str) -> str | None:
    """The model that an endpoint says answered, as prices name it: the one that was asked by the
    name that it has here, any other by the endpoint's own behind its vendor's `prefix`."""
    if told is None:
        return None
    return request.model if told == request.model_id else prefix + told


class Reply:
    """A completion in the making. It is whole when it has a `stop`.

    Chunks are read as they come: the SDK's classes drop what they do not know, and endpoints that
    are merely compatible leave out what the classes promise.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._reason: str | None = None
        self._usage: dict[str, Json] = {}
        self._tier: Json = None
        self._begun = False

    def add(self, chunk: Json) -> None:
        """Takes one chunk; what is unknown here is passed over."""
        if not isinstance(chunk, dict):
            return
        model, usage, tier = chunk.get("model"), chunk.get("usage"), chunk.get("service_tier")
        self.model = model if isinstance(model, str) and model else self.model
        self._usage = usage if isinstance(usage, dict) else self._usage
        self._tier = self._tier if tier is None else tier
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            self._begun = True
            self._add_choice(choice)

    def _add_choice(self, choice: dict[str, Json]) -> None:
        delta, reason = choice.get("delta"), choice.get("finish_reason")
        if isinstance(delta, dict):
            for name, parts in (("content", self._texts), ("refusal", self._refusals)):
                part = delta.get(name)
                if isinstance(part, str):
                    parts.append(part)
        # Some send "" until there is one.
        self._reason = reason if isinstance(reason, str) and reason else self._reason

    @property
    def text(self) -> str:
        """The answer, without thinking; a refusal's words where there is no answer."""
        return paired("".join(self._texts) or "".join(self._refusals))

    @property
    def finish_reason(self) -> str | None:
        """The endpoint's own word for why it ended; None where it has not."""
        return self._reason

    @property
    def stop(self) -> Stop | None:
        """Why it ended; None where it has not."""
        if self._reason is None:
            return None
        return stop_of(self._reason, refused=any(self._refusals))

    @property
    def usage(self) -> Usage:
        """What it used, as far as that was told."""
        return usage_of(self._usage, self._tier)

    @property
    def begun(self) -> bool:
        """Whether the model has begun to answer: from here on the request is billed."""
        return self._begun

    @property
    def empty(self) -> bool:
        """Whether the model never answered: no output tokens, or none that anybody counted and no
        text either, and not because it refused."""
        stop = self.stop
        if stop is None or stop.reason == "refusal":
            return False
        counted = self._usage.get("completion_tokens")
        if counted is None:
            return not self.text and stop.reason == "stop"
        return counted == 0 and not self.text
