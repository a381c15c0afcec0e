"""What the linters say of good and of bad answers, and how much it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.toolchain.lint import tsgolint as lint_tsgolint
from pytest_convex_eval.toolchain.lint.catalogue import GROUPS, RULES, Level, resolve, select
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.run import lint
from pytest_convex_eval.toolchain.model import ToolReport
from pytest_convex_eval.toolchain.suppressions import find_suppressions
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.toolchain.checkers.conftest import Checkers


def places(report: ToolReport) -> list[str]:
    return [f"{finding.code}@{finding.location()}" for finding in report.findings]


# One violation a rule of `recommended`, and where it is.
BAD = {
    "convex/a.ts": """\
import { query, action, mutation } from "./_generated/server";
import { v } from "convex/values";
import { gone } from "./other";

export const old = query(async () => "old");
export const noArgs = query({ handler: async () => "none" });
export const promises = mutation({
  args: { text: v.string(), anything: v.any() },
  handler: async (ctx, args) => {
	/* 😀 */ ctx.db.insert("todos", { owner: "é", text: args.text, done: true });
    const id = await ctx.db.insert("todos", args.anything);
    [1].forEach(async () => { await ctx.db.delete("todos", id); });
    await 5;
    const typed: any = v.bigint();
    await ctx.db.get(id);
    await ctx.db.query("todos").filter((q) => q.eq(q.field("done"), true)).first();
    typed.call();
    return process.env.HOME;
  },
});
""",
    "convex/other.ts": "export const gone = 1;\n",
    "convex/crons.ts": """\
import { cronJobs } from "convex/server";
import { api } from "./_generated/api";
const crons = cronJobs();
crons.daily("top", { hourUTC: 3, minuteUTC: 0 }, api.a.promises, { text: "", anything: 1 });
export default crons;
""",
    "convex/schema.ts": """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  todos: defineTable({ owner: v.string(), text: v.string(), done: v.boolean() })
    .index("short", ["owner"])
    .index("same", ["owner", "done"])
    .index("again", ["owner", "done"]),
});
""",
}
BAD_PLACES = {
    "@convex-dev/no-old-registered-function-syntax@convex/a.ts:5:20": "error",
    "@convex-dev/require-args-validator@convex/a.ts:5:20": "error",
    "@convex-dev/require-args-validator@convex/a.ts:6:29": "error",
    "lint/no-unused-vars@convex/a.ts:1:17": "warning",
    "lint/no-unused-vars@convex/a.ts:3:10": "warning",
    "lint/no-floating-promises@convex/a.ts:10:10": "error",
    "lint/no-unsafe-argument@convex/a.ts:11:45": "warning",
    "lint/no-misused-promises@convex/a.ts:12:26": "error",
    "lint/await-thenable@convex/a.ts:13:11": "error",
    "lint/no-explicit-any@convex/a.ts:14:18": "warning",
    "lint/no-deprecated@convex/a.ts:14:26": "warning",
    "@convex-dev/explicit-table-ids@convex/a.ts:15:11": "warning",
    "@convex-dev/no-filter-in-query@convex/a.ts:16:33": "warning",
    "lint/no-unsafe-call@convex/a.ts:17:5": "warning",
    "lint/no-unsafe-member-access@convex/a.ts:17:11": "warning",
    "@convex-dev/no-process-env@convex/a.ts:18:12": "warning",
    "@convex-dev/no-top-of-hour-crons@convex/crons.ts:4:34": "warning",
    "@convex-dev/no-duplicate-indexes/prefix@convex/schema.ts:5:6": "warning",
    "@convex-dev/no-duplicate-indexes@convex/schema.ts:7:6": "error",
    "convex-eval/internal-targets@convex/crons.ts:4:50": "warning",
    "convex-eval/unused-index@convex/schema.ts:5:6": "warning",
    "convex-eval/unused-index@convex/schema.ts:6:6": "warning",
    "convex-eval/unused-index@convex/schema.ts:7:6": "warning",
}


@pytest.mark.parametrize("profile", ["correctness", "recommended", "strict"])
def test_a_good_backend_has_no_findings(
    checkers: Checkers, good_backend: Files, profile: LintProfile
) -> None:
    # Nobody is logged in there, which is what `auth` is about.
    report = checkers.lint(good_backend, profile, off=frozenset({"auth"}))
    assert report.findings == ()
    assert '"number_of_files": 7' in report.output
    assert report.cpu_seconds > 0


def test_each_mistake_is_found_at_its_place(checkers: Checkers) -> None:
    report = checkers.lint(BAD)
    found = dict(zip(places(report), (f.severity for f in report.findings), strict=True))
    assert found == BAD_PLACES
    assert all(finding.message and finding.hint and finding.excerpt for finding in report.findings)
    # Neither the label that tells messages apart nor advice that nobody can follow.
    assert not any(finding.message.startswith("[") for finding in report.findings)
    assert not any("type-aware" in finding.message for finding in report.findings)


def test_what_convexs_own_components_do_with_promises_is_no_error(quick: Checkers) -> None:
    code = """\
