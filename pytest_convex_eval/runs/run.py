"""A stored run, to be read: what it was made of, its items, and what they came to.

    from pytest_convex_eval.runs import load_run

    run = load_run(".convex-eval/runs/20261130-101500-ab12")
    for item in run.items():
        print(item.result.case, item.result.verdict, item.result.generation.usd)

Nothing is read before it is asked for, and nothing is ever written. A run that was killed is
readable as far as it came.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_convex_eval.outcomes import CaseFingerprint, ConvexEvalError, ItemResult, Verdict
from pytest_convex_eval.runs.machine import Machine
from pytest_convex_eval.runs.record import FORMAT, ITEMS, MANIFEST

_RESULT_KEYS = frozenset(field.name for field in fields(ItemResult))


class RunError(ConvexEvalError):
    """A folder that is no run record, or one that this version can't read."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a run was made of.

    `arms` tells the text of each arm apart, with the instructions that stand before it; `toolchain`
    the programs that check code, and `checker` our own code that judges. What the cases were stands
    with each item. `parent` is the run whose replies this one judged again.
    """

    format: int
    started: datetime.datetime
    finished: datetime.datetime | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str | None]
    arms: Mapping[str, str]
    toolchain: str | None
    checker: str | None
    machine: Machine
    outcome: Mapping[str, Any]
    parent: str | None
    raw: Mapping[str, Any]
    """All of it, as it was written."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Raises KeyError, TypeError and ValueError for what is no manifest."""
        fingerprints = data.get("fingerprints", {})
        finished = data.get("finished")
        return cls(
            format=data["format"],
            started=datetime.datetime.fromisoformat(data["started"]),
            finished=None if finished is None else datetime.datetime.fromisoformat(finished),
            settings=_fixed(data.get("settings", {})),
            versions=_fixed(data.get("versions", {})),
            arms=_fixed(fingerprints.get("prompts", {})),
            toolchain=fingerprints.get("toolchain"),
            # Format 1 tells the whole package in one word.
            checker=fingerprints.get("checker", fingerprints.get("harness")),
            machine=Machine.from_json(data.get("machine", {})),
            outcome=_fixed(data.get("outcome", {})),
            parent=data.get("parent"),
            raw=_fixed(data),
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it ended: its node id, when, the worker that evaluated it, and its result."""

    nodeid: str
    ended: datetime.datetime
    worker: str
    result: ItemResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """What statistics need of an item, which is a hundredth of it. Seconds are those of the stages;
    `usd` is None where it is not known. `rounds` counts the repairs that it took.
    """

    case: str
    """`category/difficulty/name`."""
    category: str
    difficulty: str
    model: str
    arm: str
    trial: int
    verdict: Verdict
    stage: str | None
    code: str | None
    usd: float | None
    generation_seconds: float
    seconds: float
    rounds: int
    passed_stages: int
    """Of those that ran: what partial scores are made of."""
    ran_stages: int
    fingerprint: CaseFingerprint | None
    """None in records of format 1, which had none."""


@dataclass(frozen=True)
class Run:
    """A run below `folder`. `load_run` makes it."""

    folder: Path

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name

    @cached_property
    def manifest(self) -> Manifest:
        """What the run was made of. Raises RunError."""
        path = self.folder / MANIFEST
        try:
            data = json.loads(path.read_text("utf-8"))
            written = data["format"]
            if isinstance(written, int) and written > FORMAT:
                raise RunError(
                    f"{self.folder}: a record of format {written}, which a newer version wrote; "
                    f"this one reads up to {FORMAT}"
                )
            return Manifest.from_json(data)
        except OSError as error:
            raise RunError(f"{self.folder}: no run record ({error.strerror})") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"{path}: no manifest of a run ({error!r})") from error

    @property
    def whole(self) -> bool:
        """Whether it came to its end; one that did not was killed, or still runs."""
        return self.manifest.finished is not None

    def items(self) -> Iterator[Item]:
        """Its items in the order in which they ended, read one at a time.

        What is cut off or unreadable is passed over: `unreadable_lines` counts it.
        """
        for data in self.lines():
            known = {key: value for key, value in data.items() if key in _RESULT_KEYS}
            try:
                ended = datetime.datetime.fromisoformat(data["ended"])
                result = ItemResult.from_json(known)
                yield Item(data["nodeid"], ended, data.get("worker", "master"), result)
            except (KeyError, TypeError, ValueError, AttributeError):
                continue

    def lines(self) -> Iterator[dict[str, Any]]:
        """The items as they were written, without those that can't be read."""
        for line in self._raw_lines():
            data = _object(line)
            if data is not None:
                yield data

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One for each case, model, arm and trial: the last, where one was recorded twice (an item
        that was lost with its worker and then run again). Mutants are left out."""
        last: dict[tuple[str, str, str, int], Outcome] = {}
        shared = _Shared()
        for data in self.lines():
            if data.get("mutant") is not None:
                continue
            try:
                outcome = _outcome(data, shared)
            except (KeyError, TypeError, ValueError):
                continue
            last[outcome.case, outcome.model, outcome.arm, outcome.trial] = outcome
        return tuple(last.values())

    @property
    def unreadable_lines(self) -> int:
        """How many lines are no items: at most one, cut off, where the run was killed."""
        return sum(_object(line) is None for line in self._raw_lines())

    def _raw_lines(self) -> Iterator[bytes]:
        try:
            with (self.folder / ITEMS).open("rb") as file:
                yield from file
        except FileNotFoundError:
            return


def load_run(path: str | Path) -> Run:
    """The run in the folder `path`. Raises RunError where there is none, or where it was written by
    a newer version than this one can read."""
    run = Run(Path(path))
    _ = run.manifest
    return run


def find_run(named: str, runs: Path) -> Run:
    """The run that a person names: its folder, its id in the folder `runs`, the beginning of one
    that no other begins with, `latest`, or `latest~N` for one N runs before it. Raises RunError.
    """
    if Path(named, MANIFEST).exists():
        return load_run(named)
    ids = sorted(path.parent.name for path in runs.glob(f"*/{MANIFEST}"))
    word, _, back = named.partition("~")
    if word == "latest" and (not back or back.isdecimal()):
        place = len(ids) - 1 - int(back or 0)
        if place < 0:
            raise RunError(f"{runs}: holds {len(ids)} runs, so that there is no {named}")
        return load_run(runs / ids[place])
    found = [one for one in ids if one.startswith(named)]
    if named in ids:
        found = [named]
    if len(found) != 1:
        said = "no run" if not found else f"{len(found)} runs"
        raise RunError(f"{named}: {said} of that name, here or in {runs}")
    return load_run(runs / found[0])


def _object(line: bytes) -> dict[str, Any] | None:
    # A line without its end was cut off, even where it happens to be JSON.
    if not line.endswith(b"\n"):
        return None
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


class _Shared:
    """Values that many items of a run have in common, each kept once."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._fingerprints: dict[tuple[str, str, str], CaseFingerprint] = {}

    def text(self, value: str) -> str:
        return self._texts.setdefault(value, value)

    def fingerprint(self, data: Mapping[str, str] | None) -> CaseFingerprint | None:
        if data is None:
            return None
        key = data["prompt"], data["checks"], data["reference"]
        if key not in self._fingerprints:
            self._fingerprints[key] = CaseFingerprint(*key)
        return self._fingerprints[key]


def _outcome(data: Mapping[str, Any], shared: _Shared) -> Outcome:
    text = shared.text
    stages: Sequence[Mapping[str, Any]] = data["stages"]
    statuses = [stage["status"] for stage in stages]
    generation = data["generation"]
    code = data["code"]
    usd = generation.get("usd")
    return Outcome(
        case=text(f"{data['category']}/{data['difficulty']}/{data['case']}"),
        category=text(data["category"]),
        difficulty=text(data["difficulty"]),
        model=text(data["model"]),
        arm=text(data["arm"]),
        trial=int(data["trial"]),
        verdict=Verdict(data["verdict"]),
        stage=None if data["stage"] is None else text(data["stage"]),
        code=None if code is None else text(code),
        usd=None if usd is None else float(usd),
        generation_seconds=float(generation.get("seconds", 0.0)),
        seconds=float(sum(stage["seconds"] for stage in stages)),
        rounds=len(data.get("rounds", ())),
        passed_stages=statuses.count("passed"),
        ran_stages=statuses.count("passed") + statuses.count("failed"),
        fingerprint=shared.fingerprint(data.get("fingerprint")),
    )


def _fixed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(data))
