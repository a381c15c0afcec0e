"""How much a suppression comment counts: as much as what it would switch off."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.toolchain.lint.catalogue import RULES, select
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.suppressions import find_suppressions


def judged_suppressions(
    files: Files,
    profile: LintProfile,
    *,
    off: Collection[str] = frozenset(),
    require: Collection[str] = frozenset(),
) -> tuple[Finding, ...]:
    """Each suppression comment of `files`, as `lint/suppression`.

    One that hides the compiler's errors, all rules, or a rule that is an error here is an error,
    whatever reason it states; one that names only rules that fail nothing is a warning.
    """
    levels = select(profile, off=off, require=require).levels
    # By bare names: typescript-eslint's rules have another prefix in each engine.
    errors = {_bare(rule.name) for rule in RULES if levels[rule.code] == "error"}
    return tuple(
        suppression.finding
        if not suppression.rules or not errors.isdisjoint(map(_bare, suppression.rules))
        else replace(suppression.finding, severity="warning")
        for suppression in find_suppressions(files)
    )


def _bare(name: str) -> str:
    return name.rpartition("/")[2]
