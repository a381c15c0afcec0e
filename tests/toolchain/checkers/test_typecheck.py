"""What the typecheck says of good and of bad answers, and where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.toolchain import exhaustion

if TYPE_CHECKING:
    from tests.toolchain.checkers.conftest import Checkers


def test_a_good_backend_has_no_findings(checkers: Checkers, good_backend: Files) -> None:
    report = checkers.types(good_backend)
    assert report.findings == ()
    assert report.output == ""
    assert report.cpu_seconds > 0


def test_columns_count_characters_after_a_tab_and_an_emoji(checkers: Checkers) -> None:
    report = checkers.types({"convex/a.ts": '\n\tconst e = "😀é"; export const x: number = e;\n'})
    (finding,) = report.findings
    assert (finding.code, finding.location()) == ("TS2322", "convex/a.ts:2:31")
    assert finding.excerpt == '\tconst e = "😀é"; export const x: number = e;'
    assert finding.excerpt.index("x: number") == 30
    assert finding.severity == "error"


def test_lines_end_where_ecmascript_says(quick: Checkers) -> None:
    report = quick.types({"convex/a.ts": 'export {};\r\n\rconst a = 1;\u2028const n: number = "";'})
    assert [finding.location() for finding in report.findings] == ["convex/a.ts:4:7"]


def test_the_whole_of_a_long_message_is_kept(checkers: Checkers) -> None:
    code = "const f = (x: { b: { c: string } }) => x;\nconst q = { b: { c: 2 } };\nexport default f"
    code += "(q);\n"
    (finding,) = checkers.types({"convex/a.ts": code}).findings
    assert finding.code == "TS2345"
    assert len(finding.message.splitlines()) > 1


def test_messages_name_files_as_the_answer_does(checkers: Checkers) -> None:
    files = {"convex/a.ts": 'export * from "./b";\n', "convex/b.ts": "const x = 1;\n"}
    (finding,) = checkers.types(files).findings
    assert finding.message == "File 'convex/b.ts' is not a module."


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("export const x: number = nothing;", "TS2304"),
        (
            'import { api } from "./_generated/api";\nexport const f = (): unknown => api.missing;',
            "TS2339",
        ),
        ('import left from "left-pad";\nexport default left;', "TS2307"),
        ("export const f = (x) => x;", "TS7006"),
        (
            'import { query } from "./_generated/server";\n'
            'export const q = query({ args: {}, handler: (ctx) => ctx.db.query("nope").first() });',
            "TS2345",
        ),
        (
            'import { query } from "./_generated/server";\n'
            "const q = query({ args: {}, handler: () => 1 });\nexport default q();",
            "TS2349",
        ),
        ("export const x = 1;\nexport const y = (;", "TS1109"),
    ],
)
def test_each_kind_of_mistake_has_its_code(
    quick: Checkers, todo_schema: Files, code: str, expected: str
) -> None:
    report = quick.types({**todo_schema, "convex/a.ts": code})
    assert expected in {finding.code for finding in report.findings}
    assert {finding.path for finding in report.findings} == {"convex/a.ts"}


def test_node_types_are_seen_only_where_they_are_declared(
    quick: Checkers, good_backend: Files, tmp_path: Path
) -> None:
    bare = tmp_path / "bare" / "node_modules"
    bare.mkdir(parents=True)
    for name in ("convex", "@convex-dev", "convex-helpers"):
        source = quick.dependencies.node_modules / name
        if source.exists():
            (bare / name).symlink_to(source)
    without = replace(quick, dependencies=replace(quick.dependencies, node_modules=bare))
    codes = {finding.code for finding in without.types(good_backend).findings}
    assert codes
    assert codes <= {"TS2580", "TS2591"}


def test_an_answer_without_functions_is_told_so(checkers: Checkers) -> None:
    (finding,) = checkers.types({"package.json": "{}"}).findings
    assert (finding.code, finding.path, finding.severity) == ("TS18003", None, "error")


def test_suppression_comments_do_not_work(quick: Checkers) -> None:
    code = (
        "// @ts-nocheck\n/* eslint-disable */\n"
        "// @ts-ignore\nexport const x: number = '';\n"
        "/* @ts-expect-error */\nexport const y: number = '';\n"
    )
    report = quick.types({"convex/a.ts": code})
    assert [finding.location() for finding in report.findings] == [
        "convex/a.ts:4:14",
        "convex/a.ts:6:14",
    ]


def test_a_type_bomb_is_the_answers_fault_and_ends_soon(
    checkers: Checkers, type_bomb: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ends as it does at the real limit, only sooner.
    monkeypatch.setattr(exhaustion, "ADDRESS_SPACE_BYTES", 1_000_000_000)
    report = checkers.types(type_bomb)
    assert report.findings[0].code == "typecheck/resource-limit"
    assert report.findings[0].severity == "error"


def test_errors_inside_of_a_dependency_are_warnings(checkers: Checkers) -> None:
    workspace = checkers.lay_out({"convex/a.ts": 'export { broken } from "broken";\n'})
    (workspace.root / "node_modules").unlink()
    package = workspace.root / "node_modules" / "broken"
    package.mkdir(parents=True)
    (package / "index.ts").write_text('export const broken: number = "";\n')
    (finding,) = checkers.types_of(workspace).findings
    assert (finding.code, finding.severity) == ("TS2322", "warning")


def test_a_refused_configuration_is_not_the_answers_fault(checkers: Checkers) -> None:
    workspace = checkers.lay_out({"convex/a.ts": "export const x = 1;\n"})
    config = workspace.root / "convex" / "tsconfig.json"
    config.write_text(config.read_text().replace('"Bundler"', '"Nonsense"'))
    with pytest.raises(InfrastructureError, match="tsconfig"):
        checkers.types_of(workspace)


def test_a_compiler_that_does_not_start_is_not_the_answers_fault(
    checkers: Checkers, tmp_path: Path
) -> None:
    for program in (tmp_path / "missing", Path("/bin/false")):
        broken = replace(checkers, toolchain=replace(checkers.toolchain, tsc=program))
        with pytest.raises(InfrastructureError):
            broken.types_of(checkers.lay_out({"convex/a.ts": "export {};"}, program.name))
