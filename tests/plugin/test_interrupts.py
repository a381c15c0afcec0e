"""Ctrl-C and kills: the record stays readable and nothing keeps running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.patience import HANG_SECONDS, until, until_ended

Write = Callable[..., Path]
MODES = pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])


@pytest.fixture
def many(write_case: Write) -> None:
    for number in range(30):
        write_case(f"fundamentals/easy/case_{number:02}")


def start(pytester: pytest.Pytester, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "cases", "-p", "no:cacheprovider", *args],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for_items(pytester: pytest.Pytester, count: int) -> list[dict[str, Any]]:
    def recorded() -> list[str]:
        paths = (pytester.path / ".convex-eval/runs").glob("*/items.jsonl")
        return [line for path in paths for line in path.read_text().splitlines()]

    until(lambda: len(recorded()) >= count, "the end of an item")
    return [json.loads(line) for line in recorded()]


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@MODES
def test_ctrl_c_leaves_a_readable_record_and_no_process(
    pytester: pytest.Pytester, many: None, xdist: list[str]
) -> None:
    run = start(pytester, *xdist)
    wait_for_items(pytester, 2)
    children = descendants(run.pid)
    assert children
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=HANG_SECONDS)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, output.decode()
    assert b"KeyboardInterrupt" in output
    until_ended(children)
    (folder,) = (pytester.path / ".convex-eval/runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert 2 <= manifest["outcome"]["passed"] < 30


@MODES
def test_a_killed_run_leaves_a_readable_record_and_no_process(
    pytester: pytest.Pytester, many: None, xdist: list[str]
) -> None:
    run = start(pytester, *xdist)
    wait_for_items(pytester, 2)
    children = descendants(run.pid)
    run.kill()
    run.communicate(timeout=HANG_SECONDS)
    until_ended(children)
    assert len(wait_for_items(pytester, 2)) < 30
    (folder,) = (pytester.path / ".convex-eval/runs").iterdir()
    assert "finished" not in json.loads((folder / "manifest.json").read_text())


def test_a_worker_that_is_killed_costs_its_item_alone(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    for number in range(10):
        write_case(f"fundamentals/easy/case_{number}")
    run = start(pytester, "-n", "2")
    wait_for_items(pytester, 2)
    # Where setproctitle is installed, xdist's workers call themselves by what they do.
    workers = [
        child
        for child in psutil.Process(run.pid).children()
        if "-c" in (said := child.cmdline()) or "pytest-xdist" in " ".join(said)
    ]
    children = descendants(run.pid)
    workers[0].kill()
    output, _ = run.communicate(timeout=HANG_SECONDS)
    assert b"crashed" in output
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    (folder,) = (pytester.path / ".convex-eval/runs").iterdir()
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert len(items) == 10
    assert sum(item["verdict"] == "error" for item in items) == 1
    assert b"ended without a result" in output
    until_ended(children)


def test_a_worker_that_dies_after_an_item_s_end_does_not_cost_it(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    for name in ("first", "second"):
        write_case(f"fundamentals/easy/{name}")
    pytester.makeconftest(
        """
        import os, signal
        pytest_plugins = ["pytest_convex_eval.plugin"]

        def pytest_runtest_teardown(item):
            if "first" in item.nodeid:
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = pytester.runpytest_subprocess("cases", "-n", "1", "--convex-stages", "format")
    result.stdout.fnmatch_lines(["*crashed while running*first*"])
    assert "ended without a result" not in result.stdout.str()
    (folder,) = (pytester.path / ".convex-eval/runs").iterdir()
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert {item["case"]: item["verdict"] for item in items} == {
        "first": "passed",
        "second": "passed",
    }
    assert len(items) == 2


def test_the_last_limit_ends_an_item_as_an_error(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    write_case("fundamentals/easy/notes")
    result = pytester.runpytest_subprocess("cases", "--timeout=0.05")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the whole item: Timeout*"])
