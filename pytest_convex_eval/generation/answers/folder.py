"""Finding the answer to a case in a folder of answers, and giving it as a model's reply.

Where an answer can lie, for a case `name` of a category and difficulty, docs/answers.md says too:

    DIR/[<category>/<difficulty>/]<name>/             files, of trial 1
    DIR/[<category>/<difficulty>/]<name>/trial-2/     files, of trial 2
    DIR/[<category>/<difficulty>/]<name>.md           a reply, of trial 1 (or .txt)
    DIR/[<category>/<difficulty>/]<name>/trial-2.md   a reply, of trial 2 (or .txt)
    DIR/*.jsonl                                       lines for any case and trial
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pytest_convex_eval.generation.answers.lines import Index, index_of
from pytest_convex_eval.generation.answers.lines import Place as LinePlace
from pytest_convex_eval.generation.answers.source import AnswersSource
from pytest_convex_eval.generation.answers.tree import read_bytes, read_tree
from pytest_convex_eval.generation.provider import Generation, Request
from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import Files, InfrastructureError

REPLY_SUFFIXES = (".md", ".txt")
_TRIAL = re.compile(r"trial-[1-9][0-9]*(?:\.(?:md|txt))?")


@dataclass(frozen=True, slots=True)
class CaseName:
    """A case as folders name it."""

    category: str
    difficulty: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.category}/{self.difficulty}/{self.name}"


class AnswersFolder:
    """The answers in one folder; a `Provider` for each case and trial."""

    def __init__(self, source: AnswersSource) -> None:
        self.source = source

    def check(self) -> None:
        """Raises ConfigurationError for lines that are no answers, before a run begins."""
        assert self._indices is not None

    def provider(self, case: CaseName, trial: int) -> AnswerProvider:
        """What gives the answer to `case`.

        Raises InfrastructureError where there is none, where there are several, and where it can't
        be read; ConfigurationError for lines that can't be.
        """
        places: list[Path | LinePlace] = [*self._on_disk(case, trial)]
        places += self._in_lines(case, trial)
        if not places:
            raise InfrastructureError(
                f"{self.source.name} has no answer to {case.path}, trial {trial}: there is none in "
                f"{self.source.folder}"
            )
        if len(places) > 1:
            raise InfrastructureError(
                f"{self.source.name} has several answers to {case.path}, trial {trial}: "
                f"{', '.join(map(str, places))}"
            )
        (place,) = places
        return AnswerProvider(_reply(place))

    def _on_disk(self, case: CaseName, trial: int) -> Iterator[Path]:
        folder = self.source.folder
        whole = folder / case.path
        bases = [whole]
        # A category can be called like a case of its own.
        if case.name != case.category or not (folder / case.category / case.difficulty).is_dir():
            bases.append(folder / case.name)
        for base in bases:
            for above in (base, *base.parents):
                if above == folder:
                    break
                if above.is_symlink():
                    raise InfrastructureError(f"{above} is a link, and no folder of answers")
            numbered = base / f"trial-{trial}"
            yield from _there(numbered)
            if trial == 1:
                yield from _there(base)

    def _in_lines(self, case: CaseName, trial: int) -> list[LinePlace]:
        return [
            place
            for index in self._indices
            for name in (case.path, case.name)
            for place in index.get((name, trial), ())
        ]

    @functools.cached_property
    def _indices(self) -> Sequence[Index]:
        return [index_of(file) for file in sorted(self.source.folder.glob("*.jsonl"))]


class AnswerProvider:
    """Gives one reply to whatever is asked. Nothing is asked and nothing stored."""

    recordable = False

    def __init__(self, text: str) -> None:
        self._text = text

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


def reply_of_files(files: Files) -> str:
    """A reply that is read as `files`, in the form that can hold any text.

    Raises ValueError where it would be read as others.
    """
    text = json.dumps({"files": dict(files)}, ensure_ascii=False)
    if dict(parse_reply(text).files) != dict(files):
        raise ValueError("these files can't be written as a reply")
    return text


def _there(base: Path) -> Iterator[Path]:
    """The folder `base` where it is an answer's, and the replies beside it."""
    if base.is_symlink():
        raise InfrastructureError(f"{base} is a link, and no answer")
    if base.is_dir() and any(not _TRIAL.fullmatch(entry.name) for entry in base.iterdir()):
        yield base
    for suffix in REPLY_SUFFIXES:
        # A case's name may have a dot.
        reply = base.with_name(base.name + suffix)
        if reply.is_symlink() or reply.exists():
            yield reply


def _reply(place: Path | LinePlace) -> str:
    if isinstance(place, LinePlace):
        line = place.read()
        if line.reply is not None:
            return line.reply
        files = line.files or {}
    elif place.is_dir():
        files = read_tree(place)
        if not files:
            raise InfrastructureError(f"{place} holds no file that could be an answer")
    else:
        try:
            return read_bytes(place).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InfrastructureError(f"{place} is no UTF-8: {error}") from error
    try:
        return reply_of_files(files)
    except ValueError as error:
        raise InfrastructureError(f"{place}: {error}") from error
