"""The verdict cache: what is said again, what is asked anew, and that nobody can tell otherwise."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import (
    Files,
    Finding,
    InfrastructureError,
    StageName,
    StageResult,
)
from pytest_convex_eval.stages.cache import VerdictCache
from pytest_convex_eval.stages.protocol import Report, StageContext, StaticStage, Subject, Tools
from pytest_convex_eval.stages.registry import built_in, select
from pytest_convex_eval.stages.runner import run_stages

PACKAGE = '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n'
SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ notes: defineTable({ text: v.string() }) });
"""
# A type error, and an unawaited promise and a missing validator for lint.
NOTES = """\
import { mutation } from "./_generated/server";

export const add = mutation({
  handler: async (ctx) => {
    const text: number = "é😀";
    ctx.db.insert("notes", { text: "x" });
  },
});
"""
FILES: Files = {"package.json": PACKAGE, "convex/schema.ts": SCHEMA, "convex/notes.ts": NOTES}
REPORT = Report((Finding("a/b", "c", path="é", line=1, column=2),), "said", 0.5)
STATIC_STAGES = ("syntax", "typecheck", "lint")
STAGES: tuple[StageName, ...] = ("format", "package", *STATIC_STAGES)


@pytest.fixture
def cache(tmp_path: Path) -> VerdictCache:
    return VerdictCache(tmp_path / "verdicts")


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("verdicts/*/*"))


def test_what_is_kept_is_said_again_and_costs_nothing(cache: VerdictCache) -> None:
    assert cache.get("a" * 64) is None
    cache.put("a" * 64, REPORT)
    assert cache.get("a" * 64) == replace(REPORT, cpu_seconds=0.0, cached=True)
    assert cache.get("b" * 64) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b"said", b"sang"),
        lambda data: data[:64] + b"\n{}",
        lambda data: b"\xff" + data,
    ],
    ids=["empty", "cut", "changed", "other", "no-text"],
)
def test_a_damaged_entry_is_not_there_and_is_written_anew(
    cache: VerdictCache, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    cache.put("a" * 64, REPORT)
    (entry,) = entries(tmp_path)
    entry.write_bytes(damage(entry.read_bytes()))
    assert cache.get("a" * 64) is None
    cache.put("a" * 64, REPORT)
    assert cache.get("a" * 64) is not None


@pytest.mark.parametrize(
    "report",
    [
        Report((Finding("typecheck/resource-limit", "it took too long"),)),
        Report(missing="there is nothing to check"),
        Report(output="x" * 2_000_000),
        Report(output="\ud800"),
    ],
    ids=["decided-by-the-machine", "skipped", "large", "no-text"],
)
def test_what_is_not_worth_keeping_or_not_known_is_not_kept(
    cache: VerdictCache, tmp_path: Path, report: Report
) -> None:
    cache.put("a" * 64, report)
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "verdicts").write_text("a file")
    cache = VerdictCache(tmp_path / "verdicts")
    cache.put("a" * 64, REPORT)
    assert cache.get("a" * 64) is None
    cache.close()


def test_the_old_goes_and_then_the_longest_unused(cache: VerdictCache, tmp_path: Path) -> None:
    for name, days in (("a", 40), ("b", 20), ("c", 10), ("d", 2)):
        cache.put(name * 64, REPORT)
        (entry,) = (path for path in entries(tmp_path) if path.name[0] == name)
        os.utime(entry, (0, time.time() - days * 86_400))
    size = entries(tmp_path)[0].stat().st_size
    assert cache.get("b" * 64) is not None
    cache.prune(most_bytes=2 * size, most_days=30)
    assert [path.name[0] for path in entries(tmp_path)] == ["b", "d"]


