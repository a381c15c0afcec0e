"""A run as text for other programs and for people: JSON lines, CSV, Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_convex_eval.outcomes import ItemResult
from pytest_convex_eval.runs.index import RunSummary
from pytest_convex_eval.runs.run import Item, Run

_COLUMNS: Mapping[str, Callable[[ItemResult], object]] = {
    "category": lambda result: result.category,
    "difficulty": lambda result: result.difficulty,
    "case": lambda result: result.case,
    "model": lambda result: result.model,
    "arm": lambda result: result.arm,
    "trial": lambda result: result.trial,
    "mutant": lambda result: result.mutant,
    "verdict": lambda result: result.verdict.value,
    "stage": lambda result: result.stage,
    "code": lambda result: result.code,
    "message": lambda result: result.message.split("\n", 1)[0],
    "seconds": lambda result: round(sum(stage.seconds for stage in result.stages), 3),
    "generation_seconds": lambda result: round(result.generation.seconds, 3),
    "input_tokens": lambda result: result.generation.input_tokens,
    "output_tokens": lambda result: result.generation.output_tokens,
    "usd": lambda result: result.generation.usd,
    "repairs": lambda result: len(result.rounds),
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_jsonl(run: Run) -> Iterator[str]:
    """The items as they were recorded, one JSON object a line."""
    for line in run.lines():
        yield json.dumps(line)


def as_csv(run: Run) -> Iterator[str]:
    """A line of headings, and one an item; what is not known is empty."""
    yield _row(list(_COLUMNS))
    for item in run.items():
        yield _row([_cell(value) for value in _values(item)])


def as_markdown(run: Run) -> Iterator[str]:
    """A table of the items."""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|" + " --- |" * len(_COLUMNS)
    for item in run.items():
        cells = ("" if value is None else escaped(str(value)) for value in _values(item))
        yield f"| {' | '.join(cells)} |"


FORMATS: Mapping[str, Callable[[Run], Iterator[str]]] = {
    "jsonl": as_jsonl,
    "csv": as_csv,
    "markdown": as_markdown,
}


def listing(summaries: Sequence[RunSummary]) -> Iterator[str]:
    """A line a run, and a heading, where there are any."""
    if not summaries:
        return
    width = max(len(summary.id) for summary in summaries)
    yield f"{'run':<{width}}  {'passed':>9}  {'errors':>6}  subjects"
    for one in summaries:
        judged = f"{one.passed}/{one.passed + one.failed}"
        subjects = ", ".join(one.models)
        subjects += f" × {', '.join(one.arms)}" if one.arms not in ((), ("default",)) else ""
        subjects += f" × {one.trials} trials" if one.trials > 1 else ""
        subjects += f", {one.parent} judged again" if one.parent else ""
        subjects += "" if one.whole else "  (not finished)"
        yield f"{one.id:<{width}}  {judged:>9}  {one.errors:>6}  {subjects}"


def _values(item: Item) -> list[object]:
    return [column(item.result) for column in _COLUMNS.values()]


def _cell(value: object) -> object:
    # A model writes codes and messages, and a spreadsheet runs what looks like a formula.
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _row(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def escaped(text: str) -> str:
    """`text` as Markdown that shows it, and does nothing else: it calls nobody either."""
    for character in "\\`*_{}[]<>#|":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ").replace("\r", " ").replace("@", "@\u200b")
