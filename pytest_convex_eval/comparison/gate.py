"""May this be merged: a run against its baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.comparison.compatibility import compatibility, unfinished
from pytest_convex_eval.comparison.samples import ComparisonError, Side, matched, samples_of
from pytest_convex_eval.runs import Run
from pytest_convex_eval.statistics.gate import GateDecision, GateVerdict, decide
from pytest_convex_eval.statistics.paired import ALPHA
from pytest_convex_eval.statistics.rates import MOST_MISSING
from pytest_convex_eval.statistics.samples import pairs_of

RunVerdict: TypeAlias = GateVerdict | Literal["invalid"]
"""Invalid: the run or its baseline can't be judged, which is neither passed nor failed."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate says, in one word and in lines for people."""

    verdict: RunVerdict
    decisions: tuple[GateDecision, ...]
    lines: tuple[str, ...]


def gate(baseline: Run, candidate: Run, *, margin: float) -> Gate:
    """Each model and arm of `candidate` against the same of `baseline`.

    One that regressed makes the whole so, else one that is open; the intervals are so wide that all
    of them hold at once with 95 % (Bonferroni).
    """
    a, b = Side(baseline, samples_of(baseline)), Side(candidate, samples_of(candidate))
    try:
        couples = matched(a, b)
    except ComparisonError as error:
        return Gate("invalid", (), (str(error),))
    decisions: list[GateDecision] = []
    # The candidate has just ended, and its record not yet.
    lines = list(unfinished(baseline))
    invalid = False
    for one, other in couples:
        held = compatibility(baseline, one, candidate, other)
        pairs = pairs_of(one.only(held.cases), other.only(held.cases), {})
        lost = [loss for loss in (one.missing, other.missing) if loss.share > MOST_MISSING]
        lines += [f"{other.entrant.label}: {said}" for said in (*held.refusals, *held.warnings)]
        if held.refusals or lost or not pairs:
            invalid = True
            continue
        decision = decide(pairs, margin=margin, level=1 - ALPHA / len(couples))
        decisions.append(decision)
        lines += [f"{other.entrant.label}: {said}" for said in _said(decision)]
    verdict: RunVerdict = "invalid" if invalid else _worst(decisions)
    return Gate(verdict, tuple(decisions), (f"{verdict}: {baseline.id} is the baseline", *lines))


def _worst(decisions: Sequence[GateDecision]) -> GateVerdict:
    order: tuple[GateVerdict, ...] = ("regressed", "inconclusive")
    said = {decision.verdict for decision in decisions}
    return next((verdict for verdict in order if verdict in said), "non-inferior")


def _said(one: GateDecision) -> Iterator[str]:
    margin = f"{one.margin * 100:g} points"
    around = "no interval"
    if one.interval is not None:
        around = f"{one.interval.low * 100:+.1f} to {one.interval.high * 100:+.1f}"
    on = "exactly these cases" if one.basis == "trials" else "cases like these, for want of trials"
    yield (
        f"{one.verdict}: {one.difference * 100:+.1f} points over {one.cases} cases "
        f"({around} on {on}; {margin} may be lost)"
    )
    if one.verdict == "inconclusive" and one.trials_needed is not None:
        yield (
            f"about {one.trials_needed} trials of each case, or {one.cases_needed} cases, would "
            "decide if the difference stays what it is"
        )
    if one.verdict == "non-inferior" and one.interval is not None and one.interval.high < 0:
        yield "worse than the baseline, by less than what may be lost"
