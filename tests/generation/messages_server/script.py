"""What a test says: how a request is answered; and what it sees: the request as it came."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

KEY = "sk-ant-test-key"


@dataclass(frozen=True)
class Script:
    """How one request is answered.

    `status` other than 200 answers with an error of `error_type`. Of a stream, `ending` says how it
    goes on after half of the text: as it should, `drop` (connection reset), `cut` (ends in good
    order, but early), `stall` (silence), `pings` (nothing but pings), `error` (an event of
    `error_type`), `garbage` (an event that is no JSON), `noise` (bytes that are no HTTP);
    `hangup` closes the connection before anything is answered. `latency` are seconds before
    anything is answered, `pause` those before each piece of text; nothing is answered until `hold`
    is set. `raw` is a page sent in the place
    of the API's own answer, as something in between might. `batch` is how it ends as an entry of a
    batch (with `status`: errored). As a rule it is for requests that hold `contains`, and only for
    the first `times` of them.

    Of Chat Completions alone: `refusal` is a text in the place of an answer, `counts` whether usage
    is told at all, `error_metadata` what a router adds to an error.
    """

    text: str = "hello"
    thinking: str | None = None
    stop_reason: str = "end_turn"
    stop_details: dict[str, Any] | None = None
    output_tokens: int | None = None
    refusal: str | None = None
    counts: bool = True
    error_metadata: dict[str, Any] | None = None
    status: int = 200
    error_type: str = "api_error"
    error_code: str | int | None = None
    message: str = "scripted trouble"
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    ending: Literal[
        "whole", "drop", "cut", "stall", "pings", "error", "garbage", "noise", "hangup"
    ] = "whole"
    latency: float = 0.0
    hold: threading.Event | None = None
    pause: float = 0.0
    batch: Literal["succeeded", "expired", "canceled"] = "succeeded"
    contains: str | None = None
    times: int | None = None


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def user(self) -> str:
        """The last user message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)