def test_it_is_pruned_once_a_day_by_who_added_to_it(cache: VerdictCache, tmp_path: Path) -> None:
    def age() -> None:
        for entry in entries(tmp_path):
            os.utime(entry, (0, 0))

    cache.put("a" * 64, REPORT)
    age()
    VerdictCache(tmp_path / "verdicts").close()
    assert len(entries(tmp_path)) == 1
    cache.close()
    assert entries(tmp_path) == []
    cache.put("a" * 64, REPORT)
    age()
    cache.close()
    assert len(entries(tmp_path)) == 1


Static = Callable[..., dict[str, StageResult]]


@pytest.fixture
def static(tools: Tools, cache: VerdictCache, tmp_path: Path) -> Static:
    """The results of the static stages over an answer."""
    number = iter(range(100))

    def run(files: Files, policy: LintPolicy | None = None, **changes: Any) -> dict[str, Any]:
        starting = changes.pop("starting", {})
        changed = replace(tools, **changes)
        subject = Subject(files, starting, (), Expectations(), policy or LintPolicy())
        folder = tmp_path / f"item-{next(number)}"
        folder.mkdir()
        selection = select(STAGES).keeping(cache)
        results = run_stages(subject, changed, folder, selection, lambda _: None)
        return {result.stage: result for result in results if result.stage in STATIC_STAGES}

    return run


def cached(results: dict[str, StageResult]) -> list[str]:
    return [stage for stage, result in results.items() if result.cached]


def same(result: StageResult) -> StageResult:
    """`result` without what may differ."""
    return replace(result, seconds=0.0, cpu_seconds=0.0, cached=False)


def test_the_same_answer_is_not_asked_twice(static: Static) -> None:
    first, second = static(FILES), static(FILES)
    assert cached(first) == []
    assert cached(second) == list(STATIC_STAGES)
    assert [*map(same, second.values())] == [*map(same, first.values())]
    assert [result.status for result in first.values()] == ["passed", "failed", "passed"]
    assert {finding.code for finding in first["lint"].findings} >= {"lint/no-floating-promises"}
    assert second["typecheck"].cpu_seconds == 0.0


def test_what_a_stage_reads_is_part_of_the_question(static: Static) -> None:
    static(FILES)
    other: Files = {**FILES, "convex/notes.ts": NOTES.replace("text: number", "text: string")}
    before: list[StageName] = ["syntax", "typecheck"]
    assert cached(static(FILES, lint_profile="strict")) == before
    assert cached(static(FILES, LintPolicy(off=("no-floating-promises",)))) == before
    assert cached(static(other)) == []
    assert cached(static(FILES, starting={"convex/more.ts": "export {};\n"})) == []
    pinned = {**FILES, "package.json": PACKAGE.replace("^1.48.0", "1.31.2")}
    assert cached(static(pinned)) == []
    assert cached(static(FILES)) == list(STATIC_STAGES)


