"""How a step fails, in the words that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from pydantic import JsonValue

from pytest_convex_eval.behaviour.differences import difference
from pytest_convex_eval.behaviour.matching import IdsOf, mismatches
from pytest_convex_eval.behaviour.values import Expected

Location: TypeAlias = tuple[str | int, ...]
"""Where something stands in a case file: `("behaviour", 0, "steps", 2)`."""

Code: TypeAlias = Literal[
    "args",
    "body",
    "error",
    "headers",
    "insert",
    "logs",
    "no-error",
    "other-error",
    "pages",
    "race",
    "reference",
    "returns",
    "scheduled",
    "service",
    "status",
    "table",
    "timeout",
    "upload",
    "uses",
]

_MOST_MISMATCHES = 5
_MOST_LOG_LINES = 20


class StepFailedError(Exception):
    """A step did not go as it says. `lines` are what a person needs beside the `summary`."""

    def __init__(self, code: Code, summary: str, lines: Sequence[str] = ()) -> None:
        super().__init__(summary)
        self.code: Code = code
        self.summary = summary
        self.lines = tuple(lines)
        self.location: Location = ()

    def at(self, location: Location) -> StepFailedError:
        """The same, at the innermost step that failed."""
        if not self.location:
            self.location = location
        return self


def compare(
    code: Code,
    what: str,
    expected: Expected,
    actual: JsonValue,
    ids_of: IdsOf,
    context: Sequence[str] = (),
) -> None:
    """Raises StepFailedError with a diff where `actual` is not as `expected`."""
    found = mismatches(expected, actual, ids_of)
    if not found:
        return
    first, *others = [f"{_place(what, each.path)}: {each.message}" for each in found]
    lines = list(context)
    lines += others[:_MOST_MISMATCHES]
    if len(others) > _MOST_MISMATCHES:
        lines.append(f"... and {len(others) - _MOST_MISMATCHES} more differences")
    if isinstance(actual, dict | list):
        diff = difference(expected, actual, ids_of)
        if diff:
            lines.append("- expected  + got")
            lines += diff.splitlines()
    raise StepFailedError(code, first, lines)


def log_block(log_lines: Sequence[str]) -> list[str]:
    """The function's own log lines, the last ones where there are many."""
    if not log_lines:
        return []
    return ["it logged:", *(f"  {line}" for line in log_lines[-_MOST_LOG_LINES:])]


def _place(what: str, path: str) -> str:
    if not path:
        return what
    return f"{what}{path}" if path.startswith("[") else f"{what}.{path}"
