"""`--convex-answers [NAME=]DIR`: a folder of answers, by its name. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import REFERENCE, ConfigurationError

_TAKEN = (REFERENCE, "auto")


@dataclass(frozen=True, slots=True)
class AnswersSource:
    """A folder whose answers are those of the model `name`."""

    name: str
    folder: Path


def answers_sources(
    given: Iterable[str], here: Path, models: Sequence[str]
) -> tuple[AnswersSource, ...]:
    """What `[NAME=]DIR` stands for; a folder without a name is called like itself. `here` is what
    paths are relative to, `models` are names that are taken.

    Raises ConfigurationError for what is no folder, and for a name that can't be a model's.
    """
    found: dict[str, AnswersSource] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            name, path = "", text
        folder = here / Path(path).expanduser()
        if not path or not folder.is_dir():
            raise ConfigurationError(f"{text!r}: there is no folder {path!r}")
        name = name or folder.resolve().name
        if not name or any(one.isspace() or one in "[]/:" for one in name):
            raise ConfigurationError(
                f"{name!r} can't be the name of a model; give one, as in mine={path}"
            )
        if name in _TAKEN or name in models or name in found:
            raise ConfigurationError(f"the name {name!r} is taken; give one, as in mine={path}")
        found[name] = AnswersSource(name, folder)
    return tuple(found.values())
