"""Whether two runs can be compared, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_convex_eval.comparison.samples import Sample
from pytest_convex_eval.outcomes import REFERENCE
from pytest_convex_eval.runs import Run
from pytest_convex_eval.statistics.rates import MOST_MISSING

OLD_DAYS = 7
"""Providers change models behind a name: from so many days on, a baseline's age is told."""

_JUDGED_BY = ("stages", "lint_profile", "lint_engine", "backend")
_ASKED_BY = ("strategy", "repair", "max_tokens")
_MACHINE = ("cores", "cpu_limit", "memory_limit_bytes", "workers")
_SAME_MEMORY = 0.05


@dataclass(frozen=True, slots=True)
class Compatibility:
    """`cases` are those that both did and that are the same in both; `refusals` say why the figures
    would mean nothing, `warnings` what to bear in mind."""

    cases: tuple[str, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def compatibility(run_a: Run, a: Sample, run_b: Run, b: Sample) -> Compatibility:
    """Of `a` in `run_a` and `b` in `run_b`, which may be one run."""
    shared = sorted(a.counts.keys() & b.counts.keys())
    asked = [case for case in shared if _differs(a, b, case, "prompt")]
    checked = [case for case in shared if case not in asked and _differs(a, b, case, "checks")]
    same = tuple(case for case in shared if case not in asked and case not in checked)
    refusals = [] if run_a.folder == run_b.folder else list(_judged_otherwise(run_a, run_b))
    warnings = list(_left_out(asked, "another prompt")) + list(_left_out(checked, "other checks"))
    only = len(a.counts.keys() ^ b.counts.keys())
    if only:
        warnings.append(f"{_cases(only)} left out: only one side did {_them(only)}")
    if not same:
        refusals.append("there is no case that both did and that is the same in both")
    if run_a.folder != run_b.folder:
        warnings += _between(run_a, a, run_b, b)
    warnings += _losses(a, b)
    return Compatibility(same, tuple(refusals), tuple(warnings))


def _differs(a: Sample, b: Sample, case: str, part: str) -> bool:
    one, other = a.fingerprints[case], b.fingerprints[case]
    # A record without them is told of below.
    return one is not None and other is not None and getattr(one, part) != getattr(other, part)


def _judged_otherwise(a: Run, b: Run) -> Iterator[str]:
    one, other = a.manifest, b.manifest
    if one.checker != other.checker:
        yield (
            f"they were judged by different checkers ({one.checker} and {other.checker}): judge "
            "the older one's replies again, which asks no model"
        )
    if one.toolchain != other.toolchain:
        yield (
            f"they were judged with different tools ({one.toolchain} and {other.toolchain}): judge "
            "the older one's replies again, which asks no model"
        )
    for key in _JUDGED_BY:
        if (said := _setting(one.settings, other.settings, key)) is not None:
            yield f"they were judged with another --convex-{key.replace('_', '-')}: {said}"


def _between(run_a: Run, a: Sample, run_b: Run, b: Sample) -> Iterator[str]:
    one, other = run_a.manifest, run_b.manifest
    if None in (*a.fingerprints.values(), *b.fingerprints.values()):
        yield "a record of an old format does not tell whether its cases were the same"
    for key in _ASKED_BY:
        if (said := _setting(one.settings, other.settings, key)) is not None:
            yield f"they were asked with another --convex-{key.replace('_', '-')}: {said}"
    arm = a.entrant.arm
    if arm == b.entrant.arm and one.arms.get(arm) != other.arms.get(arm):
        yield f"the text of the guidelines {arm!r}, or the instructions before it, has changed"
    days = abs((other.started - one.started).total_seconds()) / 86_400
    if days >= OLD_DAYS and not a.entrant.model == b.entrant.model == REFERENCE:
        yield f"they are {days:.0f} days apart, in which a provider may have changed its model"
    yield from _machines(run_a, run_b)


def unfinished(*runs: Run) -> Iterator[str]:
    """What there is to say of those of `runs` that were killed."""
    for run in runs:
        if not run.whole:
            yield f"{run.id} did not come to its end"


def _machines(run_a: Run, run_b: Run) -> Iterator[str]:
    """Limits are a condition of what was measured."""
    one, other = run_a.manifest.machine, run_b.manifest.machine
    for key in _MACHINE:
        first, second = getattr(one, key), getattr(other, key)
        if first != second:
            said = f"{_known(first)} and {_known(second)}"
            yield f"the machines differ: {key.replace('_', ' ')} {said}"
    if one.memory_bytes and other.memory_bytes:
        least, most = sorted((one.memory_bytes, other.memory_bytes))
        if least < most * (1 - _SAME_MEMORY):
            yield f"the machines differ: {least / 2**30:.1f} and {most / 2**30:.1f} GiB of memory"


def _losses(a: Sample, b: Sample) -> Iterator[str]:
    one, other = a.missing, b.missing
    for name, loss in (("A", one), ("B", other)):
        if loss.share > MOST_MISSING:
            yield (
                f"{name} is invalid: {loss.planned - loss.valid} of {loss.planned} trials came to "
                f"no verdict, so that its rate lies between {_percent(loss.all_failed)} and "
                f"{_percent(loss.all_passed)}"
            )
    if abs(one.share - other.share) > MOST_MISSING:
        yield "unreliable: one side lost many more trials than the other"


def _setting(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> str | None:
    if key not in one or key not in other or one[key] == other[key]:
        return None
    return f"{one[key]} and {other[key]}"


def _left_out(cases: list[str], why: str) -> Iterator[str]:
    if cases:
        shown = ", ".join(cases[:3]) + (", ..." if len(cases) > 3 else "")
        yield f"{_cases(len(cases))} left out, with {why} than before: {shown}"


def _cases(count: int) -> str:
    return f"{count} {'case' if count == 1 else 'cases'}"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _known(value: object) -> str:
    return "none" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"
