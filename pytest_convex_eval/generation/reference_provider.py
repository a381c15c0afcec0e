"""The model `reference`: the case's own reference answer, as if a model had written it."""

from __future__ import annotations

from datetime import UTC, datetime

from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.reading.tags import render_files
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import CaseError, Files


class ReferenceProvider:
    """Answers every request with `files`, in the tags that models are asked for.

    So a reference goes through the same parser as every reply. Nothing is asked and nothing stored.
    Raises CaseError for files that can't be written in tags.
    """

    recordable = False

    def __init__(self, files: Files) -> None:
        try:
            self._text = render_files(files)
        except ValueError as error:
            raise CaseError(f"the reference answer {error}") from error

    def generate(self, request: Request, *, deadline_seconds: float) -> Generation:
        """See `Provider.generate`; takes no time."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return Generation(
            request=request,
            text=self._text,
            stop=Stop("stop"),
            started=now,
            finished=now,
            seconds=0.0,
        )
