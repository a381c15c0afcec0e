"""ESLint in oxlint's place: the same findings, installed only when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.toolchain.lint import eslint as lint_eslint
from pytest_convex_eval.toolchain.lint.eslint import Eslint, install_eslint
from pytest_convex_eval.toolchain.lint.run import lint
from pytest_convex_eval.toolchain.model import Toolchain, ToolReport
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.workspace.layout import lay_out
from tests.patience import HANG_SECONDS
from tests.toolchain.engine_differences import Difference, differences, explanation

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "benchmarks" / "lint_engines.py"
EVERY = "24"
"""Of the suite's answers, some ten are compared here; CI compares them all."""

Lint = Callable[..., ToolReport]


@pytest.fixture(scope="session")
def eslint(toolchain: Toolchain) -> Eslint:
    return install_eslint(default_cache(), toolchain)


@pytest.fixture
def lint_by_eslint(
    toolchain: Toolchain, store: DependencyStore, eslint: Eslint, tmp_path: Path
) -> Lint:
    installed = store.default_set()

    def run(
        files: dict[str, str], *, engine: Eslint = eslint, deadline_seconds: float = HANG_SECONDS
    ) -> ToolReport:
        workspace = lay_out(
            tmp_path / "answer",
            {"package.json": "{}", **files},
            node_modules=installed.node_modules,
            templates=installed.templates,
        )
        return lint(
            toolchain,
            workspace.root,
            profile="recommended",
            scratch=tmp_path / "scratch",
            deadline_seconds=deadline_seconds,
            eslint=engine,
        )

    return run


@pytest.mark.sweep
def test_a_sample_of_the_suite_gives_the_same_findings() -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, ROOT / "cases", "--every", EVERY],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"unexplained differences": 0' in done.stdout


def finding(code: str, line: int, column: int = 1) -> Finding:
    return Finding(code, "no", path="convex/a.ts", line=line, column=column)


def test_a_finding_of_one_engine_is_a_difference_that_needs_a_reason() -> None:
    one, other = finding("lint/await-thenable", 1), finding("lint/no-explicit-any", 2)
    (difference,) = differences([one, other], [other])
    assert (difference.only, difference.code) == ("oxlint", "lint/await-thenable")
    assert explanation(difference, "") is None
    (difference,) = differences([other], [one, other])
    assert difference.only == "eslint"
    assert str(difference) == "only eslint reports lint/await-thenable at convex/a.ts:1"


def test_columns_and_which_of_two_rules_speaks_are_no_difference() -> None:
    code = "lint/no-misused-promises"
    assert not list(differences([finding(code, 1, 5)], [finding(code, 1, 9)]))
    ours = finding("convex-eval/explicit-table-name", 3)
    convexs = finding("@convex-dev/explicit-table-ids", 3)
    assert not list(differences([ours], [convexs]))
    # Two on a line are more than one.
    assert len(list(differences([finding(code, 1), finding(code, 1)], [finding(code, 1)]))) == 1


def test_types_that_only_eslint_has_explain_what_stands_behind_a_name() -> None:
    (difference,) = differences([], [finding("@convex-dev/no-filter-in-query", 3)])
    behind = "const notes = await tableOf(ctx)\n  .order()\n  .filter((q) => true)\n  .first();\n"
    known = explanation(difference, behind)
    assert known is not None
    assert "types" in known.reason
    # Here ours should have seen it too.
    assert explanation(difference, behind.replace("tableOf(ctx)", 'ctx.db.query("notes")')) is None


def test_only_arguments_of_an_error_type_or_of_convexs_own_any_are_explained() -> None:
    def difference(message: str) -> Difference:
        found = Finding("lint/no-unsafe-argument", message, path="convex/a.ts", line=1)
        (one,) = differences([], [found])
        return one

    assert explanation(difference("Unsafe argument of type error typed assigned"), "") is not None
    # convex's own type of an HTTP action's context.
    known = explanation(difference("Unsafe argument of type `GenericActionCtx<any>` assigned"), "")
    assert known is not None
    assert "HTTP" in known.reason
    assert explanation(difference("Unsafe argument of type `any` assigned"), "") is None


def test_only_a_name_of_minified_code_is_explained() -> None:
    def difference(path: str) -> Difference:
        (one,) = differences([Finding("lint/not-linted", "no", path=path)], [])
        return one

    assert explanation(difference("convex/a.min.ts"), "") is not None
    assert explanation(difference("convex/a.ts"), "") is None


