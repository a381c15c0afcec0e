"""Cron expressions, which the server's JavaScript reads by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import SERVER
from tests.patience import HANG_SECONDS

FOLDER = SERVER.parent


@pytest.fixture(scope="module")
def cron_problems(node: Path) -> Callable[[list[str]], list[str | None]]:
    script = (
        f"import {{ cronProblem }} from {json.dumps((FOLDER / 'push/crons.ts').as_uri())};"
        "import { readFileSync } from 'node:fs';"
        "const list = JSON.parse(readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(list.map(cronProblem)));"
    )

    def problems(expressions: list[str]) -> list[str | None]:
        done = processes.run(
            [node, "--input-type=module", "-e", script],
            cwd=FOLDER,
            env=processes.environment(home=FOLDER),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
            stdin=json.dumps(expressions),
        )
        assert done.ok, done.stderr
        found: list[str | None] = json.loads(done.stdout)
        return found

    return problems


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, 9)
    part = st.one_of(
        number.map(str),
        span,
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        step.map(lambda each: f"*/{each}"),
    )
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


CRON = st.tuples(
    field(0, 59), field(0, 23), field(1, 28), field(1, 12), st.one_of(field(0, 7), st.just("MON"))
).map(" ".join)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(CRON, min_size=1, max_size=50))
def test_every_cron_expression_is_taken(
    cron_problems: Callable[[list[str]], list[str | None]], expressions: list[str]
) -> None:
    problems = dict(zip(expressions, cron_problems(expressions), strict=True))
    assert {text: why for text, why in problems.items() if why is not None} == {}


def test_what_is_no_cron_expression_is_not_taken(
    cron_problems: Callable[[list[str]], list[str | None]],
) -> None:
    wrong = [
        *("", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *"),
        *("* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "a * * * *", "1,,2 * * * *"),
        *("@daily", "* * 30 2 *", "* * 31 4,6,9,11 *", "1.5 * * * *", "-1 * * * *", "* * * FOO *"),
    ]
    taken = [text for text, why in zip(wrong, cron_problems(wrong), strict=True) if why is None]
    assert taken == []
    right = ["0 0 29 2 *", "* * L * *", "* * * JAN-MAR MON#2", "* * 31 2 MON", "0 9 ? * 5L"]
    assert cron_problems(right) == [None] * len(right)
