"""What the package stage asks npm for, and when it stops asking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.stages.package import MOST_PACKAGES, MOST_UNUSABLE, PackageStage
from pytest_convex_eval.stages.protocol import Report, StageContext, Subject, Tools
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore, UnknownPackageError

if TYPE_CHECKING:
    from pytest_convex_eval.toolchain.model import DependencySet


class Nothing(DependencyStore):
    """A store that has `convex`, and whose registry knows of nothing else."""

    def __init__(self, known: DependencyStore) -> None:
        self.known = known
        self.asked = 0

    def get(self, declared: Mapping[str, str], **_: object) -> DependencySet:
        self.asked += 1
        for name, spec in declared.items():
            if name != "convex":
                raise UnknownPackageError("unknown", name=name, spec=spec)
        return self.known.get(declared)

    def default_set(self, **_: object) -> DependencySet:
        return self.known.default_set()


def check(tools: Tools, folder: Path, packages: int) -> tuple[Report, Nothing]:
    declared = {"convex": "^1.48.0", **{f"no-such-{i}": "1" for i in range(packages)}}
    files = {"package.json": json.dumps({"dependencies": declared})}
    store = Nothing(tools.dependencies)
    subject = Subject(files, {}, (), Expectations(), LintPolicy())
    context = StageContext(subject, replace(tools, dependencies=store), folder, files)
    report = PackageStage().check(context)
    assert context.dependencies == tools.dependencies.default_set()
    return report, store


def test_each_of_a_few_that_can_not_be_had_is_named(tools: Tools, tmp_path: Path) -> None:
    report, _ = check(tools, tmp_path, 3)
    assert [finding.code for finding in report.findings] == ["package/unknown-package"] * 3


def test_of_many_that_can_not_be_had_some_are_looked_up(tools: Tools, tmp_path: Path) -> None:
    report, store = check(tools, tmp_path, MOST_PACKAGES - 1)
    codes = [finding.code for finding in report.findings]
    assert codes == ["package/unknown-package"] * MOST_UNUSABLE + ["package/not-looked-up"]
    assert store.asked == MOST_UNUSABLE


def test_more_than_any_app_has_are_not_asked_for(tools: Tools, tmp_path: Path) -> None:
    report, store = check(tools, tmp_path, 20_000)
    assert [finding.code for finding in report.findings] == ["package/too-many-packages"]
    assert store.asked == 0
