"""A generation store as folders of answers, one a model: what `--convex-answers` judges."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.generation.inventory import Entry
from pytest_convex_eval.generation.reading.reply import judge_stop, parse_reply
from pytest_convex_eval.generation.store import StoredGeneration
from pytest_convex_eval.outcomes import ConfigurationError, Files, InfrastructureError
from pytest_convex_eval.text import lone_surrogate
from pytest_convex_eval.workspace.paths import admit

_LABEL = re.compile(r"(?P<case>.+)\[[^\[\]]*\]")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Exported:
    """How many answers were written; `left_out` says why others were not, one line each."""

    written: int
    left_out: tuple[str, ...]


def export_files(entries: Iterable[Entry], target: Path) -> Exported:
    """Writes the answers of a store below the folder `target`, which is new or empty:
    `<model>/<case>/`, with `trial-<n>` below it where there are several; what is read as no files
    stays the reply that it was, in `<case>.md`. A model that was asked under several system texts
    has a folder for each. Of several generations for one place, the last turn of the newest counts.

    Raises ConfigurationError where something is there already, and OSError.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{target} is there already, and not empty")
    chosen, left_out = _chosen(entries)
    trials: dict[tuple[str, str], set[int]] = defaultdict(set)
    for model, case, trial in chosen:
        trials[model, case].add(trial)
    written = 0
    for (model, case, trial), stored in sorted(chosen.items()):
        place = target / model / case
        if trials[model, case] != {1}:
            place = place / f"trial-{trial}"
        problem = _write(stored, place)
        written += problem is None
        left_out += [f"{stored.label}, trial {trial}: {problem}"] if problem else []
    return Exported(written, tuple(left_out))


_Place = tuple[str, str, int]


def _chosen(entries: Iterable[Entry]) -> tuple[dict[_Place, StoredGeneration], list[str]]:
    left_out: list[str] = []
    found: list[tuple[str, StoredGeneration]] = []
    for entry in entries:
        if entry.stored is None:
            left_out.append(f"{entry.path}: {entry.problem}")
            continue
        label = _LABEL.fullmatch(entry.stored.label)
        if label is None or not _SAFE.fullmatch(label["case"]):
            left_out.append(f"{entry.path}: {entry.stored.label!r} names no case")
            continue
        found.append((label["case"], entry.stored))
    folders = _folders([stored for _, stored in found])
    chosen: dict[_Place, StoredGeneration] = {}
    for case, stored in found:
        place = (folders[_asked(stored)], case, stored.trial)
        if place not in chosen or _age(chosen[place]) < _age(stored):
            chosen[place] = stored
    return chosen, left_out


def _asked(stored: StoredGeneration) -> tuple[str, str]:
    return stored.generation.request.model, stored.generation.request.system


def _age(stored: StoredGeneration) -> tuple[str, int]:
    """A later turn ends later than what it follows."""
    return stored.generation.finished, len(stored.generation.request.history)


def _folders(stored: Iterable[StoredGeneration]) -> Mapping[tuple[str, str], str]:
    """A name for each model and system text, in the order in which they come."""
    names: dict[tuple[str, str], str] = {}
    for one in stored:
        asked = _asked(one)
        if asked in names:
            continue
        model = "".join(c if c.isalnum() or c in "._-" else "_" for c in asked[0]).lstrip(".")
        name, number = model or "model", 1
        while name in names.values():
            number += 1
            name = f"{model}-{number}"
        names[asked] = name
    return names


def _write(stored: StoredGeneration, place: Path) -> str | None:
    """Writes one answer; why there is none, where it can't be."""
    generation = stored.generation
    try:
        stop = generation.stop
        stopped = judge_stop(stop.reason, told=stop.told, category=stop.category)
    except InfrastructureError as error:
        return str(error)
    if stopped is not None:
        return stopped.message
    parsed = parse_reply(generation.text)
    admission = admit(parsed.files)
    errors = [one for one in (*parsed.findings, *admission.findings) if one.severity == "error"]
    if parsed.files and not errors:
        _write_files(parsed.files, place)
    elif lone_surrogate(generation.text) is not None:
        return "the reply holds half of a surrogate pair, which no file can"
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_name(f"{place.name}.md").write_bytes(generation.text.encode())
    return None


def _write_files(files: Files, place: Path) -> None:
    for path, text in files.items():
        file = place.joinpath(*path.split("/"))
        file.parent.mkdir(parents=True, exist_ok=True)
        # Exclusive: never through a link, never over a file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(file, flags, 0o644), "wb") as stream:
            stream.write(text.encode())


def export_lines(exported: Exported, target: Path) -> Iterator[str]:
    """What was done, for a person."""
    yield f"{exported.written} answers written to {target}"
    yield from (f"left out: {line}" for line in exported.left_out)
