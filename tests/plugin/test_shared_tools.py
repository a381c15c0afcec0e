"""The compiler and the linter that workers share."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.toolchain.sharing import Host

Write = Callable[..., Path]

# Notes in which process each server is started; without a host where that is asked for.
CONFTEST = """
import os
import tempfile
from pathlib import Path
from pytest_convex_eval import session
from pytest_convex_eval.toolchain.servers.warm import WarmServer

pytest_plugins = ["pytest_convex_eval.plugin"]
NOTES = Path(__file__).with_name("started")
run = WarmServer._run

def noted(self, *args, **kwargs):
    with NOTES.open("a") as notes:
        notes.write(f"{{type(self).__name__}} {{os.getpid()}}\\n")
    return run(self, *args, **kwargs)

WarmServer._run = noted
if {alone}:
    session._hosted = lambda address, toolchain: None
"""
WRONG = {
    "package.json": json.dumps({"name": "notes", "dependencies": {"convex": "^1.48.0"}}),
    "convex/a.ts": "const n: number = 1;\nPromise.resolve(n);\nexport const s: string = n;\n",
}


def started(pytester: pytest.Pytester) -> list[tuple[str, str]]:
    lines = (pytester.path / "started").read_text().splitlines()
    return [(kind, pid) for kind, _, pid in (line.partition(" ") for line in lines)]


def items(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    (record,) = (pytester.path / ".convex-eval/runs").glob("*/items.jsonl")
    return [json.loads(line) for line in record.read_text().splitlines()]


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    stages = "format,package,syntax,typecheck,lint"
    return pytester.runpytest_subprocess("cases", f"--convex-stages={stages}", *args)


@pytest.mark.parametrize("workers", [0, 4])
def test_one_process_has_them_and_all_items_their_findings(
    pytester: pytest.Pytester, write_case: Write, workers: int
) -> None:
    for number in range(8):
        changes = {"reference": WRONG, "expect": {}} if number % 2 else {}
        write_case(f"fundamentals/easy/case_{number}", **changes)
    pytester.makeconftest(CONFTEST.format(alone=False))
    result = run(pytester, *(["-n", str(workers)] if workers else []))
    result.assert_outcomes(passed=4, failed=4)
    most = max(1, (os.cpu_count() or 1) // 4)
    kinds = started(pytester)
    assert {kind for kind, _ in kinds} == {"TypeServer", "OxlintServer"}
    assert len({pid for _, pid in kinds}) == 1
    assert 2 <= len(kinds) <= 2 * most
    for item in items(pytester):
        found = {f["code"] for stage in item["stages"] for f in stage["findings"]}
        wrong = {"TS2322", "lint/no-floating-promises"} if item["verdict"] == "failed" else set()
        assert found == wrong


def test_where_nothing_can_be_shared_each_worker_has_its_own(
    pytester: pytest.Pytester, write_case: Write
) -> None:
    for number in range(6):
        write_case(f"fundamentals/easy/case_{number}")
    pytester.makeconftest(CONFTEST.format(alone=True))
    run(pytester, "-n", "2").assert_outcomes(passed=6)
    assert len({pid for _, pid in started(pytester)}) == 2


@pytest.mark.parametrize("length", [10, 120], ids=["short", "too-long-for-a-socket"])
def test_nothing_of_them_is_left(
    pytester: pytest.Pytester, write_case: Write, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="t") as base:
        folder = Path(base, "x" * length)
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        pytester.makeconftest(CONFTEST.format(alone=False))
        for name in ("one", "two", "three"):
            write_case(f"fundamentals/easy/{name}")
        run(pytester, "-n", "2").assert_outcomes(passed=3)
        left = [path.name for path in folder.iterdir() if path.name.startswith("convex-eval")]
    # Where later runs look for what killed ones have left.
    assert left == [f"convex-eval-processes-{os.getuid()}"]
    assert len({pid for _, pid in started(pytester)}) == 1


@pytest.mark.parametrize("kind", ["there", "long"])
def test_an_address_that_can_not_be_had_leaves_nothing(tmp_path: Path, kind: str) -> None:
    address = tmp_path / ("x" * 120 if kind == "long" else "taken") / "socket"
    if kind == "there":
        address.parent.mkdir()
    with pytest.raises(OSError, match=r"exists|too long"):
        Host(address, install_toolchain(default_cache()))
    assert address.parent.exists() == (kind == "there")
