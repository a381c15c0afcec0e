"""Every pitfall that we know of is caught, by the stage and under the code that is said here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.expectations import Expectations, LintPolicy
from pytest_convex_eval.stages.protocol import Bench, Subject
from pytest_convex_eval.stages.runner import run_stages
from pytest_convex_eval.toolchain.dependencies import DependencyStore
from pytest_convex_eval.toolchain.lint_rules import OURS, RULES
from pytest_convex_eval.toolchain.model import Toolchain

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Pitfall

ROOT = Path(__file__).parents[3]
PACKAGE = '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n'
ROWS = 34
"""How many pitfalls the list had that the rules were made from; each is to be caught."""


@pytest.fixture(scope="session")
def bench(
    toolchain: Toolchain, store: DependencyStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    deployment: EmbeddedDeployment | None = None

    def empty() -> EmbeddedDeployment:
        nonlocal deployment
        if deployment is None:
            deployment = EmbeddedDeployment(toolchain.node)
            deployment.start()
        deployment.reset()
        return deployment

    cache = tmp_path_factory.mktemp("compile-cache")
    yield Bench(toolchain, store, empty, "recommended", cache)
    if deployment is not None:
        deployment.close()


def test_a_pitfall_is_caught(pitfall: Pitfall, bench: Bench, tmp_path: Path) -> None:
    codes = {rule.code for rule in RULES}
    policy = LintPolicy(require=(pitfall.code,) if pitfall.code in codes else ())
    answer = {"package.json": PACKAGE, **pitfall.files}
    subject = Subject(answer, {}, (), Expectations(), policy)
    (result,) = run_stages(subject, bench, tmp_path, [pitfall.stage], lambda _: None)
    assert result.status == "failed", result
    assert pitfall.code in {finding.code for finding in result.errors}


def test_every_row_of_the_list_is_caught(pitfalls: Sequence[Pitfall]) -> None:
    assert {pitfall.row for pitfall in pitfalls} == {*range(1, ROWS + 1), None}


def test_every_rule_has_code_that_it_catches(pitfalls: Sequence[Pitfall]) -> None:
    assert {rule.code for rule in RULES} <= {pitfall.code for pitfall in pitfalls}


def test_every_rule_of_ours_has_a_mutant_in_the_suite_or_here(
    pitfalls: Sequence[Pitfall],
) -> None:
    mutants = {
        mutant.code
        for path in (ROOT / "cases").rglob("*.yaml")
        for mutant in load_case(path, path.name).case.mutants
    }
    ours = {rule.code for rule in RULES if rule.code.startswith(OURS)}
    assert ours <= mutants | {pitfall.code for pitfall in pitfalls}
