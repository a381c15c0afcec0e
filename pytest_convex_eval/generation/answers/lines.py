"""Answers as JSON lines: `{"case": ..., "trial": 1, "reply": ...}`, or `files` for `reply`.

A file can hold thousands of replies: what is kept of a line is where it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pytest_convex_eval.generation.answers.tree import MOST_BYTES
from pytest_convex_eval.outcomes import ConfigurationError
from pytest_convex_eval.text import well_formed_json

MOST_LINES = 200_000


class Line(BaseModel):
    """One line; keys beside these say nothing."""

    model_config = ConfigDict(frozen=True)

    case: str
    trial: int = Field(1, ge=1)
    reply: str | None = None
    files: Mapping[str, str] | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Line:
        if (self.reply is None) == (self.files is None):
            raise ValueError("exactly one of 'reply' and 'files' must be there")
        return self


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands; `number` counts from 1, `offset` in bytes."""

    file: Path
    number: int
    offset: int

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"

    def read(self) -> Line:
        """Raises ConfigurationError where the file has changed since."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self.offset)
                return _parsed(stream.readline(MOST_BYTES + 1), self)
        except OSError as error:
            raise ConfigurationError(f"{self}: {error.strerror}") from error


Index = Mapping[tuple[str, int], list[Place]]


def index_of(file: Path) -> Index:
    """The places in `file` by case and trial. Raises ConfigurationError for a line that is none."""
    found: dict[tuple[str, int], list[Place]] = defaultdict(list)
    for place, line in _lines(file):
        one = _parsed(line, place)
        found[one.case, one.trial].append(place)
    return found


def _lines(file: Path) -> Iterator[tuple[Place, bytes]]:
    if file.is_symlink() or not file.is_file():
        raise ConfigurationError(f"{file} is no regular file")
    offset = 0
    try:
        with file.open("rb") as stream:
            number = 0
            while line := stream.readline(MOST_BYTES + 1):
                number += 1
                place = Place(file, number, offset)
                if len(line) > MOST_BYTES or number > MOST_LINES:
                    raise ConfigurationError(
                        f"{place}: a line of more than {MOST_BYTES // 2**20} MiB, or one more than "
                        f"{MOST_LINES}"
                    )
                if line.strip():
                    yield place, line
                offset += len(line)
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error


def _parsed(line: bytes, place: Place) -> Line:
    try:
        return Line.model_validate_json(well_formed_json(line.decode("utf-8", "surrogatepass")))
    except (ValidationError, UnicodeDecodeError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigurationError(f"{place}: no answer: {said}") from error
