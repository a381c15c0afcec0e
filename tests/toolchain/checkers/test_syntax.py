"""Which texts parse, and where those that do not are wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.toolchain.syntax import check_syntax
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.toolchain.checkers.conftest import Checkers

# Code, what it is found by, in which line, and words of what is said.
BROKEN = {
    "missing brace": (
        "export function f() {\n  return 1;\n",
        "syntax/esbuild",
        3,
        "Unexpected end of file",
    ),
    "missing parenthesis": (
        "export const a = (1 + 2;\n",
        "syntax/esbuild",
        1,
        'Expected ")" but found ";"',
    ),
    "stray at signs": ("export const a = @@;\n", "syntax/esbuild", 1, 'found "@"'),
    "await outside of async": (
        "export function f() {\n  await g();\n}\ndeclare const g: () => Promise<void>;\n",
        "syntax/esbuild",
        2,
        '"await" can only be used',
    ),
    "const declared twice": (
        "const a = 1;\nconst a = 2;\nexport {};\n",
        "syntax/esbuild",
        2,
        '"a" has already been declared',
    ),
    "keyword as a name": ("const class = 1;\n", "syntax/esbuild", 1, 'found "class"'),
    "missing comma": ("export const a = { b: 1 c: 2 };\n", "syntax/esbuild", 1, 'found "c"'),
    "unterminated string": ('export const a = "abc;\n', "syntax/esbuild", 1, "Unterminated string"),
    "JSX in a .ts file": (
        "export const a = <div>hi</div>;\n",
        "syntax/esbuild",
        1,
        "Unterminated regular expression",
    ),
    "missing type": ("let a: = 1;\n", "syntax/esbuild", 1, 'Unexpected "="'),
    "literal dots": ("query({ ... });\n", "syntax/esbuild", 1, 'Unexpected "}"'),
    "const without a value": ("const a;\n", "syntax/esbuild", 1, "must be initialized"),
    "rest that is not last": ("export function f(...a, b) {}\n", "syntax/esbuild", 1, 'found ","'),
    "import inside of a function": (
        'function f() { import x from "y"; }\n',
        "syntax/esbuild",
        1,
        'Unexpected "x"',
    ),
    "octal number": ("export const a = 010;\n", "syntax/esbuild", 1, "octal literals"),
    "export declared twice": (
        "export const a = 1;\nconst b = 2;\nexport { b as a };\n",
        "syntax/esbuild",
        3,
        "Multiple exports",
    ),
    "top-level return": (
        "export {};\nif (1 > 2) return;\n",
        "syntax/esbuild",
        2,
        "Top-level return",
    ),
    "stray break": ("break;\n", "syntax/esbuild", 1, 'Cannot use "break"'),
    "private name outside of a class": (
        "export const a = this.#x;\n",
        "syntax/esbuild",
        1,
        'Private name "#x"',
    ),
    "markdown fence": (
        "```typescript\nexport const a = 1;\n```\n",
        "syntax/markdown-fence",
        1,
        "a markdown fence was left",
    ),
    "HTML entity": (
        "for (let i = 0; i &lt; 3; i++) {}\n",
        "syntax/html-entity",
        1,
        "the HTML entity &lt;",
    ),
}

SOUND = {
    "top-level return in a script": "if (1 > 2) return;\n",
    "declare enum and namespace": "declare enum E { A }\nnamespace N { export const a = 1; }\n",
    "fence in a comment": "/*\n```ts\ncode\n```\n*/\nexport {};\n",
    "fence in a string": 'export const a = "\\\n```";\n',
    "fence in a template": "export const a = `\n\\`\\`\\`ts\n`;\n",
    "entities in literals": "export const a = [\"&lt;\", '&gt;', `&amp;`, /&quot;/]; // &#39;\n",
    "bitwise and": "const lt = 1;\nexport const a = 3 & lt;\n",
    "entity in JSX text": "export const a = <p title='&lt;'>don't `&nbsp;` {1} &lt;</p>;\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_code_is_found_at_its_line(checkers: Checkers, name: str) -> None:
    code, expected, line, words = BROKEN[name]
    finding = checkers.syntax({"convex/a.ts": code}).findings[0]
    assert (finding.code, finding.path, finding.line) == (expected, "convex/a.ts", line)
    assert finding.severity == "error"
    assert words in finding.message


@pytest.mark.parametrize("name", SOUND)
def test_sound_code_is_left_alone(checkers: Checkers, name: str) -> None:
    path = "convex/a.tsx" if "JSX" in name else "convex/a.ts"
    assert checkers.syntax({path: SOUND[name]}).findings == ()


def test_a_good_backend_has_no_findings(checkers: Checkers, good_backend: Files) -> None:
    report = checkers.syntax(good_backend)
    assert report.findings == ()
    assert report.output == ""


@pytest.mark.parametrize(
    ("code", "line", "column"),
    [
        ('\tconst e = "😀é"; let 1x = 2;\n', 1, 23),
        ("/* 😀 */ a &lt; b;\n", 1, 11),
        ("const a = 1;\r\n\u2028\t😀 = @@;\n", 3, 2),
        ("const a = `${`b`}`;\n\t```ts\n", 2, 2),
        ("\ufeffconst a = @@;\n", 1, 12),
    ],
)
def test_columns_count_characters(checkers: Checkers, code: str, line: int, column: int) -> None:
    finding = checkers.syntax({"convex/a.ts": code}).findings[0]
    assert (finding.line, finding.column) == (line, column)


def test_a_fence_around_the_whole_file_is_found_twice_and_hides_nothing(checkers: Checkers) -> None:
    code = "Here's the `file`:\n```ts\nexport const a = 1 &lt; 2;\n```\n"
    findings = checkers.syntax({"convex/a.ts": code}).findings
    leftovers = [(finding.code, finding.line) for finding in findings][-3:]
    assert leftovers == [
        ("syntax/markdown-fence", 2),
        ("syntax/html-entity", 3),
        ("syntax/markdown-fence", 4),
    ]


def test_every_broken_file_is_named_once_and_in_order(checkers: Checkers) -> None:
    findings = checkers.syntax(
        {
            "convex/b.ts": "let a: = 1;\nlet b: = 2;\n",
            "convex/ok.ts": "export {};\n",
            "convex/-a (1).js": "const a = {;\n",
            "README.md": "```\nnot code\n```\n",
            "convex/types.d.ts": "export const a: number;\n",
        }
    ).findings
    assert [finding.path for finding in findings] == ["convex/b.ts", "convex/-a (1).js"]


def test_a_malformed_tsconfig_beside_the_files_changes_nothing(checkers: Checkers) -> None:
    workspace = checkers.lay_out({"convex/a.ts": "export {};\n"})
    (workspace.root / "convex" / "tsconfig.json").write_text("{}{")
    scratch = checkers.folder / "scratch"
    scratch.mkdir()
    report = check_syntax(
        checkers.toolchain,
        workspace.root,
        workspace.files,
        scratch=scratch,
        deadline_seconds=HANG_SECONDS,
    )
    assert report.findings == ()


def test_nothing_to_parse_starts_nothing(checkers: Checkers) -> None:
    without = replace(checkers, toolchain=replace(checkers.toolchain, esbuild=Path("/missing")))
    assert without.syntax({"package.json": "{}"}).findings == ()


def test_a_parser_that_does_not_run_is_not_the_answers_fault(checkers: Checkers) -> None:
    for program in (checkers.folder / "missing", Path("/bin/false")):
        broken = replace(
            checkers,
            toolchain=replace(checkers.toolchain, esbuild=program),
            folder=checkers.folder / program.name,
        )
        broken.folder.mkdir()
        with pytest.raises(InfrastructureError, match="esbuild"):
            broken.syntax({"convex/a.ts": "export {};\n"})
