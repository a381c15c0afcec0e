"""Whether a mutant was caught: it passes when it fails first where it says, and with its code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_convex_eval.outcomes import ItemResult, Verdict

if TYPE_CHECKING:
    from pytest_convex_eval.cases.model import Mutant


def mutant_judged(mutant: Mutant, result: ItemResult) -> ItemResult:
    """The verdict on `mutant`, whose files came to `result` as an answer would. An error stays one:
    it says nothing of the mutant."""
    if result.verdict is Verdict.ERROR:
        return result
    if result.verdict is Verdict.PASSED:
        return _missed(result, "it was not caught: every stage passed")
    if result.stage != mutant.fails:
        return _missed(result, f"it failed at {result.stage} first: {result.message}")
    failed = next(stage for stage in result.stages if stage.stage == mutant.fails)
    codes = dict.fromkeys(finding.code for finding in failed.errors)
    if mutant.code is not None and mutant.code not in codes:
        found = ", ".join(codes)
        return _missed(
            result, f"it failed at {mutant.fails} with {found}, and not with {mutant.code}"
        )
    return replace(result, verdict=Verdict.PASSED)


def _missed(result: ItemResult, message: str) -> ItemResult:
    return replace(result, verdict=Verdict.FAILED, message=message)
