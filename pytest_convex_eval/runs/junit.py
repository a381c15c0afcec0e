"""An item's result as JUnit properties."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_convex_eval.outcomes import ItemResult
from pytest_convex_eval.text import shown

PREFIX = "convex_eval"


def properties(result: ItemResult) -> Iterator[tuple[str, str]]:
    """`<property>` names and values, the same serial and under xdist; seconds are wall time."""
    return ((name, shown(value)) for name, value in _properties(result))


def _properties(result: ItemResult) -> Iterator[tuple[str, str]]:
    yield f"{PREFIX}.verdict", result.verdict.value
    for name in ("category", "difficulty", "model", "arm"):
        yield f"{PREFIX}.{name}", str(getattr(result, name))
    yield f"{PREFIX}.trial", str(result.trial)
    if result.mutant is not None:
        yield f"{PREFIX}.mutant", result.mutant
    if result.rounds:
        yield f"{PREFIX}.repair_rounds", str(len(result.rounds))
    for stage in result.stages:
        yield f"{PREFIX}.stage.{stage.stage}", stage.status
    for stage in result.stages:
        yield f"{PREFIX}.seconds.{stage.stage}", f"{stage.seconds:.3f}"