def test_each_finding_more_needs_a_reason_of_its_own() -> None:
    code = "@convex-dev/explicit-table-ids"
    (two,) = differences([], [finding(code, 1), finding(code, 1)])
    assert explanation(two, "db().get(a) && db().get(b)") is not None
    (one,) = differences([finding("convex-eval/explicit-table-name", 1)], [finding(code, 1)] * 2)
    assert explanation(one, "ctx.db.get(a) && db().get(b)") is None


def test_positions_count_characters_as_oxlints_do(lint_by_eslint: Lint) -> None:
    (found,) = lint_by_eslint({"convex/a.ts": "/* 😀 */ export const a: any = 1;\n"}).findings
    assert found.location() == "convex/a.ts:1:25"
    assert found.code == "lint/no-explicit-any"


def test_suppression_comments_are_not_obeyed(lint_by_eslint: Lint) -> None:
    code = "/* eslint-disable */\nexport const a: any = 1; // eslint-disable-line\n"
    codes = [found.code for found in lint_by_eslint({"convex/a.ts": code}).findings]
    assert codes == ["lint/no-explicit-any"]


def test_a_name_of_minified_code_is_linted(lint_by_eslint: Lint) -> None:
    codes = [f.code for f in lint_by_eslint({"convex/a.min.ts": "export let a: any;\n"}).findings]
    assert codes == ["lint/no-explicit-any"]


def test_code_that_does_not_parse_is_not_lints_to_tell(lint_by_eslint: Lint) -> None:
    files = {"convex/a.ts": "export const a = (;\n", "convex/b.ts": "export const b: any = 1;\n"}
    assert [f.path for f in lint_by_eslint(files).findings] == ["convex/b.ts"]


def test_nesting_without_measure_is_the_answers_fault(lint_by_eslint: Lint) -> None:
    brackets = {"convex/a.ts": "[" * 4000 + "]" * 4000}
    codes = {found.code for found in lint_by_eslint(brackets).findings}
    assert codes == {"lint/resource-limit"}


def test_a_type_bomb_is_the_answers_fault(
    lint_by_eslint: Lint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ends as it does at the real limit, only sooner.
    monkeypatch.setattr(lint_eslint, "CPU_SECONDS", 5)
    bomb = """\
type Orders<T, K = T> =
  [T] extends [never] ? [] : K extends K ? [K, ...Orders<Exclude<T, K>>] : never;
export const f = async (order: Orders<"a" | "b" | "c" | "d" | "e" | "f" | "g" | "h" | "i" | "j">) =>
  await order;
"""
    codes = [found.code for found in lint_by_eslint({"convex/a.ts": bomb}).findings]
    assert codes == ["lint/resource-limit"]


def test_an_eslint_that_does_not_run_is_not_the_answers_fault(
    lint_by_eslint: Lint, eslint: Eslint, tmp_path: Path
) -> None:
    broken = Eslint(tmp_path, eslint.node, eslint.rules_plugin, eslint.versions)
    with pytest.raises(InfrastructureError, match="ESLint"):
        lint_by_eslint({"convex/a.ts": "export const a = 1;\n"}, engine=broken)


def test_an_option_puts_eslint_in_oxlints_place(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    case = pytester.path / "cases/fundamentals/easy/minified.yaml"
    case.parent.mkdir(parents=True)
    # oxlint passes over a file of this name.
    case.write_text(
        """\
summary: A constant
prompt: Write a constant.
lint: {require: [no-explicit-any]}
reference:
  package.json: '{"name": "a", "dependencies": {"convex": "^1.48.0"}}'
  convex/a.min.ts: "export const a = 1;"
mutants:
  - name: any
    fails: lint
    code: lint/no-explicit-any
    edit: {convex/a.min.ts: [{replace: a =, with: "a: any ="}]}
"""
    )
    arguments = ("cases", "--convex-mutants", "--convex-stages", "lint")
    by_eslint = pytester.runpytest_subprocess(*arguments, "--convex-lint-engine", "eslint")
    by_eslint.assert_outcomes(passed=2)
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=1, failed=1)
    refused = pytester.runpytest_subprocess("cases", "--convex-lint-engine", "eslin")
    refused.stderr.fnmatch_lines(
        ["*--convex-lint-engine: 'eslin' is unknown; did you mean 'eslint'?"]
    )
