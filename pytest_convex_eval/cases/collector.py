"""Case files as pytest nodes: which files are cases, and the items that each becomes.

Nothing here is expensive to import: a pytest run without cases pays for this module alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.cases.plan import Evaluate, Matrix, Plan
from pytest_convex_eval.outcomes import (
    DIFFICULTIES,
    CaseError,
    ItemEndedError,
    ItemResult,
    StageName,
    Verdict,
)
from pytest_convex_eval.runs.junit import properties
from pytest_convex_eval.text import shown
from pytest_convex_eval.xdist import emit_stage, file_id

if TYPE_CHECKING:
    from pytest_convex_eval.outcomes import StageResult


class CaseFile(pytest.File):
    """A case file. Collecting it reads it whole; a broken one is a collection error."""

    matrix: Matrix
    stages: Collection[StageName]
    evaluate: Evaluate

    @classmethod
    def build(
        cls,
        parent: pytest.Collector,
        path: Path,
        *,
        matrix: Matrix,
        stages: Collection[StageName],
        evaluate: Evaluate,
    ) -> CaseFile:
        nodeid = file_id(path, parent.config.rootpath)
        file: CaseFile = cls.from_parent(parent, path=path, nodeid=nodeid)
        file.matrix = matrix
        file.stages = stages
        file.evaluate = evaluate
        return file

    def collect(self) -> Iterator[pytest.Item]:
        # pydantic and PyYAML: only for those who have cases.
        from pytest_convex_eval.cases.loader import load_case

        try:
            loaded = load_case(self.path, _shown(self.path, self.config), self.stages)
        except CaseError as error:
            lines = str(error).splitlines()
            raise self.CollectError("\n".join(map(shown, lines))) from None
        except OSError as error:
            raise self.CollectError(f"{self.path}: {error.strerror}") from None
        for bracket, plan in self.matrix.plans(loaded):
            yield CaseItem.build(self, f"{loaded.name}[{bracket}]", plan)


class CaseItem(pytest.Item):
    """One case × model × arm × trial."""

    plan: Plan
    result: ItemResult | None

    @classmethod
    def build(cls, parent: CaseFile, name: str, plan: Plan) -> CaseItem:
        # The id is passed explicitly: pytest 9.2 splits one that it makes itself at the bracket,
        # which breaks --lf and --sw (pytest #15045).
        item: CaseItem = cls.from_parent(parent, name=name, nodeid=f"{parent.nodeid}::{name}")
        item.plan = plan
        item.result = None
        loaded = plan.loaded
        _register_category(parent.config, loaded.category)
        item.add_marker(loaded.category)
        item.add_marker(loaded.difficulty)
        for tag in loaded.case.tags:
            item.extra_keyword_matches.add(tag)
        item.add_marker(
            pytest.mark.convex_case(
                category=loaded.category,
                difficulty=loaded.difficulty,
                model=plan.model,
                arm=plan.arm,
                trial=plan.trial,
                mutant=plan.mutant is not None,
            )
        )
        return item

    def runtest(self) -> None:
        assert isinstance(self.parent, CaseFile)
        self.result = self.parent.evaluate(self.plan, self._emit)
        self.user_properties.extend(properties(self.result))
        if self.result.verdict is not Verdict.PASSED:
            raise ItemEndedError(self.result)

    def _emit(self, result: StageResult) -> None:
        emit_stage(self, result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from pytest_convex_eval.runs.failure import failure_representation

        style = str(self.config.getoption("tbstyle", "auto"))
        shown = failure_representation(excinfo.value, path=self.path, style=style)
        return super().repr_failure(excinfo, style) if shown is None else shown

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return (
            self.path,
            0,
            f"{self.plan.loaded.category}/{self.plan.loaded.difficulty} {self.name}",
        )


def register_markers(config: pytest.Config) -> None:
    """Makes the markers known that every case has; a category's is added when it is first met."""
    for difficulty in reversed(DIFFICULTIES):
        config.addinivalue_line("markers", f"{difficulty}: eval cases of this difficulty")
    config.addinivalue_line(
        "markers",
        "convex_case(category, difficulty, model, arm, trial, mutant): what an eval item stands "
        "for; each case also has its category and its difficulty as markers",
    )


def _register_category(config: pytest.Config, category: str) -> None:
    line = f"{category}: eval cases of this category"
    if line not in config.getini("markers"):
        config.addinivalue_line("markers", line)


def is_case_file(path: Path, roots: Sequence[Path], named: Callable[[Path], bool]) -> bool:
    """Whether the YAML file `path` is a case; `named` tells what stands on the command line.

    Cases are the YAML files below the configured folders, those named on the command line, and
    those in a difficulty's folder below a folder named on the command line. Nothing else: a
    project's other YAML files are none of ours.
    """
    if path.suffix not in (".yaml", ".yml") or path.name.startswith("."):
        return False
    if named(path):
        return True
    for root in roots:
        if path.is_relative_to(root):
            # Reference projects beside a case may hold YAML files of their own.
            return not {"convex", "node_modules"} & set(path.relative_to(root).parts)
    if path.parent.name not in DIFFICULTIES:
        return False
    return any(named(above) for above in list(path.parents)[:3])


def is_case(item: pytest.Item) -> bool:
    """Whether an item is ours."""
    return isinstance(item, CaseItem)


def case_ids(items: Iterable[pytest.Item]) -> list[str]:
    """The node ids of those that are ours."""
    return [item.nodeid for item in items if is_case(item)]


def hard_first(items: list[pytest.Item]) -> None:
    """Sorts the case items among themselves, hard ones first: they take longest.

    A pure function of files and options, as xdist requires; other items stay where they are.
    """
    places = [index for index, item in enumerate(items) if isinstance(item, CaseItem)]
    ranked = sorted((items[index] for index in places), key=_rank)
    for index, item in zip(places, ranked, strict=True):
        items[index] = item


def _rank(item: pytest.Item) -> int:
    assert isinstance(item, CaseItem)
    return -DIFFICULTIES.index(item.plan.loaded.difficulty)


def _shown(path: Path, config: pytest.Config) -> str:
    """`path` as the person who started pytest would type it."""
    directory = config.invocation_params.dir
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else str(path)