import { mutation } from "./_generated/server";
export const tidy = mutation({
  args: {},
  handler: async (ctx) => {
    const todos = await ctx.db.query("todos").take(10);
    await Promise.all(todos.map((t) => (t.done ? ctx.db.delete("todos", t._id) : null)));
  },
});
interface Store { get(key: string, found: (value: string) => void): void }
export class Own implements Store {
  async get(key: string, found: (value: string) => void): Promise<void> {
    found(await Promise.resolve(key));
  }
}
"""
    report = quick.lint({"convex/schema.ts": BAD["convex/schema.ts"], "convex/a.ts": code})
    found = {f.code: f.severity for f in report.findings if f.path == "convex/a.ts"}
    assert found == {"lint/await-thenable/aggregator": "warning"}


def test_columns_count_characters(quick: Checkers) -> None:
    (finding,) = [f for f in quick.lint(BAD).findings if f.code == "lint/no-floating-promises"]
    assert finding.excerpt is not None
    assert finding.column is not None
    assert finding.excerpt[finding.column - 1 :].startswith("ctx.db.insert")


def test_correctness_holds_the_errors_alone(quick: Checkers) -> None:
    report = quick.lint(BAD, "correctness")
    assert set(places(report)) == {p for p, level in BAD_PLACES.items() if level == "error"}
    assert {finding.severity for finding in report.findings} == {"error"}


def test_strict_adds_the_groups_and_counts_more(quick: Checkers) -> None:
    code = """\
import { query } from "./_generated/server";
export const all = query({ args: {}, handler: (ctx) => ctx.db.query("todos").collect() });
"""
    report = quick.lint({**BAD, "convex/all.ts": code, "convex/a.ts": ""}, "strict")
    severities = {finding.code: finding.severity for finding in report.findings}
    assert severities["@convex-dev/no-collect-in-query"] == "error"
    assert severities["convex-eval/returns-validator"] == "error"
    assert severities["@convex-dev/no-duplicate-indexes/prefix"] == "error"
    assert severities["@convex-dev/no-top-of-hour-crons"] == "warning"


def test_a_case_requires_and_switches_off_rules_and_groups(quick: Checkers) -> None:
    code = """\
import { query } from "./_generated/server";
export const all = query({ handler: (ctx) => ctx.db.query("todos").collect() });
"""
    report = quick.lint(
        {"convex/a.ts": code},
        require=frozenset({"cost", "require-access-control"}),
        off=frozenset({"@convex-dev/require-args-validator"}),
    )
    assert {finding.code: finding.severity for finding in report.findings} == {
        "@convex-dev/no-collect-in-query": "error",
        "@convex-dev/require-access-control": "error",
    }


@pytest.mark.parametrize(
    "comment",
    [
        "// eslint-disable-next-line",
        "/* eslint-disable */",
        "/* oxlint-disable typescript/no-explicit-any */",
        "// oxlint-disable-next-line typescript/no-explicit-any",
        "/* eslint typescript/no-explicit-any: off */",
    ],
)
def test_an_inline_suppression_neither_works_nor_passes_unseen(
    quick: Checkers, comment: str
) -> None:
    files = {"convex/a.ts": f"{comment}\nexport const a: any = 1;\n"}
    assert places(quick.lint(files)) == ["lint/no-explicit-any@convex/a.ts:2:17"]
    # A comment that configures a rule does not work in oxlint: nothing to report.
    assert len(find_suppressions(files)) == (0 if comment.startswith("/* eslint t") else 1)


def test_oxlint_would_have_obeyed_the_suppression(checkers: Checkers) -> None:
    workspace = checkers.lay_out({"package.json": "{}", "convex/a.ts": ""})
    code = "// eslint-disable-next-line\nexport const a: any = 1;\n"
    (workspace.root / "convex" / "a.ts").write_text(code)
    scratch = checkers.folder / "scratch"
    report = lint(
        checkers.toolchain,
        workspace.root,
        profile="recommended",
        scratch=scratch,
        deadline_seconds=HANG_SECONDS,
    )
    assert report.findings == ()


def test_an_answers_ignore_files_hide_nothing(checkers: Checkers) -> None:
    files = {
        ".gitignore": "convex/\n*.ts\n",
        ".eslintignoreX": "convex/\n",
        "convex/-a (1).ts": "export const a: any = 1;\n",
        "convex/.hidden/b.tsx": "export const a: any = 1;\n",
    }
    assert places(checkers.lint(files)) == [
        "lint/no-explicit-any@convex/-a (1).ts:1:17",
        "lint/no-explicit-any@convex/.hidden/b.tsx:1:17",
    ]


SOME_ANY = "export const a: any = 1;\n"


@pytest.mark.parametrize(
    "name",
    ["a.mts", "a.cts", "a.tsx", "a.test.ts", "dist/a.ts", "build/min.ts", "amin.ts"],
)
def test_every_kind_of_file_is_linted(quick: Checkers, name: str) -> None:
    assert places(quick.lint({f"convex/{name}": SOME_ANY})) == [
        f"lint/no-explicit-any@convex/{name}:1:17"
    ]


@pytest.mark.parametrize("name", ["a.min.ts", "a-min.mjs", "by_min.tsx", "a.min.d.ts"])
def test_a_file_that_oxlint_passes_over_is_named(quick: Checkers, name: str) -> None:
    report = quick.lint({f"convex/{name}": SOME_ANY, "convex/z.ts": SOME_ANY, "convex/e.js": ""})
    assert places(report) == [
        f"lint/not-linted@convex/{name}",
        "lint/no-explicit-any@convex/z.ts:1:17",
    ]
    assert report.findings[0].severity == "warning"


def test_code_that_does_not_parse_is_not_lints_to_tell(checkers: Checkers) -> None:
    files = {
        "convex/a.ts": "export const a = (;\n",
        "convex/ambient.d.ts": SOME_ANY,
        "convex/b.ts": "export const b: any = 1;\n",
    }
    assert places(checkers.lint(files)) == ["lint/no-explicit-any@convex/b.ts:1:17"]


def test_an_answer_without_code_starts_nothing(checkers: Checkers) -> None:
    without = replace(checkers, toolchain=replace(checkers.toolchain, node=Path("/missing")))
    assert without.lint({}).findings == ()


def test_a_type_bomb_is_the_answers_fault(
    checkers: Checkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ends as it does at the real limit, only sooner.
    monkeypatch.setattr(lint_tsgolint, "ADDRESS_SPACE_BYTES", 1_000_000_000)
    bomb = """\
