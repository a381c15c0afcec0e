"""A comparison in words: for a terminal, as Markdown, and as a comment of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_convex_eval.comparison.compare import ChangedCase, Comparison
from pytest_convex_eval.runs.export import escaped
from pytest_convex_eval.statistics.drift import FailureDrift
from pytest_convex_eval.statistics.paired import Paired
from pytest_convex_eval.statistics.samples import Counts, Interval

COMMENT_MARK = "<!-- convex-eval compare -->"
"""In the first line of a comment, so that the one that is there can be found and written anew."""

_MOST_ROWS = 15


def text(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """For a terminal."""
    for index, one in enumerate(comparisons):
        if index:
            yield ""
        yield from _text(one, family=len(comparisons))


def markdown(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """For a document or a job's summary."""
    yield "| B against A | cases | A | B | difference | 95 % | p | answer |"
    yield "| --- | ---: | ---: | ---: | ---: | --- | ---: | --- |"
    for one in comparisons:
        paired = one.paired
        cells = [
            escaped(_title(one)),
            str(paired.cases),
            f"{paired.rate_a:.1%}",
            f"{paired.rate_b:.1%}",
            points(paired.difference),
            _between(paired.interval),
            f"{paired.adjusted:.3f}",
            f"**{paired.answer}**",
        ]
        yield f"| {' | '.join(cells)} |"
    for one in comparisons:
        yield ""
        yield escaped(f"{_title(one)}: {meaning(one.paired)}")
        for note in (*one.refused, *one.notes):
            yield f"- {escaped(note)}"
        if one.changed:
            yield ""
            yield "| case | A | B | | failure |"
            yield "| --- | ---: | ---: | --- | --- |"
            for case in one.changed[:_MOST_ROWS]:
                change = case.change
                cells = [change.case, _of(change.a), _of(change.b), change.change, _why(case)]
                yield f"| {' | '.join(escaped(cell) for cell in cells)} |"
            yield from _more(len(one.changed), "case")


def github(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """For a comment that is updated: the answers first, the rest folded away."""
    yield COMMENT_MARK
    answers = ", ".join(f"{escaped(_title(one))}: **{one.paired.answer}**" for one in comparisons)
    yield f"### convex-eval: {answers}"
    yield ""
    yield "<details><summary>figures</summary>"
    yield ""
    yield from markdown(comparisons)
    yield ""
    yield "</details>"


def points(share: float) -> str:
    """A difference of rates in percentage points, with its sign."""
    return f"{share * 100:+.1f} points"


def meaning(paired: Paired) -> str:
    """What the answer says, and what it does not."""
    margin = f"{paired.margin * 100:g} points"
    if paired.answer == "equivalent":
        return f"equivalent: the difference is within {margin} either way"
    if paired.answer != "undecided":
        return f"B is {paired.answer} than A"
    if paired.detectable is None:
        return "undecided: one case says nothing of others"
    return (
        f"undecided: no difference was shown, and none within {margin} either; one of "
        f"{paired.detectable * 100:.1f} points would be found four times in five"
    )


def _text(one: Comparison, *, family: int) -> Iterator[str]:
    paired = one.paired
    yield f"B {_named(one.b, one.run_b)} against A {_named(one.a, one.run_a)}"
    for reason in one.refused:
        yield f"  NOT COMPARABLE: {reason}"
    for note in one.notes:
        yield f"  note: {note}"
    losses = [
        f"{name} {loss.valid} of {loss.planned} trials"
        for name, loss in (("A", one.missing_a), ("B", one.missing_b))
    ]
    yield f"  {paired.cases} cases that both did ({', '.join(losses)})"
    yield f"  A {paired.rate_a:.1%}, B {paired.rate_b:.1%}: {points(paired.difference)}"
    yield f"    95 % {_between(paired.interval)} for cases like these"
    if paired.suite_interval is not None:
        yield f"    95 % {_between(paired.suite_interval)} on exactly these cases"
    adjusted = f", {paired.adjusted:.3f} adjusted for {family} comparisons (Holm)"
    drawn = "exact" if paired.draws is None else f"{paired.draws} draws, seed {one.seed}"
    p_value = f"p {paired.p_value:.3f}{adjusted if family > 1 else ''}"
    yield f"    sign-flip test {p_value} ({drawn})"
    if paired.discordant is not None:
        gained, lost = paired.discordant
        yield f"    {gained} cases gained, {lost} lost (McNemar p {paired.mcnemar:.3f})"
    yield f"  {meaning(paired)}"
    for name, unit, amounts in (("cost", "USD", one.usd), ("latency", "s", one.seconds)):
        if amounts is not None:
            interval = amounts.interval
            around = (
                "" if interval is None else f" (95 % {interval.low:+.4g} to {interval.high:+.4g})"
            )
            yield (
                f"  {name} of a reply: A {amounts.mean_a:.4g} {unit}, B {amounts.mean_b:.4g} {unit}"
                f", {amounts.difference:+.4g} {unit}{around}"
            )
    if one.changed:
        yield "  cases that changed"
        for case in one.changed[:_MOST_ROWS]:
            change = case.change
            yield (
                f"    {_of(change.a):>5} to {_of(change.b):<5} {change.change:<9} {change.case}"
                f"  {_why(case)}"
            ).rstrip()
        yield from (f"    {line}" for line in _more(len(one.changed), "case"))
    if one.drift:
        yield "  failures that moved"
        for drift in one.drift[:_MOST_ROWS]:
            yield f"    {_moved(drift)}"
        yield from (f"    {line}" for line in _more(len(one.drift), "failure"))


def _named(entrant: str, run: str) -> str:
    return f"{entrant} [{run}]"


def _title(one: Comparison) -> str:
    if one.a == one.b:
        return f"{one.b}, {one.run_b} against {one.run_a}"
    return f"{one.b} against {one.a}"


def _between(interval: Interval | None) -> str:
    if interval is None:
        return "no interval"
    return f"{interval.low * 100:+.1f} to {interval.high * 100:+.1f}"


def _of(counts: Counts) -> str:
    return f"{counts.passed}/{counts.valid}"


def _why(case: ChangedCase) -> str:
    worse = case.change.difference < 0
    return (case.failure_b if worse else case.failure_a) or ""


def _moved(drift: FailureDrift) -> str:
    return (
        f"{_of(drift.a)} to {_of(drift.b)}  {drift.code}  "
        f"(p {drift.adjusted:.3f} among all, Benjamini-Hochberg)"
    )


def _more(count: int, what: str) -> Iterator[str]:
    if count > _MOST_ROWS:
        left = count - _MOST_ROWS
        yield f"... and {left} more {what if left == 1 else f'{what}s'}"
