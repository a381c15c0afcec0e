"""What goes into a batch, and what comes out of it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_convex_eval.generation.ahead.prefetch import Job
from pytest_convex_eval.generation.anthropic.errors import CONFIGURATION_TYPES
from pytest_convex_eval.generation.anthropic.messages_api import Reply, batch_params
from pytest_convex_eval.generation.anthropic.provider import sdk_version
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.provider import Attempt, Generation, Request
from pytest_convex_eval.generation.retries import AttemptError

if TYPE_CHECKING:
    from anthropic.types.messages import MessageBatch

MOST_ENTRIES = 10_000
"""In one batch: far below the 100 000 that the API takes, so that progress can be seen."""

MOST_BYTES = 128 * 1024 * 1024
"""Half of what the API takes."""


def entry_generation(request: Request, result: Json, batch: MessageBatch) -> Generation:
    """The generation in an entry of a batch's results.

    Raises AttemptError for an entry that is no whole reply.
    """
    match result:
        case {"type": "succeeded", "message": message}:
            reply = Reply()
            reply.take(message)
        case {"type": "errored", "error": {"error": {"type": str(kind), **rest}}}:
            raise AttemptError(
                kind, str(rest.get("message", "")), None, configuration=kind in CONFIGURATION_TYPES
            )
        case {"type": "expired" | "canceled" as kind}:
            raise AttemptError(kind, f"the batch {batch.id} ended before its turn", None)
        case _:
            raise AttemptError("protocol", f"a result that is unknown here: {result!r:.200}", None)
    if reply.stop is None:
        raise AttemptError("truncated", "the message has no stop reason", None)
    if reply.empty:
        raise AttemptError("empty", "the reply has no output tokens", None)
    ended = batch.ended_at or datetime.datetime.now(datetime.UTC)
    started = batch.created_at.isoformat(timespec="milliseconds")
    seconds = round((ended - batch.created_at).total_seconds(), 3)
    return Generation(
        request=request,
        text=reply.text,
        stop=reply.stop,
        usage=reply.usage,
        answered_by=reply.model,
        started=started,
        finished=ended.isoformat(timespec="milliseconds"),
        seconds=seconds,
        attempts=(Attempt(started, seconds, "ok", 200),),
        request_id=batch.id,
        sdk_version=sdk_version(),
    )


def chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """`jobs` in their order, as many at a time as one batch takes."""
    chunk: list[Job] = []
    size = 0
    for job in jobs:
        length = len(json.dumps(batch_params(job.request)))
        if chunk and (len(chunk) == MOST_ENTRIES or size + length > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(job)
        size += length
    if chunk:
        yield chunk
