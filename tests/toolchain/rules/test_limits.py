"""Code that is made to exhaust a linter: each ends soon, with a finding or none, never an error."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.toolchain.lint import oxlint as lint_oxlint
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.run import lint
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from tests.patience import HANG_SECONDS

SECONDS = 30.0
"""Of CPU, in this process: what a linter says is read in a fraction of one."""
IMPORT = 'import { query } from "./_generated/server";\n'


def findings(
    toolchain: Toolchain, folder: Path, files: Mapping[str, str], profile: LintProfile = "strict"
) -> tuple[Finding, ...]:
    return report(toolchain, folder, files, profile).findings


def report(
    toolchain: Toolchain, folder: Path, files: Mapping[str, str], profile: LintProfile
) -> ToolReport:
    root = folder / "answer"
    for path, text in {"package.json": "{}", **files}.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    started = time.process_time()
    # What the linter may use is limited; a deadline says how busy the machine is.
    done = lint(
        toolchain, root, profile=profile, scratch=folder / "scratch", deadline_seconds=HANG_SECONDS
    )
    assert time.process_time() - started < SECONDS
    return done


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


CONVEXS_OLD = "@convex-dev/no-old-registered-function-syntax"
OLD = "convex-eval/old-function-syntax"
LAST = "export const last = query(async () => 1);\n"
"""A finding at the end of a file: that it is told shows that the whole file was looked at."""


def ours(found: Sequence[Finding]) -> list[tuple[str, int | None]]:
    return [(f.code, f.line) for f in found if f.code in {OLD, CONVEXS_OLD}]


def test_names_for_names_are_followed_only_so_far(toolchain: Toolchain, tmp_path: Path) -> None:
    aliases = "".join(f"const a{i + 1} = a{i};\n" for i in range(2000))
    circle = "const b = c;\nconst c = b;\nexport const d = c({});\n"
    near, far = "export const near = a20(() => 1);\n", "export const far = a2000(() => 1);\n"
    code = f"{IMPORT}const a0 = query;\n{near}{far}{aliases}{circle}{LAST}"
    found = ours(findings(toolchain, tmp_path, {"convex/a.ts": code}, "correctness"))
    assert found == [(OLD, 3), (CONVEXS_OLD, code.count("\n"))]


def test_a_file_of_five_megabytes_ends_soon(toolchain: Toolchain, tmp_path: Path) -> None:
    rows = "  { name: 'sk_live', at: 1, list: [1, 2, 3] },\n" * 100_000
    code = f"{IMPORT}export const a = [\n{rows}];\n{LAST}"
    found = findings(toolchain, tmp_path, {"convex/a.ts": code}, "correctness")
    assert ours(found) == [(CONVEXS_OLD, code.count("\n"))]
    assert {finding.line for finding in found} == {code.count("\n")}


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


def test_thousands_of_functions_by_builders_of_another_file_end_soon(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    count = 3000
    functions = "".join(
        f"export const f{i} = userQuery({{ handler: async (ctx) => f{(i + 1) % count}(ctx) }});\n"
        for i in range(count)
    )
    made = 'import { customQuery } from "x";\nexport const userQuery = customQuery(query, {});\n'
    files = {
        "convex/builders.ts": IMPORT + made,
        "convex/a.ts": f'import {{ userQuery }} from "./builders";\n{functions}',
    }
    found = findings(toolchain, tmp_path, files, "correctness")
    # Facts are told of so many declarations of a file.
    args = [f for f in found if f.code == "convex-eval/args-validator"]
    assert len(args) == 1000


@pytest.mark.parametrize(
    "text",
    ["sk-" * 2000, "a" * 7999, "A1" * 3999 + "!", "/:a" * 2000 + "*", "AKIA" * 1900],
)
def test_no_pattern_backtracks(toolchain: Toolchain, tmp_path: Path, text: str) -> None:
    def seconds(text: str, name: str) -> float:
        lines = "\n".join(f'export const apiKey{i} = "{text}";' for i in range(200))
        secret = 'export const apiKey = "k3y9f2a7c1d84b6e5f0a";\n'
        files = {"convex/a.ts": f"{lines}\n{secret}"}
        done = report(toolchain, tmp_path / name, files, "recommended")
        # It is known that all of the file was looked at.
        assert "convex-eval/no-hardcoded-secret" in {f.code for f in done.findings if f.line == 201}
        return done.cpu_seconds

    # Words of as many letters; what a pattern goes back over takes hundreds of times that, and runs
    # into the linter's limit. A busy machine doubles what the same work takes.
    assert seconds(text, "hostile") < 4 * seconds("word " * (len(text) // 5), "words") + 3


def test_a_plugin_that_throws_is_not_the_answers_fault(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    broken = tmp_path / "plugin.mjs"
    text = toolchain.rules_plugin.read_text()
    broken.write_text(f"{text}\nSourceFile.of = () => {{ throw new TypeError('ours'); }};\n")
    files = {"convex/a.ts": "export const a = 1;\n"}
    with pytest.raises(InfrastructureError, match=r"convex/a\.ts"):
        findings(replace(toolchain, rules_plugin=broken), tmp_path, files)
