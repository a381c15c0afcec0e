"""Code that is made to exhaust a linter: each ends soon, with a finding or none, never an error."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.toolchain import lint_oxlint
from pytest_convex_eval.toolchain.lint import lint
from pytest_convex_eval.toolchain.lint_rules import Profile
from pytest_convex_eval.toolchain.model import Toolchain

SECONDS = 30.0
IMPORT = 'import { query } from "./_generated/server";\n'


def findings(
    toolchain: Toolchain, folder: Path, files: Mapping[str, str], profile: Profile = "strict"
) -> tuple[Finding, ...]:
    root = folder / "answer"
    for path, text in {"package.json": "{}", **files}.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    started = time.monotonic()
    report = lint(toolchain, root, profile=profile, scratch=folder / "scratch", deadline_seconds=60)
    assert time.monotonic() - started < SECONDS
    return report.findings


@pytest.mark.parametrize(
    "code",
    [
        "[" * 4000 + "]" * 4000,
        "{" * 4000 + "}" * 4000,
        f"{IMPORT}query(async (ctx) => ctx.db.query('a'){'.order()' * 4000}.collect());",
    ],
    ids=["brackets", "blocks", "chain"],
)
def test_nesting_without_measure_is_the_answers_fault(
    toolchain: Toolchain, tmp_path: Path, code: str
) -> None:
    files = {"convex/a.ts": code, "convex/b.ts": "export {};\n"}
    found = findings(toolchain, tmp_path, files, "correctness")
    assert [f.code for f in found] == ["lint/resource-limit"]


def test_types_that_take_all_time_are_the_answers_fault(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ends as it does at the real limit, only sooner.
    monkeypatch.setattr(lint_oxlint, "CPU_SECONDS", 2)
    sum_of_many = f"export const a = {'1 + ' * 5000}1;\n"
    found = findings(toolchain, tmp_path, {"convex/a.ts": sum_of_many})
    assert [f.code for f in found] == ["lint/resource-limit"]


def test_functions_that_call_each_other_in_circles_are_the_answers_fault(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint_oxlint, "CPU_SECONDS", 2)
    count = 20_000
    code = "".join(
        f"export const f{i} = (x: number) => (x > 0 ? f{(i * 7 + 1) % count}(x - 1) : 0);\n"
        for i in range(count)
    )
    found = findings(toolchain, tmp_path, {"convex/a.ts": code})
    assert [f.code for f in found] == ["lint/resource-limit"]


def test_names_for_names_are_followed_only_so_far(toolchain: Toolchain, tmp_path: Path) -> None:
    aliases = "".join(f"const a{i + 1} = a{i};\n" for i in range(2000))
    circle = "const b = c;\nconst c = b;\nexport const d = c({});\n"
    code = f"{IMPORT}const a0 = query;\n{aliases}{circle}export const e = a2000(() => 1);\n"
    codes = {f.code for f in findings(toolchain, tmp_path, {"convex/a.ts": code}, "correctness")}
    assert codes <= {"lint/no-unsafe-argument"}


def test_a_file_of_five_megabytes_ends_soon(toolchain: Toolchain, tmp_path: Path) -> None:
    rows = "  { name: 'sk_live', at: 1, list: [1, 2, 3] },\n" * 100_000
    assert findings(toolchain, tmp_path, {"convex/a.ts": f"export const a = [\n{rows}];\n"}) == ()


def test_two_thousand_files_that_import_each_other_end_soon(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    files = {
        f"convex/m{i}.ts": f'import {{ f{(i + 1) % 2000} as next }} from "./m{(i + 1) % 2000}";\n'
        f"export const f{i} = (): number => next();\n"
        for i in range(2000)
    }
    query = 'import { query } from "./_generated/server";\nimport { f0 } from "./m0";\n'
    files["convex/q.ts"] = f"{query}export const q = query({{ args: {{}}, handler: f0 }});\n"
    found = findings(toolchain, tmp_path, files, "recommended")
    assert {f.severity for f in found} <= {"warning"}


@pytest.mark.parametrize(
    "text",
    ["sk-" * 2000, "a" * 7999, "A1" * 3999 + "!", "/:a" * 2000 + "*", "AKIA" * 1900],
)
def test_no_pattern_backtracks(toolchain: Toolchain, tmp_path: Path, text: str) -> None:
    code = "\n".join(f'export const apiKey{i} = "{text}";' for i in range(200))
    findings(toolchain, tmp_path, {"convex/a.ts": code}, "recommended")


def test_a_plugin_that_throws_is_not_the_answers_fault(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    broken = tmp_path / "plugin.mjs"
    text = toolchain.rules_plugin.read_text()
    broken.write_text(f"{text}\nSourceFile.of = () => {{ throw new TypeError('ours'); }};\n")
    files = {"convex/a.ts": "export const a = 1;\n"}
    with pytest.raises(InfrastructureError, match=r"convex/a\.ts"):
        findings(replace(toolchain, rules_plugin=broken), tmp_path, files)
