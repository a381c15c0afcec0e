"""A run held against a stored one: what fails, what JUnit says, and how pytest ends.

The models' answers come from the local Messages API, so many of each case broken as a test says.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

Write = Callable[..., Path]
Ask = Callable[..., pytest.RunResult]
CASES = [f"case{number:02d}" for number in range(16)]
MODEL = "claude-x"

GOOD = """\
<file path="package.json">
{"name": "notes", "dependencies": {"convex": "^1.48.0"}}
</file>
<file path="convex/schema.ts">
import { defineSchema } from "convex/server";
export default defineSchema({});
</file>
"""
BROKEN = GOOD.replace("convex/schema.ts", "convex/other.ts")


@pytest.fixture
def ask(
    pytester: pytest.Pytester, write_case: Write, server: MessagesServer,
    script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch,
) -> Ask:  # fmt: skip
    """Runs pytest with three trials of each case; `broken` says how many of them fail, `lost` how
    many are never answered."""
    for name in CASES:
        write_case(f"fundamentals/easy/{name}", prompt=f"Write the notes of {name}.")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-key")

    def run(
        name: str,
        *options: str,
        broken: Mapping[str, int] | None = None,
        lost: Mapping[str, int] | None = None,
    ) -> pytest.RunResult:
        server.default = script(text=GOOD)
        server.rules = [
            script(text=BROKEN, contains=case, times=count)
            for case, count in (broken or {}).items()
        ]
        # What a provider refuses for good is asked once, and is nobody's failure.
        server.rules += [
            script(status=413, error_type="request_too_large", contains=case, times=count)
            for case, count in (lost or {}).items()
        ]
        server._used.clear()
        plain = ["cases", "--convex-model", MODEL, "--convex-trials", "3"]
        plain += ["--convex-stages", "format,package", "--convex-keep", "none"]
        plain += ["--convex-store", f"store-{name}", "--junitxml", f"{name}.xml", "-q"]
        return pytester.runpytest(*plain, *options)

    return run


@pytest.fixture
def reported(pytester: pytest.Pytester) -> Callable[[str], dict[str, list[str]]]:
    """What JUnit has below each item of a run, by its name."""

    def read(name: str) -> dict[str, list[str]]:
        root = ElementTree.parse(pytester.path / f"{name}.xml").getroot()
        return {
            f"{one.get('classname')}.{one.get('name')}": [
                child.tag for child in one if child.tag != "properties"
            ]
            for one in root.iter("testcase")
        }

    return read


FEW = dict.fromkeys(CASES[:2], 1)
HALF = dict.fromkeys(CASES[:8], 3)
SOME = dict.fromkeys(CASES[:6], 2)


@pytest.mark.parametrize(
    ("before", "after", "options", "status", "tag"),
    [
        ({}, {}, [], 0, []),
        (HALF, FEW, [], 0, []),
        ({}, HALF, [], 1, ["failure"]),
        (SOME, SOME, [], 6, ["failure"]),
        (SOME, SOME, ["--convex-inconclusive", "pass"], 0, ["skipped"]),
        (SOME, SOME, ["--convex-margin", "40"], 0, []),
        ({}, HALF, ["--convex-gate", "none"], 0, ["skipped"]),
    ],
    ids=["same", "better", "worse", "open", "open passes", "wide margin", "only told"],
)
def test_the_comparison_alone_passes_or_fails_the_run(
    ask: Ask,
    reported: Callable[[str], dict[str, list[str]]],
    before: Mapping[str, int],
    after: Mapping[str, int],
    options: list[str],
    status: int,
    tag: list[str],
) -> None:
    assert ask("before", broken=before).ret == (1 if before else 0)
    result = ask("after", "--convex-baseline", "latest", *options, broken=after)
    said = result.stdout.str()
    assert result.ret == status, said
    assert "is the baseline" in said
    found = reported("after")
    assert found.pop("convex-eval.gate") == tag
    # One trial that failed is no failure of the run's.
    failed = sum(after.values())
    assert sorted(found.values()) == [[]] * (48 - failed) + [["skipped"]] * failed


def test_workers_report_to_the_same_gate(
    ask: Ask, reported: Callable[[str], dict[str, list[str]]]
) -> None:
    assert ask("before").ret == 0
    result = ask("after", "--convex-baseline", "latest", "-n", "1", broken=HALF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*convex-eval gate*", "regressed: *"])
    assert reported("after")["convex-eval.gate"] == ["failure"]


@pytest.mark.parametrize(("lost", "status"), [({"case15": 2}, 0), ({"case14": 3, "case15": 3}, 7)])
def test_few_items_without_a_verdict_leave_the_gate_standing_and_many_make_it_invalid(
    ask: Ask, reported: Callable[[str], dict[str, list[str]]], lost: Mapping[str, int], status: int
) -> None:
    assert ask("before").ret == 0
    result = ask("after", "--convex-baseline", "latest", lost=lost)
    assert result.ret == status, result.stdout.str()
    found = reported("after")
    assert found.pop("convex-eval.gate") == (["error"] if status else [])
    assert sorted(found.values()).count(["error"]) == sum(lost.values())


def test_each_failing_item_still_fails_where_that_is_asked_for(
    ask: Ask, reported: Callable[[str], dict[str, list[str]]]
) -> None:
    assert ask("before").ret == 0
    result = ask("after", "--convex-baseline", "latest", "--convex-gate", "cases", broken=FEW)
    assert result.ret == 1
    assert sorted(reported("after").values()).count(["failure"]) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--convex-baseline", "nothing"], "--convex-baseline: nothing: no run of that name"),
        (["--convex-gate", "suite"], "--convex-gate suite: say against what"),
    ],
)
def test_a_gate_without_a_baseline_is_told_before_anything_is_spent(
    ask: Ask, server: MessagesServer, options: list[str], said: str
) -> None:
    result = ask("after", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()
    assert server.requests == []


def test_a_stored_run_of_known_difference_is_compared(
    ask: Ask, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the records alone, as they were written."""
    from pytest_convex_eval.cli import main

    ask("before")
    ask("after", broken=HALF)
    capsys.readouterr()
    runs = str(pytester.path / ".convex-eval/runs")
    assert main(["compare", "latest~1", "latest", "--runs", runs]) == 0
    said = capsys.readouterr().out
    assert "A 100.0%, B 50.0%: -50.0 points" in said
    assert "B is worse than A" in said
    assert said.count("package: ") >= 8
