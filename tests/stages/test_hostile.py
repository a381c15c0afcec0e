"""Answers made to exhaust whoever reads them: each ends soon, with a finding, and costs the items
beside it nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_convex_eval.stages.runner import MOST_FINDINGS
from pytest_convex_eval.stages.table import STAGES
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.stages.conftest import Check

ROOT = Path(__file__).parents[2]
PACKAGE = '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n'
GOOD = """\
import { query } from "./_generated/server";
export const f = query({ args: {}, handler: async () => 1 });
"""
TYPE_BOMB = """\
type Orders<T, K = T> =
  [T] extends [never] ? [] : K extends K ? [K, ...Orders<Exclude<T, K>>] : never;
export const f = async (order: Orders<"a" | "b" | "c" | "d" | "e" | "f" | "g" | "h" | "i" | "j">) =>
  await order;
"""
APP = 'import { defineApp } from "convex/server";\nconst app = defineApp();\nexport default app;\n'
CALLS = 5_000
CIRCLE = "".join(
    f"export const f{i} = (x: number) => (x > 0 ? f{(i * 7 + 1) % CALLS}(x - 1) : 0);\n"
    for i in range(CALLS)
)

PACKAGES = json.dumps({"dependencies": {"convex": "1", **{f"p{i}": "1" for i in range(40_000)}}})

# What each is found by: the stage that fails first, and its code.
HOSTILE: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "type_bomb": ("typecheck", "typecheck/resource-limit", {"convex/a.ts": TYPE_BOMB}),
    "calls": ("typecheck", "TS7023", {"convex/a.ts": CIRCLE}),
    "large": ("format", "format/too-large", {"convex/a.ts": "// large\n" * 400_000}),
    "many": (
        "format",
        "format/too-many-files",
        {f"convex/m{i}.ts": f'import "./m{(i + 1) % 2000}";\n' for i in range(2000)},
    ),
    "deep": (
        "lint",
        "lint/resource-limit",
        {"convex/a.ts": f"export {{}};\n{'{' * 4000}{'}' * 4000}"},
    ),
    # What Python reads itself, in the worker's own process.
    "regexes": ("syntax", "syntax/esbuild", {"convex/a.ts": "/[" * 500_000}),
    "comments": (
        "lint",
        "lint/suppression",
        {"convex/a.ts": f"/*{chr(10) * 1_000_000}@ts-ignore */\n{GOOD}"},
    ),
    "entities": (
        "syntax",
        "syntax/html-entity",
        {"convex/a.ts": f"export let a = 1, lt = 1; a{'&lt;a' * 100_000};\n"},
    ),
    "config": (
        "syntax",
        "syntax/esbuild",
        {"convex/a.ts": GOOD, "convex/convex.config.ts": f"{APP}app.use(app{' ' * 900_000}x"},
    ),
    "packages": (
        "package",
        "package/too-many-packages",
        {"convex/a.ts": GOOD, "package.json": PACKAGES},
    ),
    # Passes: the patterns of our rules don't backtrack.
    "patterns": (
        "",
        "",
        {"convex/a.ts": "".join(f'export const k{i} = "{"sk-A1" * 1500}!";\n' for i in range(99))},
    ),
}
BESIDE = [{"name": "answers", "steps": [{"query": "a:f", "args": {}, "returns": 1}]}]

# The real limit on CPU time is above what a test may take. The deadlines are out of reach: on a
# busy machine they come first, and then nothing is known of the answer.
CONFTEST = f"""
from pytest_convex_eval.stages import pushing
from pytest_convex_eval.stages.registry import built_in
from pytest_convex_eval.toolchain import exhaustion
from pytest_convex_eval.toolchain.lint import oxlint as lint_oxlint
exhaustion.CPU_SECONDS = lint_oxlint.CPU_SECONDS = 4
pushing.PUSH_SECONDS = {HANG_SECONDS}
for stage in built_in():
    type(stage).deadline_seconds = {HANG_SECONDS}
pytest_plugins = ["pytest_convex_eval.plugin"]
"""


def write_case(
    folder: Path, name: str, files: Mapping[str, str], behaviour: Sequence[object] = ()
) -> None:
    answer = folder / f"{name}-answer"
    for path, text in {"package.json": PACKAGE, **files}.items():
        target = answer / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    case = {
        "summary": name,
        "prompt": name,
        "behaviour": list(behaviour),
        "reference": {"from": answer.name},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(case))


def test_each_ends_with_a_finding_and_the_others_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST)
    folder = pytester.path / "cases" / "fundamentals" / "hard"
    folder.mkdir(parents=True)
    # Items run in the order of their names: there are neighbours before and behind hostile ones.
    for number, (name, (_, _, files)) in enumerate(HOSTILE.items()):
        write_case(folder, f"{number:02}_{name}", files)
        if number % 3 == 0:
            write_case(folder, f"{number:02}beside", {"convex/a.ts": GOOD}, BESIDE)
    pytester.runpytest_subprocess("cases", "-n", "2")

    (run,) = (pytester.path / ".convex-eval" / "runs").iterdir()
    items = [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]
    found = {item["case"]: (item["stage"] or "", item["code"] or "") for item in items}
    expected = {
        f"{number:02}_{name}": (stage, code)
        for number, (name, (stage, code, _)) in enumerate(HOSTILE.items())
    }
    beside = {f"{number:02}beside": ("", "") for number in range(0, len(HOSTILE), 3)}
    assert found == {**expected, **beside}
    verdicts = {item["case"]: item["verdict"] for item in items}
    assert "error" not in verdicts.values(), verdicts
    neighbours = [item for item in items if item["case"] in beside]
    for item in neighbours:
        assert {stage["stage"]: stage["status"] for stage in item["stages"]} == dict.fromkeys(
            STAGES, "passed"
        )
    # No worker had to be replaced.
    assert {item["worker"] for item in items} <= {"gw0", "gw1"}
    (calls,) = (item for item in items if item["case"].endswith("calls"))
    typecheck = next(stage for stage in calls["stages"] if stage["stage"] == "typecheck")
    assert len(typecheck["findings"]) == MOST_FINDINGS
    assert typecheck["left_out"] > CALLS / 2


def test_five_megabytes_end_where_they_come_in(check: Check) -> None:
    checked = check({"convex/a.ts": "// large\n" * 600_000, "convex/b.ts": GOOD})
    assert checked.codes("format") == ["format/too-large"]
    # What is left of it is checked all the same.
    assert checked.statuses["lint"] == "passed"
