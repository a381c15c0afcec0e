"""The deployment that is started while the first item is in the static stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

Write = Callable[..., Path]

# Notes each server that is started; the first start fails where that is asked for.
CONFTEST = """
from pathlib import Path
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.outcomes import InfrastructureError

pytest_plugins = ["pytest_convex_eval.plugin"]
NOTES = Path(__file__).with_name("started")
start = EmbeddedDeployment.start

def noted(self):
    failing = {failing} and not NOTES.exists()
    with NOTES.open("a") as notes:
        if failing:
            notes.write("failed\\n")
            raise InfrastructureError("no port is free")
        start(self)
        notes.write(f"{{self.pid}}\\n")

EmbeddedDeployment.start = noted
"""


def started(pytester: pytest.Pytester) -> list[str]:
    notes = pytester.path / "started"
    return notes.read_text().split() if notes.exists() else []


def verdicts(pytester: pytest.Pytester) -> dict[str, str]:
    (record,) = (pytester.path / ".convex-eval/runs").glob("*/items.jsonl")
    items = [json.loads(line) for line in record.read_text().splitlines()]
    return {item["case"]: item["verdict"] for item in items}


@pytest.mark.parametrize(
    ("stages", "servers"), [("format,deploy", 1), ("format,package,typecheck,lint", 0)]
)
def test_it_serves_all_items_and_ends_with_the_run(
    stages: str, servers: int, pytester: pytest.Pytester, write_case: Write
) -> None:
    for name in ("first", "second"):
        write_case(f"fundamentals/easy/{name}")
    pytester.makeconftest(CONFTEST.format(failing=False))
    result = pytester.runpytest_subprocess("cases", "--convex-stages", stages)
    result.assert_outcomes(passed=2)
    pids = started(pytester)
    assert len(pids) == servers
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)


def test_one_that_nobody_needed_ends_with_the_run(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    write_case("fundamentals/easy/first", reference={"package.json": "{"})
    pytester.makeconftest(CONFTEST.format(failing=False))
    result = pytester.runpytest_subprocess("cases")
    result.assert_outcomes(failed=1)
    (pid,) = started(pytester)
    assert not psutil.pid_exists(int(pid))


def test_one_that_does_not_start_costs_one_item(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    for name in ("first", "second"):
        write_case(f"fundamentals/easy/{name}")
    pytester.makeconftest(CONFTEST.format(failing=True))
    pytester.runpytest_subprocess("cases", "--convex-stages", "format,deploy")
    assert verdicts(pytester) == {"first": "error", "second": "passed"}
    assert started(pytester)[0] == "failed"
    assert len(started(pytester)) == 2