def test_another_toolchain_or_other_code_of_ours_asks_anew(
    static: Static, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    static(FILES)
    updated = replace(tools.toolchain, fingerprint="another")
    assert cached(static(FILES, toolchain=updated)) == []
    monkeypatch.setattr("pytest_convex_eval.stages.cache.package_fingerprint", lambda: "another")
    assert cached(static(FILES)) == []


def test_other_packages_below_the_declared_ones_ask_anew(
    static: Static, tools: Tools, cache: VerdictCache, tmp_path: Path
) -> None:
    installed = tools.dependencies.default_set()
    modules = tmp_path / "node_modules"
    modules.mkdir()
    lock = (installed.node_modules / ".package-lock.json").read_text()
    (modules / ".package-lock.json").write_text(lock.replace("esbuild", "esbuilt"))
    (tmp_path / "set.json").write_text((installed.root / "set.json").read_text())
    known = cache.fingerprint(installed)
    assert known is not None
    assert cache.fingerprint(replace(installed, root=tmp_path, node_modules=modules)) != known
    unknown = tmp_path / "unknown"
    assert cache.fingerprint(replace(installed, root=unknown, node_modules=unknown)) is None


def test_where_the_generated_code_needs_a_deployment_it_is_asked_every_time(
    static: Static,
) -> None:
    config = """\
import { defineApp } from "convex/server";
import { v } from "convex/values";
export default defineApp({ env: { KEY: v.string() } });
"""
    files = {**FILES, "convex/convex.config.ts": config}
    static(files)
    assert cached(static(files)) == ["syntax"]


@dataclass
class Troubled(StaticStage):
    """A stage whose tool breaks."""

    name: StageName = "lint"
    order: int = 700
    deadline_seconds: float = 1.0

    def reads(self, context: StageContext) -> dict[str, Any]:
        return {}

    def check(self, context: StageContext) -> Report:
        raise InfrastructureError("the linter broke")


def test_what_is_not_the_answers_fault_is_never_kept(
    tools: Tools, cache: VerdictCache, tmp_path: Path
) -> None:
    subject = Subject(FILES, {}, (), Expectations(), LintPolicy())
    selection = select(["lint"], [*built_in()[:2], Troubled()]).keeping(cache)
    results = run_stages(subject, tools, tmp_path, selection, lambda _: None)
    assert [result.status for result in results] == ["error"]
    assert entries(tmp_path) == []


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Two cases, one that fails, and a cache of its own over the machine's tools."""
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    tools = pytester.mkdir("cache")
    for folder in default_cache().iterdir():
        if folder.name != "verdicts":
            (tools / folder.name).symlink_to(folder)
    monkeypatch.setenv("CONVEX_EVAL_CACHE", str(tools))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    good = {**FILES, "convex/notes.ts": "export const limit = 10;\n"}
    for name, reference in (("good", good), ("wrong", FILES)):
        path = pytester.path / "cases/fundamentals/easy" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        case = {"summary": name, "prompt": "Write it.", "reference": dict(reference)}
        path.write_text(yaml.safe_dump(case))
    return pytester


Runs = Callable[..., tuple[str, dict[str, Any]]]


@pytest.fixture
def runs(project: pytest.Pytester) -> Runs:
    """Runs the cases; the terminal's text, and the stages of each item without their times."""
    number = iter(range(10))

    def run(*args: str) -> tuple[str, dict[str, Any]]:
        folder = project.path / f"runs-{next(number)}"
        result = project.runpytest_subprocess(
            "cases", f"--convex-runs={folder}", f"--convex-stages={','.join(STAGES)}", *args
        )
        result.assert_outcomes(passed=1, failed=1)
        (record,) = folder.glob("*/items.jsonl")
        items = {}
        for line in record.read_text().splitlines():
            item = json.loads(line)
            for stage in item["stages"]:
                for key in ("seconds", "cpu_seconds", "cached"):
                    del stage[key]
            items[item["nodeid"]] = (item["verdict"], item["code"], item["stages"])
        return result.stdout.str(), items

    return run


def test_a_second_run_says_the_same_and_that_it_did_not_ask(runs: Runs) -> None:
    text, first = runs()
    assert "from the cache" not in text
    text, second = runs("-n", "2")
    assert "static stages of 2 of 2 items from the cache" in text
    assert second == first
    text, third = runs("--convex-no-cache")
    assert "from the cache" not in text
    assert third == first


def test_a_run_with_workers_leaves_what_one_without_finds(
    runs: Runs, project: pytest.Pytester
) -> None:
    _, first = runs("-n", "2")
    case = project.path / "cases/fundamentals/easy/good.yaml"
    case.write_text(case.read_text().replace("limit = 10", "limit = 11"))
    text, second = runs()
    assert "static stages of 1 of 2 items from the cache" in text
    assert second == first
    assert "from the cache" not in runs("--convex-lint-profile", "strict")[0]


def test_damaged_entries_change_nothing(runs: Runs, project: pytest.Pytester) -> None:
    _, first = runs()
    damaged = entries(project.path / "cache")
    assert len(damaged) == 6
    for entry in damaged:
        entry.write_text("{")
    text, second = runs()
    assert "from the cache" not in text
    assert second == first
