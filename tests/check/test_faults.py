"""Projects with one fault each: it is found, where it is, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_convex_eval.check.run import CheckOptions
from pytest_convex_eval.check.selection import CHECK_STAGES
from pytest_convex_eval.outcomes import Verdict
from tests.check.conftest import APP, NOTES, PACKAGE, SCHEMA, Check, snapshot, told, write

Fault = tuple[Mapping[str, str], tuple[str, str, str | None, int | None]]

FAULTS: Mapping[str, Fault] = {
    "a wrong type": (
        {"convex/notes.ts": NOTES.replace('q.eq("author", author)', 'q.eq("author", 1)')},
        ("typecheck", "TS2345", "convex/notes.ts", 9),
    ),
    "an index that is not there": (
        {"convex/schema.ts": SCHEMA.replace('.index("by_author", ["author"])', "")},
        ("typecheck", "TS2345", "convex/notes.ts", 9),
    ),
    "a file that does not parse": (
        {"convex/notes.ts": NOTES.replace("handler: async", "handler async")},
        ("syntax", "syntax/esbuild", "convex/notes.ts", 6),
    ),
    "a package that is not declared": (
        {"convex/more.ts": 'import { z } from "zod";\nexport const a = z;\n'},
        ("typecheck", "TS2307", "convex/more.ts", 1),
    ),
    "no convex in package.json": (
        {"package.json": '{"name": "app", "dependencies": {}}\n'},
        ("package", "package/convex-missing", "package.json", None),
    ),
    "a package.json that is no JSON": (
        {"package.json": '{"dependencies": {"convex": "^1.48.0",}}\n'},
        ("package", "package/invalid-json", "package.json", 1),
    ),
    "a version that was never published": (
        {"package.json": PACKAGE.replace("^1.48.0", "^99.0.0")},
        ("package", "package/unsatisfiable-range", "package.json", 1),
    ),
    "a wrong type in what the functions import": (
        {
            "convex/notes.ts": NOTES + 'export { shout } from "../src/text/shout";\n',
            "src/text/shout.ts": 'export const shout: number = "a";\n',
            "src/unused.ts": 'export const unused: number = "a";\n',
        },
        ("typecheck", "TS2322", "src/text/shout.ts", 1),
    ),
    "an index that Convex refuses": (
        {"convex/schema.ts": SCHEMA.replace("]),", ']).index("by_id", ["text"]),')},
        ("deploy", "deploy/IndexNameReserved", "convex/schema.ts", 5),
    ),
    "a promise that nobody waits for": (
        {
            "convex/more.ts": """\
import { internalMutation } from "./_generated/server";

export const add = internalMutation({
  args: {},
  handler: async (ctx) => {
    ctx.db.insert("notes", { author: "Ada", text: "hi" });
    return null;
  },
});
"""
        },
        ("lint", "lint/no-floating-promises", "convex/more.ts", 6),
    ),
    "a comment that switches a check off": (
        {"convex/notes.ts": NOTES + "// eslint-disable-next-line\nexport const a = 1;\n"},
        ("lint", "lint/suppression", "convex/notes.ts", 12),
    ),
    "a markdown fence": (
        {"convex/notes.ts": "```ts\n" + NOTES + "```\n"},
        ("syntax", "syntax/markdown-fence", "convex/notes.ts", 1),
    ),
    "a variable that is not set": (
        {
            "convex/auth.config.ts": "export default {\n"
            '  providers: [{ domain: process.env.ISSUER!, applicationID: "convex" }],\n};\n',
            "convex/process.d.ts": "declare const process: { env: Record<string, string> };\n",
        },
        ("deploy", "deploy/AuthConfigMissingEnvironmentVariable", "convex/auth.config.ts", 2),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_where_it_is(name: str, check: Check, tmp_path: Path) -> None:
    changes, expected = FAULTS[name]
    project = write(tmp_path, {**APP, **changes})
    before = snapshot(project)
    checked = check(project)
    found = told(checked)
    assert expected in found
    assert found[0][0] == expected[0]
    assert checked.verdict is Verdict.FAILED
    assert checked.exit_code == 1
    assert snapshot(project) == before


def test_a_project_without_a_fault_passes_every_stage(check: Check, tmp_path: Path) -> None:
    checked = check(write(tmp_path, APP))
    assert told(checked) == []
    assert {stage.stage: stage.status for stage in checked.results} == dict.fromkeys(
        CHECK_STAGES, "passed"
    )
    assert checked.exit_code == 0


def test_a_variable_that_is_given_is_there(check: Check, tmp_path: Path) -> None:
    changes, _ = FAULTS["a variable that is not set"]
    options = CheckOptions(env={"ISSUER": "https://issuer.example"})
    assert check(write(tmp_path, {**APP, **changes}), options).exit_code == 0


def test_comments_that_switch_checks_off_are_obeyed_where_they_may_be(
    check: Check, tmp_path: Path
) -> None:
    wrong = "// @ts-expect-error on purpose\nexport const a: number = 'a';\n"
    project = write(tmp_path, {**APP, "convex/notes.ts": NOTES + wrong})
    assert {code for _, code, _, _ in told(check(project))} == {"TS2322", "lint/suppression"}
    assert told(check(project, CheckOptions(obey_suppressions=True))) == []


def test_stages_can_be_chosen(check: Check, tmp_path: Path) -> None:
    changes, expected = FAULTS["a wrong type"]
    project = write(tmp_path, {**APP, **changes})
    assert [one.stage for one in check(project, CheckOptions(("syntax",))).results] == ["syntax"]
    (result,) = check(project, CheckOptions(("typecheck",))).results
    assert (result.stage, result.errors[0].code) == expected[:2]


def test_a_stage_that_had_to_be_left_out_is_no_pass(check: Check, tmp_path: Path) -> None:
    project = write(tmp_path, {"package.json": PACKAGE, "convex/README.md": "Nothing yet.\n"})
    checked = check(project, CheckOptions(("syntax",)))
    assert checked.exit_code == 2
    assert "syntax was not checked" in checked.message
