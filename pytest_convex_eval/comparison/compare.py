"""Two sides on the same cases: who is better, by how much, where, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pytest_convex_eval.comparison.compatibility import compatibility, unfinished
from pytest_convex_eval.comparison.samples import ComparisonError, Sample, Side, matched
from pytest_convex_eval.statistics.amounts import PairedAmounts, compare_amounts
from pytest_convex_eval.statistics.drift import (
    CaseChange,
    FailureDrift,
    case_changes,
    failure_drift,
)
from pytest_convex_eval.statistics.paired import Paired, adjust, compare_pairs
from pytest_convex_eval.statistics.rates import Missing
from pytest_convex_eval.statistics.samples import pairs_of

SEED = 20260101
"""Of all that is drawn, unless told otherwise: the same records give the same figures."""


@dataclass(frozen=True, slots=True)
class ChangedCase:
    """A case whose rate differs, with the failure that each side has most of in it."""

    change: CaseChange
    failure_a: str | None
    failure_b: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`b` against `a`; figures are shares of 1. `changed` cases begin with the worst regression,
    `drift` with the failure whose share moved most. `usd` and `seconds` are of a reply."""

    a: str
    b: str
    run_a: str
    run_b: str
    paired: Paired
    missing_a: Missing
    missing_b: Missing
    changed: tuple[ChangedCase, ...]
    drift: tuple[FailureDrift, ...]
    usd: PairedAmounts | None
    seconds: PairedAmounts | None
    notes: tuple[str, ...]
    refused: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Builtins only."""
        return asdict(self)


def compare_sides(
    a: Side, b: Side, *, margin: float, seed: int = SEED, anyway: bool = False
) -> list[Comparison]:
    """A comparison for each pair of entrants, their p-values adjusted for their number.

    Raises ComparisonError for runs whose figures would mean nothing beside each other, unless
    `anyway`, when the reasons stand in the comparison.
    """
    made = [
        _compared(a, one, b, other, margin=margin, seed=seed, anyway=anyway)
        for one, other in matched(a, b)
    ]
    adjusted = adjust([one.paired for one in made])
    return [replace(one, paired=paired) for one, paired in zip(made, adjusted, strict=True)]


def _compared(
    side_a: Side, a: Sample, side_b: Side, b: Sample, *, margin: float, seed: int, anyway: bool
) -> Comparison:
    held = compatibility(side_a.run, a, side_b.run, b)
    if held.refusals and not anyway:
        raise ComparisonError(
            f"{side_a.run.id} and {side_b.run.id} can't be compared: {'; '.join(held.refusals)}"
        )
    pairs = pairs_of(a.only(held.cases), b.only(held.cases), {})
    paired = compare_pairs(pairs, margin=margin, seed=seed)
    if paired is None:
        raise ComparisonError("there is no case that both sides have a verdict of")
    cases = [pair.case for pair in pairs]
    return Comparison(
        a=a.entrant.label,
        b=b.entrant.label,
        run_a=side_a.run.id,
        run_b=side_b.run.id,
        paired=paired,
        missing_a=a.missing,
        missing_b=b.missing,
        changed=tuple(_changed(case_changes(pairs), a, b)),
        drift=tuple(_drift(cases, a, b)),
        usd=compare_amounts(_of(a.usd, cases), _of(b.usd, cases), seed=seed),
        seconds=compare_amounts(_of(a.seconds, cases), _of(b.seconds, cases), seed=seed),
        notes=(*held.warnings, *dict.fromkeys(unfinished(side_a.run, side_b.run))),
        refused=held.refusals,
        seed=seed,
    )


def _changed(changes: Sequence[CaseChange], a: Sample, b: Sample) -> Iterator[ChangedCase]:
    for change in changes:
        if change.change != "same":
            yield ChangedCase(change, _most(a, change.case), _most(b, change.case))


def _most(sample: Sample, case: str) -> str | None:
    failures = sample.failures.get(case)
    return failures.most_common(1)[0][0] if failures else None


def _drift(cases: Sequence[str], a: Sample, b: Sample) -> Iterator[FailureDrift]:
    counts = [(_failures(sample, cases), _trials(sample, cases)) for sample in (a, b)]
    (one, trials_a), (other, trials_b) = counts
    for drift in failure_drift(one, trials_a, other, trials_b):
        if drift.a.rate != drift.b.rate:
            yield drift


def _failures(sample: Sample, cases: Sequence[str]) -> Counter[str]:
    total = Counter[str]()
    for case in cases:
        total.update(sample.failures.get(case, Counter()))
    return total


def _trials(sample: Sample, cases: Sequence[str]) -> int:
    return sum(sample.counts[case].valid for case in cases)


def _of(
    amounts: Mapping[str, Sequence[float | None]], cases: Sequence[str]
) -> dict[str, Sequence[float | None]]:
    return {case: amounts[case] for case in cases if case in amounts}
