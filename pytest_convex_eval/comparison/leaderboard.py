"""Several runs as one table, which says which of its steps mean something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_convex_eval.comparison.compare import SEED
from pytest_convex_eval.comparison.compatibility import compatibility
from pytest_convex_eval.comparison.samples import ComparisonError, Entrant, Sample, samples_of
from pytest_convex_eval.runs import Run
from pytest_convex_eval.runs.export import escaped
from pytest_convex_eval.statistics.amounts import Amounts, amounts, per_passed
from pytest_convex_eval.statistics.ranks import Ranked, rank
from pytest_convex_eval.statistics.rates import Missing, Rate, pass_rate
from pytest_convex_eval.statistics.several_trials import (
    OverCases,
    over_cases,
    pass_at_k,
    pass_hat_k,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One entrant. `rate` is over the cases that all entrants did. `all_pass` is pass^k and
    `any_pass` pass@k of as many trials as the run has (None below two)."""

    entrant: str
    run: str
    ranked: Ranked
    rate: Rate
    missing: Missing
    trials: int
    any_pass: OverCases | None
    all_pass: OverCases | None
    usd: Amounts | None
    usd_per_passed: float | None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The best first."""

    rows: tuple[Row, ...]
    cases: int
    notes: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Builtins only."""
        return asdict(self)


def leaderboard(runs: Sequence[Run], *, seed: int = SEED, anyway: bool = False) -> Leaderboard:
    """Of all entrants of `runs`; one that is in several stands there once for each.

    Raises ComparisonError where they have no case in common, or were not judged alike unless
    `anyway`.
    """
    entered: dict[str, tuple[Run, Sample]] = {}
    for run in runs:
        for entrant, sample in samples_of(run).items():
            entered[_name(entrant, run, runs)] = (run, sample)
    if not entered:
        raise ComparisonError("there is no item in these runs")
    names = list(entered)
    cases = set(entered[names[0]][1].counts)
    notes: dict[str, None] = {}
    for name in names[1:]:
        held = compatibility(*entered[names[0]], *entered[name])
        if held.refusals and not anyway:
            raise ComparisonError(f"{names[0]} and {name}: {'; '.join(held.refusals)}")
        cases &= set(held.cases)
        notes.update(dict.fromkeys((*held.refusals, *held.warnings)))
    shared = sorted(cases)
    counts = {name: sample.only(shared) for name, (_, sample) in entered.items()}
    ranks = rank(counts, {}, seed=seed)
    if not ranks:
        raise ComparisonError("there is no case that all of them have a verdict of")
    rows = [_row(one, *entered[one.subject], shared, seed) for one in ranks]
    return Leaderboard(tuple(rows), len(shared), tuple(notes), seed)


def _name(entrant: Entrant, run: Run, runs: Sequence[Run]) -> str:
    return entrant.label if len(runs) == 1 else f"{entrant.label} [{run.id}]"


def _row(ranked: Ranked, run: Run, sample: Sample, cases: Sequence[str], seed: int) -> Row:
    counts = sample.only(cases)
    rate = pass_rate(counts)
    assert rate is not None
    trials = min((one.valid for one in counts.values() if one.valid), default=1)
    cost = amounts({case: sample.usd.get(case, ()) for case in cases}, seed=seed)
    total = cost.total if cost is not None and not cost.unknown else None
    passed = sum(one.passed for one in counts.values())
    several = trials > 1
    return Row(
        entrant=sample.entrant.label,
        run=run.id,
        ranked=ranked,
        rate=rate,
        missing=sample.missing,
        trials=trials,
        any_pass=over_cases(counts, pass_at_k, trials, seed=seed) if several else None,
        all_pass=over_cases(counts, pass_hat_k, trials, seed=seed) if several else None,
        usd=cost,
        usd_per_passed=per_passed(total, passed),
    )


def table(board: Leaderboard) -> Iterator[str]:
    """For a terminal."""
    width = max(len(row.ranked.subject) for row in board.rows)
    yield (
        f"{'rank':<8}{'tie':>4}  {'':<{width}}  {'passed':>7}  {'95 %':<15}"
        f"{'pass@k':>8}{'pass^k':>8}{'USD/passed':>12}"
    )
    for row in board.rows:
        yield (
            f"{_ranks(row):<8}{row.ranked.tie_group:>4}  {row.ranked.subject:<{width}}  "
            f"{row.rate.rate:>7.1%}  {_interval(row):<15}{_k(row.any_pass):>8}"
            f"{_k(row.all_pass):>8}{_usd(row):>12}"
        )
    yield f"{board.cases} cases that all did; those of one tie can't be told from its first"
    yield from (f"note: {note}" for note in board.notes)


def markdown(board: Leaderboard) -> Iterator[str]:
    """For a document."""
    yield "| rank | tie | | passed | 95 % | pass@k | pass^k | USD per passed |"
    yield "| --- | ---: | --- | ---: | --- | ---: | ---: | ---: |"
    for row in board.rows:
        cells = [
            _ranks(row),
            str(row.ranked.tie_group),
            escaped(row.ranked.subject),
            f"{row.rate.rate:.1%}",
            _interval(row),
            _k(row.any_pass),
            _k(row.all_pass),
            _usd(row),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield f"{board.cases} cases that all did; those of one tie can't be told from its first."
    yield from (f"- {escaped(note)}" for note in board.notes)


def _ranks(row: Row) -> str:
    best, worst = row.ranked.best, row.ranked.worst
    return str(best) if best == worst else f"{best} to {worst}"


def _interval(row: Row) -> str:
    interval = row.rate.interval
    return "-" if interval is None else f"{interval.low:.1%} to {interval.high:.1%}"


def _k(value: OverCases | None) -> str:
    return "-" if value is None else f"{value.value:.1%}"


def _usd(row: Row) -> str:
    return "-" if row.usd_per_passed is None else f"{row.usd_per_passed:.4f}"
