"""What is wrong with a block before anything runs: names that nothing saves, missing services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pydantic import BaseModel

from pytest_convex_eval.behaviour.failures import Location
from pytest_convex_eval.behaviour.references import KNOWN_ROOTS, roots_in
from pytest_convex_eval.behaviour.steps import (
    Block,
    EachStep,
    ParallelStep,
    RepeatStep,
    ServiceStep,
    Step,
)

BlockProblem: TypeAlias = tuple[Location, str]

_NAMED_BY_LOOPS = frozenset({"each", "index"})


def block_problems(block: Block, here: Location) -> Iterator[BlockProblem]:
    """Every problem with its place in the case file; `here` is the block's."""
    known = set(KNOWN_ROOTS)
    yield from _unknown(block.env, known, (*here, "env"))
    yield from _steps(block.steps, (*here, "steps"), known, block)


def _steps(
    steps: Sequence[Step], here: Location, known: set[str], block: Block
) -> Iterator[BlockProblem]:
    for number, step in enumerate(steps):
        place = (*here, number)
        if isinstance(step, RepeatStep | EachStep):
            bound = _NAMED_BY_LOOPS if isinstance(step, EachStep) else {"index"}
            added = bound - known
            if isinstance(step, EachStep):
                yield from _unknown(list(step.each), known, (*place, "each"))
            known |= added
            yield from _steps(step.steps, (*place, "steps"), known, block)
            known -= added
            continue
        if isinstance(step, ParallelStep):
            for index, call in enumerate(step.parallel):
                yield from _unknown(_given(call), known, (*place, "parallel", index))
            known |= {call.save for call in step.parallel if call.save is not None}
            continue
        yield from _unknown(_given(step), known, place)
        if isinstance(step, ServiceStep) and step.service not in block.services:
            has = ", ".join(block.services) or "none"
            yield (
                (*place, "service"),
                f"the block has no service {step.service!r} (it has: {has})",
            )
        saved = getattr(step, "save", None)
        if saved is not None:
            known.add(saved)


def _given(step: BaseModel) -> object:
    """All that the author wrote in a step."""
    return step.model_dump(exclude_unset=True)


def _unknown(value: object, known: set[str], place: Location) -> Iterator[BlockProblem]:
    try:
        roots = list(dict.fromkeys(roots_in(value)))
    except ValueError as error:
        yield place, str(error)
        return
    for root in roots:
        if root not in known:
            saved = ", ".join(sorted(known - set(KNOWN_ROOTS))) or "nothing"
            yield place, f"${{{root}}}: nothing is saved as {root!r} before here (saved: {saved})"
