"""The table at the end of a run: category × difficulty against the stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import (
    DIFFICULTIES,
    REFERENCE,
    Finding,
    ItemResult,
    StageName,
    Verdict,
)
from pytest_convex_eval.stages.table import STAGES


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the summary with its colour ("" for none)."""

    text: str
    colour: str = ""


def summary_lines(
    results: Sequence[ItemResult], *, lost: int = 0, unpaid: int = 0, record: Path | None = None
) -> Iterator[Line]:
    """The summary of `results`; `lost` items ended without one (a worker died under them), `unpaid`
    ones were not asked for want of money."""
    mutants = [result for result in results if result.mutant is not None]
    answers = [result for result in results if result.mutant is None]
    groups = dict.fromkeys((result.model, result.arm) for result in answers)
    for model, arm in groups:
        group = [result for result in answers if (result.model, result.arm) == (model, arm)]
        title = model if model == REFERENCE or arm == "default" else f"{model} ({arm})"
        yield from _table(title, group)
        yield from _rounds(group)
        yield from _designs(group)
        yield from _costs(group)
    if mutants:
        yield from _mutants(mutants)
    yield from _cached(results)
    if lost:
        yield Line(f"{lost} {_items(lost)} ended without a result", "red")
    if unpaid:
        yield Line(f"{unpaid} {_items(unpaid)} not asked: the budget is spent", "yellow")
    if record is not None:
        yield Line(f"run record: {record}")


def stages_of(results: Iterable[ItemResult]) -> list[StageName]:
    """The stages that `results` tell of, in the order in which they ran."""
    results = list(results)
    told = {stage.stage for result in results for stage in result.stages}
    told.update(result.stage for result in results if result.stage is not None)
    names = [name for name in STAGES if name in told]
    for result in results:
        place = 0
        for stage in result.stages:
            if stage.stage not in names:
                names.insert(place, stage.stage)
            place = names.index(stage.stage) + 1
    return names


def _table(title: str, results: Sequence[ItemResult]) -> Iterator[Line]:
    used = stages_of(results)
    rows = [
        (f"{category}/{difficulty}", group)
        for category in dict.fromkeys(sorted(result.category for result in results))
        for difficulty in DIFFICULTIES
        if (group := [r for r in results if (r.category, r.difficulty) == (category, difficulty)])
    ]
    width = max(len(title), *(len(name) for name, _ in rows), len("total")) + 2
    head = "".join(f"{name:>{max(len(name), 6) + 2}}" for name in used)
    yield Line(f"{title:<{width}}{'passed':>8}{head}")
    for name, group in rows:
        yield _row(name, group, used, width)
    if len(rows) > 1:
        yield _row("total", results, used, width)
    errors = sum(result.verdict is Verdict.ERROR for result in results)
    if errors:
        yield Line(f"{errors} {_items(errors)} without a verdict (not the model's fault)", "red")
    warnings = sum(
        finding.severity == "warning"
        for result in results
        for stage in result.stages
        for finding in stage.findings
    )
    if warnings:
        yield Line(f"{warnings} {'warning' if warnings == 1 else 'warnings'} in the run record")


def _row(name: str, results: Sequence[ItemResult], stages: Iterable[StageName], width: int) -> Line:
    judged = [result for result in results if result.verdict is not Verdict.ERROR]
    passed = sum(result.verdict is Verdict.PASSED for result in judged)
    cells = ""
    for stage in stages:
        statuses = [s.status for result in results for s in result.stages if s.stage == stage]
        ran = [status for status in statuses if status in ("passed", "failed")]
        cell = f"{ran.count('passed')}/{len(ran)}" if ran else "-"
        cells += f"{cell:>{max(len(stage), 6) + 2}}"
    colour = "green" if passed == len(results) else "red"
    return Line(f"{name:<{width}}{f'{passed}/{len(judged)}':>8}{cells}", colour)


def _mutants(results: Sequence[ItemResult]) -> Iterator[Line]:
    caught = sum(result.verdict is Verdict.PASSED for result in results)
    colour = "green" if caught == len(results) else "red"
    caught_at = Counter(
        result.stage
        for result in results
        if result.verdict is Verdict.PASSED and result.stage is not None
    )
    by_stage = ", ".join(
        f"{stage} {caught_at[stage]}" for stage in stages_of(results) if caught_at[stage]
    )
    said = f" ({by_stage})" if by_stage else ""
    yield Line(f"mutants caught where they say: {caught}/{len(results)}{said}", colour)


def _cached(results: Sequence[ItemResult]) -> Iterator[Line]:
    """Tells for how many items no static stage ran, where there are any."""
    asked = [
        [s.cached for s in r.stages if s.cached is not None and s.status in ("passed", "failed")]
        for r in results
    ]
    static = [cached for cached in asked if cached]
    count = sum(map(all, static))
    if count:
        of = f"{len(static)} {_items(len(static))}"
        yield Line(f"static stages of {count} of {of} from the cache (--convex-no-cache: run them)")


def of_design(finding: Finding) -> bool:
    """Whether it says how a design differs from what was deployed."""
    return finding.code.startswith("design/")


def _designs(results: Sequence[ItemResult]) -> Iterator[Line]:
    """How many answers differ from the design that came before them, where any does."""
    deployed = [
        [finding.code for finding in stage.findings if of_design(finding)]
        for result in results
        for stage in result.stages
        if stage.stage == "deploy" and stage.status == "passed"
    ]
    codes = Counter(code for found in deployed for code in found)
    if codes:
        differ = sum(bool(found) for found in deployed)
        shown = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        yield Line(
            f"designs that differ from what was deployed: {differ}/{len(deployed)} ({shown})"
        )


def _rounds(results: Sequence[ItemResult]) -> Iterator[Line]:
    """How many items passed by each round of repair (pass@round), where there were any."""
    most = max((len(result.rounds) for result in results), default=0)
    if not most:
        return
    judged = [result for result in results if result.verdict is not Verdict.ERROR]
    passed = [
        sum(r.verdict is Verdict.PASSED and len(r.rounds) <= rounds for r in judged)
        for rounds in range(most + 1)
    ]
    shown = ", ".join(f"{count}/{len(judged)}" for count in passed)
    yield Line(f"passed by round of repair (0 to {most}): {shown}")


def _costs(results: Sequence[ItemResult]) -> Iterator[Line]:
    """What a model's replies cost: those made in this run, and those that the store had."""
    asked = [
        request
        for result in results
        if result.model != REFERENCE and result.mutant is None
        for request in result.generation.requests
    ]
    if not asked:
        return
    parts = []
    for title, stored in (("made now", False), ("from the store", True)):
        some = [request for request in asked if request.stored is stored]
        if some:
            known = [request.usd for request in some if request.usd is not None]
            text = f"{len(some)} {title} ${sum(known):.4f}"
            if len(known) < len(some):
                # What is unknown is not nothing.
                text += f" and {len(some) - len(known)} of unknown cost"
            parts.append(text)
    yield Line(f"replies: {', '.join(parts)}")


def _items(count: int) -> str:
    return "item" if count == 1 else "items"
