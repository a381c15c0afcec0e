"""What the items of a run came to, for each model and arm: the input of every comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pytest_convex_eval.outcomes import REFERENCE, CaseFingerprint, ConvexEvalError, Verdict
from pytest_convex_eval.runs import Outcome, Run, find_run
from pytest_convex_eval.statistics.rates import Missing, missing
from pytest_convex_eval.statistics.samples import Counts

_DEFAULT_ARM = "default"


class ComparisonError(ConvexEvalError):
    """Two sides that can't be compared; the message says why."""


class Entrant(NamedTuple):
    """Who answered: a model with the guidelines of an arm."""

    model: str
    arm: str

    @property
    def label(self) -> str:
        """What people call it."""
        plain = self.arm == _DEFAULT_ARM or self.model == REFERENCE
        return self.model if plain else f"{self.model} ({self.arm})"


@dataclass(frozen=True, slots=True)
class Sample:
    """One entrant's items in one run, by case. `planned` trials that are not `valid` came to no
    verdict; `failures` count the first failing stage and code."""

    entrant: Entrant
    counts: Mapping[str, Counts]
    planned: Mapping[str, int]
    failures: Mapping[str, Counter[str]]
    usd: Mapping[str, Sequence[float | None]]
    seconds: Mapping[str, Sequence[float]]
    fingerprints: Mapping[str, CaseFingerprint | None]

    @property
    def missing(self) -> Missing:
        """What became of the trials that were planned."""
        return missing(self.counts, self.planned)

    def only(self, cases: Sequence[str]) -> Mapping[str, Counts]:
        """The counts of `cases`."""
        return {case: self.counts[case] for case in cases if case in self.counts}


@dataclass(slots=True)
class _Gathered:
    passed: Counter[str] = field(default_factory=Counter)
    valid: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Counter[str]] = field(default_factory=dict)
    usd: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    fingerprints: dict[str, CaseFingerprint | None] = field(default_factory=dict)

    def add(self, one: Outcome) -> None:
        case = one.case
        self.seen[case] += 1
        self.fingerprints[case] = one.fingerprint
        # What an item cost is spent, whatever came of it.
        self.usd.setdefault(case, []).append(one.usd)
        if one.verdict is Verdict.ERROR:
            return
        self.valid[case] += 1
        self.passed[case] += one.verdict is Verdict.PASSED
        self.seconds.setdefault(case, []).append(one.generation_seconds)
        if one.verdict is Verdict.FAILED:
            failure = f"{one.stage}: {one.code}" if one.code else str(one.stage)
            self.failures.setdefault(case, Counter())[failure] += 1


def samples_of(run: Run) -> dict[Entrant, Sample]:
    """One for each model and arm of `run`, in their order there; references too."""
    gathered: dict[Entrant, _Gathered] = {}
    for one in run.outcomes:
        gathered.setdefault(Entrant(one.model, one.arm), _Gathered()).add(one)
    trials = int(run.manifest.settings.get("trials", 1))
    return {
        entrant: _sample(entrant, one, 1 if entrant.model == REFERENCE else trials)
        for entrant, one in gathered.items()
    }


def _sample(entrant: Entrant, one: _Gathered, trials: int) -> Sample:
    return Sample(
        entrant=entrant,
        counts={case: Counts(one.passed[case], one.valid[case]) for case in one.seen},
        planned={case: max(count, trials) for case, count in one.seen.items()},
        failures=one.failures,
        usd=one.usd,
        seconds=one.seconds,
        fingerprints=one.fingerprints,
    )


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a run, and those of its entrants that are meant."""

    run: Run
    samples: Mapping[Entrant, Sample]


def find_side(named: str, runs: Path) -> Side:
    """The side that `RUN`, `RUN::MODEL` or `RUN::MODEL::ARM` names.

    Raises RunError and ComparisonError.
    """
    name, *words = named.split("::")
    run = find_run(name, runs)
    samples = samples_of(run)
    if len(words) > 2:
        raise ComparisonError(f"{named}: a side is RUN, RUN::MODEL or RUN::MODEL::ARM")
    tests: list[Callable[[Entrant], bool]] = [
        lambda entrant: not words or entrant.model == words[0],
        lambda entrant: len(words) < 2 or entrant.arm == words[1],
    ]
    chosen = {
        entrant: sample
        for entrant, sample in samples.items()
        if all(test(entrant) for test in tests)
    }
    if not chosen:
        there = ", ".join(entrant.label for entrant in samples) or "no item"
        raise ComparisonError(f"{named}: nobody of that name is in the run; it has {there}")
    return Side(run, chosen)


def matched(a: Side, b: Side) -> list[tuple[Sample, Sample]]:
    """Who is held against whom: the only one of each side, or everybody against themselves.

    Raises ComparisonError where neither is possible.
    """
    if len(a.samples) == len(b.samples) == 1:
        return [(next(iter(a.samples.values())), next(iter(b.samples.values())))]
    shared = [entrant for entrant in a.samples if entrant in b.samples]
    if not shared:
        raise ComparisonError(
            f"{_labels(a)} of {a.run.id} and {_labels(b)} of {b.run.id}: say who is meant, as in "
            f"{a.run.id}::MODEL::ARM"
        )
    return [(a.samples[entrant], b.samples[entrant]) for entrant in shared]


def two_of(side: Side) -> tuple[Side, Side]:
    """The two entrants of one run, the first as a. Raises ComparisonError where it has not two."""
    if len(side.samples) != 2:
        raise ComparisonError(
            f"{side.run.id} has {_labels(side)}: name two runs, or two of these as "
            f"{side.run.id}::MODEL::ARM"
        )
    a, b = side.samples.items()
    return Side(side.run, dict([a])), Side(side.run, dict([b]))


def _labels(side: Side) -> str:
    return ", ".join(entrant.label for entrant in side.samples)