type Orders<T, K = T> =
  [T] extends [never] ? [] : K extends K ? [K, ...Orders<Exclude<T, K>>] : never;
export const f = async (order: Orders<"a" | "b" | "c" | "d" | "e" | "f" | "g" | "h" | "i" | "j">) =>
  await order;
"""
    report = checkers.lint({"convex/a.ts": bomb})
    assert places(report) == ["lint/resource-limit@"]


def test_a_linter_that_does_not_run_is_not_the_answers_fault(checkers: Checkers) -> None:
    missing = checkers.folder / "missing"
    toolchains = (
        replace(checkers.toolchain, node=missing),
        replace(checkers.toolchain, oxlint=missing),
        replace(checkers.toolchain, tsgolint=missing),
        replace(checkers.toolchain, tsgolint=Path("/bin/false")),
        replace(checkers.toolchain, lint_plugin=missing),
    )
    for number, toolchain in enumerate(toolchains):
        folder = checkers.folder / str(number)
        folder.mkdir()
        broken = replace(checkers, toolchain=toolchain, folder=folder)
        with pytest.raises(InfrastructureError, match="oxlint"):
            broken.lint({"convex/a.ts": "export const a = 1;\n"})


def test_every_rule_exists_and_reports_under_our_code(quick: Checkers) -> None:
    """oxlint refuses a configuration with a rule that it does not know."""
    everything = frozenset(rule.code for rule in RULES)
    report = quick.lint({"convex/a.ts": "export const a = 1;\n"}, require=everything)
    assert report.findings == ()


def test_profiles_grow() -> None:
    order: dict[Level, int] = {"off": 0, "warning": 1, "error": 2}
    for rule in RULES:
        levels = [order[rule.level(p)] for p in ("correctness", "recommended", "strict")]
        assert levels == sorted(levels), rule.code


def test_names_are_codes_bare_names_or_groups() -> None:
    assert resolve("lint/no-floating-promises") == ["lint/no-floating-promises"]
    assert resolve("no-floating-promises") == ["lint/no-floating-promises"]
    assert resolve("no-collect-in-query") == ["@convex-dev/no-collect-in-query"]
    assert set(GROUPS) == {"auth", "cost"}
    auth = {"auth-config", "authentication", "authorization", "user-id-argument"}
    assert set(resolve("auth")) == {f"convex-eval/{name}" for name in auth}


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match="no-floating-promises"):
        select("recommended", off=["no-floating-promise"], require=[])
    with pytest.raises(ValueError, match="'xyzzy'"):
        select("recommended", off=[], require=["xyzzy"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "export const a = query({ args: {}, handler: async () => 1 });\n"
            "export const b = query({ args: {}, handler: async (ctx) => a(ctx, {}) });\n",
            "TS2349",
        ),
        (
            "export const a = internalQuery({ args: {}, handler: async () => 1 });\n"
            "export const b = action({ args: {}, handler: (ctx): Promise<number> => "
            "ctx.runQuery(a, {}) });\n",
            "TS2345",
        ),
        (
            "export const a = action({ args: {}, handler: async (ctx) => ctx.db });\n",
            "TS2339",
        ),
        (
            "export const a = query({ args: {}, handler: async (ctx) => "
            "await ctx.db.query('todos').withIndex('by_text').first() });\n",
            "TS2345",
        ),
    ],
    ids=["calls a registered function", "runs a function itself", "db in an action", "no index"],
)
def test_some_pitfalls_are_typechecks_to_tell(
    quick: Checkers, todo_schema: Files, code: str, expected: str
) -> None:
    imports = 'import { action, internalQuery, query } from "./_generated/server";\n'
    report = quick.types({**todo_schema, "convex/a.ts": imports + code})
    assert expected in {finding.code for finding in report.findings}
