"""Every pitfall that we know of is caught, by the stage and under the code that is said here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.stages.protocol import Subject, Tools
from pytest_convex_eval.stages.registry import select
from pytest_convex_eval.stages.runner import run_stages
from pytest_convex_eval.toolchain.lint.catalogue import OURS, RULES
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.sharing import own_tools

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Pitfall

ROOT = Path(__file__).parents[3]
PACKAGE = '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n'
PARTS: Mapping[int, Sequence[str]] = {
    1: ["@convex-dev/no-old-registered-function-syntax", "convex-eval/old-function-syntax"],
    2: ["TS2349", "TS2345"],
    3: ["lint/no-floating-promises"] * 2 + ["lint/no-misused-promises", "lint/await-thenable"],
    4: ["lint/no-unused-vars"],
    # Imported, given on, and loaded when it is needed.
    5: ["convex-eval/no-node-import"] * 3,
    6: ["@convex-dev/no-filter-in-query", "convex-eval/no-query-filter"],
    7: [
        "@convex-dev/no-duplicate-indexes",
        "convex-eval/duplicate-index",
        "deploy/IndexNotUnique",
        "@convex-dev/no-duplicate-indexes/prefix",
        "convex-eval/prefix-index",
    ],
    8: ["convex-eval/auth-config", "convex-eval/authentication"],
    9: [
        "convex-eval/authorization",
        "@convex-dev/require-access-control",
        "convex-eval/user-id-argument",
        "convex-eval/subject-as-key",
    ],
    10: ["convex-eval/no-same-runtime-action"],
    11: ["convex-eval/no-sequential-runs", "convex-eval/no-run-in-loop"],
    12: ["convex-eval/no-subtransaction"],
    13: ["@convex-dev/require-args-validator", "convex-eval/args-validator"],
    14: ["convex-eval/returns-validator"],
    # The scheduler, `ctx.run*` and crons.
    15: ["convex-eval/internal-targets"] * 3,
    16: [
        "@convex-dev/no-collect-in-query",
        "convex-eval/no-unindexed-collect",
        "convex-eval/no-collect-length",
    ],
    17: ["convex-eval/bounded-take"],
    18: [
        "convex-eval/no-unbounded-write-loop",
        "convex-eval/bounded-cron",
        "convex-eval/transaction-limits",
    ],
    19: ["convex-eval/no-query-in-loop", "convex-eval/no-unbounded-read-loop"],
    20: ["convex-eval/cron-interval"],
    21: ["convex-eval/cron-helpers"],
    22: ["convex-eval/no-system-field-in-index", "deploy/IndexFieldsContainCreationTime"],
    23: ["deploy/IndexNameReserved", "deploy/TooManyIndexes", "convex-eval/unused-index"],
    24: ["TS2769", "TS2345", "TS2339"],
    25: ["convex-eval/index-name"],
    26: ["convex-eval/node-actions-only", "deploy/InvalidModules"],
    27: ["convex-eval/no-system-field-in-table"],
    28: ["lint/no-deprecated"] * 2,
    # A router elsewhere, one that is not exported, and a handler that is no HTTP action.
    29: [
        *["convex-eval/http-routes"] * 3,
        "convex-eval/unrouted-http-action",
        "convex-eval/route-path",
        "convex-eval/file-names",
    ],
    30: ["convex-eval/rate-limiter"],
    31: ["@convex-dev/explicit-table-ids", "convex-eval/explicit-table-name"],
    # In a query, and in what it calls.
    32: ["convex-eval/no-date-in-query"] * 2,
    33: [
        "@convex-dev/no-process-env",
        "@convex-dev/no-schema-import-cycle",
        "@convex-dev/no-top-of-hour-crons",
    ],
    34: [
        "lint/no-explicit-any",
        "lint/no-unsafe-member-access",
        "lint/no-unsafe-call",
        "lint/no-unsafe-argument",
        "convex-eval/no-known-any",
    ],
}
"""What each row of the list that the rules were made from has in it, by what catches it."""
NOT_IN_SUITE = frozenset(
    {
        # A deployment refuses these before lint is asked.
        "duplicate-index",
        "no-node-builtin",
        "no-system-field-in-index",
        "node-actions-only",
        # Steps of the case tell them first, or typecheck does.
        "auth-config",
        "authentication",
        "cron-helpers",
        "cron-interval",
        "subject-as-key",
        "transaction-limits",
        # No case asks for what these are about.
        "file-names",
        "index-name",
        "no-query-in-loop",
        "no-run-in-loop",
        "no-unbounded-read-loop",
        "returns-validator",
    }
)
"""Rules of ours of which no mutant of the suite tells: these have a fixture project only."""


@pytest.fixture(scope="session")
def tools(
    toolchain: Toolchain, store: DependencyStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tools]:
    deployment: EmbeddedDeployment | None = None

    def empty() -> EmbeddedDeployment:
        nonlocal deployment
        if deployment is None:
            deployment = EmbeddedDeployment(toolchain.node)
            deployment.start()
        deployment.reset()
        return deployment

    cache = tmp_path_factory.mktemp("compile-cache")
    warm = own_tools(toolchain)
    yield Tools(toolchain, store, empty, "recommended", cache, warm=warm)
    warm.close()
    if deployment is not None:
        deployment.close()


def test_a_pitfall_is_caught(pitfall: Pitfall, tools: Tools, tmp_path: Path) -> None:
    codes = {rule.code for rule in RULES}
    policy = LintPolicy(require=(pitfall.code,) if pitfall.code in codes else ())
    answer = {"package.json": PACKAGE, **pitfall.files}
    subject = Subject(answer, {}, (), Expectations(), policy)
    (result,) = run_stages(subject, tools, tmp_path, select([pitfall.stage]), lambda _: None)
    assert result.status == "failed", result
    assert pitfall.code in {finding.code for finding in result.errors}


def test_every_part_of_every_row_of_the_list_is_caught(pitfalls: Sequence[Pitfall]) -> None:
    caught: dict[int, Counter[str]] = defaultdict(Counter)
    for pitfall in pitfalls:
        if pitfall.row is not None:
            caught[pitfall.row][pitfall.code] += 1
    assert list(PARTS) == list(range(1, 35))
    assert {row: Counter(parts) - caught[row] for row, parts in PARTS.items()} == {
        row: Counter() for row in PARTS
    }


def test_every_rule_has_code_that_it_catches(pitfalls: Sequence[Pitfall]) -> None:
    assert {rule.code for rule in RULES} <= {pitfall.code for pitfall in pitfalls}


def test_every_rule_of_ours_that_can_has_a_mutant_in_the_suite() -> None:
    mutants = {
        mutant.code
        for path in (ROOT / "cases").rglob("*.yaml")
        for mutant in load_case(path, path.name).case.mutants
    }
    ours = {r.code.removeprefix(OURS) for r in RULES if r.code.startswith(OURS)}
    assert ours - {(code or "").removeprefix(OURS) for code in mutants} == NOT_IN_SUITE
