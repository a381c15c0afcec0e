"""What items stand for: each case times models, arms and trials. Knows nothing of pytest, and
imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_convex_eval.outcomes import REFERENCE, ItemResult, Verdict

if TYPE_CHECKING:
    from pytest_convex_eval.cases.loader import LoadedCase
    from pytest_convex_eval.cases.model import Mutant
    from pytest_convex_eval.outcomes import StageResult

DEFAULT_ARM = "default"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one item stands for: case × model × arm × trial, or a mutant of the case."""

    loaded: LoadedCase
    model: str
    arm: str
    trial: int
    mutant: Mutant | None = None

    def unjudged(self, message: str = "") -> ItemResult:
        """The result of an item that came to no verdict: an error, which is not the model's."""
        mutant = self.mutant
        expected = None
        if mutant is not None:
            expected = f"{mutant.fails} ({mutant.code})" if mutant.code else mutant.fails
        return ItemResult(
            case=self.loaded.name,
            category=self.loaded.category,
            difficulty=self.loaded.difficulty,
            model=self.model,
            arm=self.arm,
            trial=self.trial,
            verdict=Verdict.ERROR,
            message=message,
            mutant=None if mutant is None else mutant.name,
            expected=expected,
            fingerprint=self.loaded.fingerprint(),
        )


@dataclass(frozen=True, slots=True)
class Matrix:
    """The models, arms and trials that each case is multiplied by."""

    models: Sequence[str]
    arms: Sequence[str]
    trials: int
    mutants: bool
    on_disk: Collection[str] = ()
    """Models whose answers are known before: no guidelines count for them."""

    def plans(self, loaded: LoadedCase) -> Iterator[tuple[str, Plan]]:
        """The items of a case: the part of their name in brackets, and what they stand for.

        The default arm and a single trial are left out of names, so that ids stay the same when
        arms or trials are added.
        """
        for model in self.models:
            # The reference knows no guidelines and answers the same each time.
            fixed = model == REFERENCE
            unguided = fixed or model in self.on_disk
            for arm in self.arms[:1] if unguided else self.arms:
                for trial in range(1, 2 if fixed else self.trials + 1):
                    named = [model]
                    named += [arm] if arm != DEFAULT_ARM and not unguided else []
                    named += [str(trial)] if self.trials > 1 and not fixed else []
                    yield "-".join(named), Plan(loaded, model, arm, trial)
        if self.mutants:
            for mutant in loaded.case.mutants:
                plan = Plan(loaded, REFERENCE, self.arms[0], 1, mutant)
                yield f"mutant-{mutant.name}", plan


class Emit(Protocol):
    """Is given the result of each stage as it ends."""

    def __call__(self, result: StageResult) -> None: ...


class Evaluate(Protocol):
    """Takes a plan to its result; calls `emit` as each stage ends."""

    def __call__(self, plan: Plan, emit: Emit) -> ItemResult: ...
