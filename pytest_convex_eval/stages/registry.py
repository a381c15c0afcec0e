"""Which stages there are, and which of them run: all of it follows from what stands on a stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from pytest_convex_eval.outcomes import ConfigurationError, StageName
from pytest_convex_eval.stages.cache import Cached, VerdictCache
from pytest_convex_eval.stages.protocol import Stage, StaticStage
from pytest_convex_eval.stages.table import BUILT_IN, no_such_stage


@dataclass(frozen=True, slots=True)
class Selection:
    """The stages that run for each item, in order, and the names of those whose results count."""

    running: tuple[Stage, ...]
    counting: tuple[StageName, ...]

    @property
    def deploys(self) -> bool:
        """Whether a deployment is needed."""
        return any(stage.deploys for stage in self.running)

    @property
    def deadline_seconds(self) -> float:
        """The deadlines of all that runs, in seconds of wall time."""
        return sum(stage.deadline_seconds for stage in self.running)

    def keeping(self, verdicts: VerdictCache) -> Selection:
        """The same, where static stages are asked only what they were not asked before."""
        running = tuple(
            Cached(stage, verdicts) if isinstance(stage, StaticStage) else stage
            for stage in self.running
        )
        return replace(self, running=running)


def built_in() -> tuple[Stage, ...]:
    """The stages of this package, in order."""
    found = []
    for place in BUILT_IN.values():
        module, _, name = place.partition(":")
        stage = getattr(import_module(module), name)()
        assert isinstance(stage, Stage)
        found.append(stage)
    return ordered(found)


def together(added: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages of this package and those that plugins `added`, in order.

    Raises ConfigurationError as `ordered` does, and for an added stage that claims to be static.
    """
    more = tuple(added)
    for stage in more:
        if isinstance(stage, StaticStage):
            raise ConfigurationError(
                f"the stage {stage.name!r} can't be a StaticStage: what is kept of one is found "
                "again by the code of this package, and not by its own"
            )
    return ordered((*built_in(), *more))


def ordered(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """`stages` in the order in which they run.

    Raises ConfigurationError for two of one name, and for one that names a stage which does not run
    before it.
    """
    found = tuple(sorted(stages, key=lambda stage: (stage.order, stage.name)))
    before: set[StageName] = set()
    for stage in found:
        if stage.name in before:
            raise ConfigurationError(f"two stages are called {stage.name!r}")
        for name in (*stage.needs, *stage.stands_on):
            if name not in before:
                raise ConfigurationError(
                    f"the stage {stage.name!r} names {name!r}, and no such stage runs before it"
                )
        before.add(stage.name)
    return found


def select(
    names: Iterable[StageName] | None = None, stages: Sequence[Stage] | None = None
) -> Selection:
    """What runs so that the stages of `names` count (None: all), and what those stand on runs too.

    `stages` are all that there are, in order; None: those of this package.
    Raises ConfigurationError for a name that none of them has.
    """
    stages = built_in() if stages is None else stages
    known = {stage.name: stage for stage in stages}
    wanted = set(known if names is None else names)
    for name in wanted - known.keys():
        raise ConfigurationError(no_such_stage(name, known))
    counting = tuple(name for name in known if name in wanted)
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted.update(stage.stands_on)
    return Selection(tuple(stage for stage in stages if stage.name in wanted), counting)
