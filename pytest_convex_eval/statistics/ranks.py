"""An order of several subjects that says which of its steps mean something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pytest_convex_eval.statistics.paired import adjust, compare_pairs
from pytest_convex_eval.statistics.samples import Counts, mean, pairs_of
from pytest_convex_eval.statistics.several_trials import bootstrap_draws, quantile


@dataclass(frozen=True, slots=True)
class Ranked:
    """A subject's place. Those of one `tie_group` (from 1) can't be told from its first; the rank
    lies between `best` and `worst` with 95 % probability."""

    subject: str
    rate: float
    tie_group: int
    best: int
    worst: int


def rank(
    subjects: Mapping[str, Mapping[str, Counts]], clusters: Mapping[str, str], *, seed: int
) -> list[Ranked]:
    """The subjects by their rate on the cases that all of them have, the best first; none where
    there is no such case.

    A group begins at each subject that its leader is better than, by paired tests of the leader
    against all that follow it, adjusted for their number (Holm).
    """
    shared = _shared(subjects)
    if not shared:
        return []
    rates = {
        name: mean([counts[case].rate for case in shared]) for name, counts in subjects.items()
    }
    order = sorted(subjects, key=lambda name: (-rates[name], name))
    groups = _tie_groups(order, subjects, clusters, seed)
    ranges = _rank_ranges(order, subjects, shared, clusters, seed)
    return [Ranked(name, rates[name], groups[name], *ranges[name]) for name in order]


def _shared(subjects: Mapping[str, Mapping[str, Counts]]) -> list[str]:
    sets = [{case for case, one in counts.items() if one.valid} for counts in subjects.values()]
    return sorted(set.intersection(*sets)) if sets else []


def _tie_groups(
    order: Sequence[str],
    subjects: Mapping[str, Mapping[str, Counts]],
    clusters: Mapping[str, str],
    seed: int,
) -> dict[str, int]:
    groups: dict[str, int] = {}
    rest, number = list(order), 0
    while rest:
        number += 1
        leader, following = rest[0], rest[1:]
        groups[leader] = number
        compared = [
            compare_pairs(
                pairs_of(subjects[leader], subjects[name], clusters), margin=0.0, seed=seed
            )
            for name in following
        ]
        made = [one for one in compared if one is not None]
        answers = [one.answer for one in adjust(made)]
        tied = next(
            (index for index, answer in enumerate(answers) if answer == "worse"), len(following)
        )
        groups.update(dict.fromkeys(following[:tied], number))
        rest = following[tied:]
    return groups


def _rank_ranges(
    order: Sequence[str],
    subjects: Mapping[str, Mapping[str, Counts]],
    shared: Sequence[str],
    clusters: Mapping[str, str],
    seed: int,
) -> dict[str, tuple[int, int]]:
    """From clusters of cases that are drawn with replacement, the same for all subjects."""
    grouped: dict[str, list[float]] = {}
    for case in shared:
        row = grouped.setdefault(clusters.get(case, case), [0.0] * len(order))
        for index, name in enumerate(order):
            row[index] += subjects[name][case].rate
    rows = list(grouped.values())
    random = Random(seed)
    draws = bootstrap_draws(len(rows) * len(order))
    ranks: list[list[int]] = [[] for _ in order]
    for _ in range(draws):
        drawn = random.choices(rows, k=len(rows))
        sums = [sum(column) for column in zip(*drawn, strict=True)]
        for index, value in enumerate(sums):
            # Sums of the same rates may differ in their last digit.
            ranks[index].append(1 + sum(other > value + 1e-9 for other in sums))
    for one in ranks:
        one.sort()
    return {
        name: (round(quantile(one, 0.025)), round(quantile(one, 0.975)))
        for name, one in zip(order, ranks, strict=True)
    }
