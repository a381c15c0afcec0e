"""Suppression comments: found where a tool would obey them, disarmed, and nothing else touched."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain.lexer import spans
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.suppressions import judged_suppressions
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.suppressions import find_suppressions, neutralise
from tests.patience import HANG_SECONDS

DIRECTIVES = (
    "@ts-ignore",
    "@ts-nocheck",
    "@ts-expect-error",
    "eslint-disable",
    "eslint-disable-line",
    "eslint-disable-next-line",
    "oxlint-disable",
    "oxlint-disable-next-line no-debugger",
    "@TS-NoCheck",
)


def found(text: str, path: str = "convex/a.ts") -> list[str]:
    return [found.finding.location() for found in find_suppressions({path: text})]


@pytest.mark.parametrize("directive", DIRECTIVES)
@pytest.mark.parametrize(
    ("before", "after", "column"),
    [
        ("// ", "", 4),
        ("///", " because", 4),
        ("/* ", " */", 4),
        ("/** ", " no-x */", 5),
        ("\tf('😀'); //", "", 12),
    ],
)
def test_a_directive_in_a_comment_is_a_finding(
    directive: str, before: str, after: str, column: int
) -> None:
    text = f"const a = 1;\n{before}{directive}{after}\n"
    (suppression,) = find_suppressions({"convex/a.ts": text})
    finding = suppression.finding
    assert (finding.code, finding.severity) == ("lint/suppression", "error")
    assert finding.location() == f"convex/a.ts:2:{column}"
    assert find_suppressions({"convex/a.ts": neutralise("convex/a.ts", text)}) == ()


@pytest.mark.parametrize(
    "text",
    [
        'const a = "// @ts-ignore";',
        "const a = '/* eslint-disable */';",
        "const a = `\n// @ts-nocheck\n${`// @ts-ignore`}\n`;",
        "const a = /\\/\\/ @ts-ignore/;",
        "const a = /[/*] eslint-disable/.test(b) ? 1 / 2 : 3;",
        "if (a) /'/.exec(b); const c = '// @ts-ignore';",
    ],
)
def test_a_directive_in_a_literal_is_none_and_stays(text: str) -> None:
    assert found(text) == []
    assert neutralise("convex/a.ts", text) == text


@pytest.mark.parametrize(
    "comment",
    [
        "// // @ts-ignore",
        "// // eslint-disable-next-line @typescript-eslint/no-explicit-any",
        "// * @ts-nocheck",
        "/* // @ts-expect-error */",
        "/*\n * // eslint-disable\n */",
        "// -- oxlint-disable",
    ],
)
def test_a_directive_in_code_that_is_commented_out_is_none(comment: str) -> None:
    assert found(f"{comment}\nexport const a = 1;\n") == []


@pytest.mark.parametrize(
    ("comment", "rules"),
    [
        ("// @ts-ignore no-explicit-any", ()),
        ("/* eslint-disable */", ()),
        ("// eslint-disable-next-line -- the API is untyped", ()),
        (
            "// eslint-disable-line a, @typescript-eslint/b -- a, reason",
            ("a", "@typescript-eslint/b"),
        ),
        ("/* oxlint-disable a,\n b */", ("a",)),
    ],
)
def test_what_a_directive_switches_off_is_read(comment: str, rules: tuple[str, ...]) -> None:
    (suppression,) = find_suppressions({"convex/a.ts": comment})
    assert suppression.rules == rules


@pytest.mark.parametrize(
    ("directive", "profile", "severity"),
    [
        ("@ts-expect-error", "recommended", "error"),
        ("eslint-disable", "recommended", "error"),
        ("eslint-disable-line @typescript-eslint/no-floating-promises", "recommended", "error"),
        ("eslint-disable-line no-console, convex-eval/http-routes", "recommended", "error"),
        ("oxlint-disable-line typescript/no-explicit-any", "recommended", "warning"),
        ("oxlint-disable-line typescript/no-explicit-any", "strict", "error"),
        ("eslint-disable-line no-console, max-lines -- it is long", "strict", "warning"),
        ("eslint-disable-line @convex-dev/no-filter-in-query", "correctness", "warning"),
    ],
)
def test_a_suppression_counts_as_much_as_what_it_hides(
    directive: str, profile: LintProfile, severity: str
) -> None:
    (finding,) = judged_suppressions({"convex/a.ts": f"// {directive}\n"}, profile)
    assert (finding.code, finding.severity) == ("lint/suppression", severity)


def test_a_suppression_of_what_the_case_requires_or_leaves_off_counts_as_that() -> None:
    files = {"convex/a.ts": "// eslint-disable-line no-explicit-any\n"}
    (required,) = judged_suppressions(files, "recommended", require=["no-explicit-any"])
    (left_off,) = judged_suppressions(files, "strict", off=["no-explicit-any"])
    assert (required.severity, left_off.severity) == ("error", "warning")


def test_a_directive_mentioned_in_prose_is_no_finding() -> None:
    assert found("// we never write @ts-ignore here\n/* nor eslint-disable */\n") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("const a = b / c; // @ts-ignore", "1:21"),
        ("const a = (b) / c; // @ts-ignore / d", "1:23"),
        ("const a = b! / c; // @ts-ignore / d", "1:22"),
        ("const a = b++ / c; // @ts-ignore / d", "1:23"),
        ("const a = { b: 1 } / 2; // @ts-ignore / d", "1:28"),
        ("const a = b[0] / `${c}` / 2; // @ts-ignore / d", "1:33"),
        ("const a = `${{ b: '}' }}`; // @ts-ignore", "1:31"),
        ("const a = '\\'; // x'; // @ts-ignore", "1:26"),
        ("const a = 'unterminated\n// @ts-ignore", "2:4"),
        ("const a = /[/'`]/; // @ts-ignore", "1:23"),
        ("return /`/; // @ts-ignore", "1:16"),
        ("x.return / 2; // @ts-ignore / 3", "1:18"),
        ("function f() {}\n/'/.test(x); // @ts-ignore", "2:17"),
        ("/**\n * Words.\n * @ts-ignore\n */", "3:4"),
        ("#!/usr/bin/env `node`\n// @ts-ignore", "2:4"),
    ],
)
def test_comments_are_told_from_what_looks_like_them(text: str, place: str) -> None:
    assert found(text) == [f"convex/a.ts:{place}"]


@pytest.mark.parametrize(
    "text",
    [
        "const a = <p>don't `</p>; // @ts-ignore",
        "const a = <p title='`'>{/* @ts-ignore */ b}</p>;",
        "const a = <><b.c d={`${e}`} /> it's // text </>; /* @ts-ignore */",
        "const f = <T,>(x: T) => x; // @ts-ignore",
        "const f = <T extends U>(x: T) => x; // @ts-ignore",
        "const a = b < c && d > e; const s = '`'; // @ts-ignore",
        "const a = <p>// @ts-ignore</p>; // @ts-ignore",
    ],
)
def test_jsx_text_is_neither_comment_nor_string(text: str) -> None:
    assert len(found(text, "convex/a.tsx")) == 1


def test_only_source_files_are_read() -> None:
    files = {"README.md": "// @ts-ignore", "convex/data.json": '"// eslint-disable"'}
    assert find_suppressions(files) == ()
    assert neutralise("README.md", "// @ts-ignore") == "// @ts-ignore"


# What a lexer stumbles over, more often than letters would come up with it.
MARKS = "` ${ } { ( ) [ ] / * // /* */ ' \" \\ < > </ <a => = ++ ! # ; : ? . ``` ~~~ &lt; 😀 a 1"
WORDS = "return if for await @ts-ignore eslint-disable"
pieces = st.sampled_from([*MARKS.split(), *WORDS.split(), " ", "\n", "\r\n", "\u2028"])
texts = st.one_of(st.lists(pieces, max_size=40).map("".join), st.text(max_size=80))


@given(texts, st.booleans())
def test_spans_cover_any_text_without_gaps(text: str, jsx: bool) -> None:
    found = list(spans(text, jsx=jsx))
    assert "".join(text[span.start : span.end] for span in found) == text
    assert all(span.start < span.end for span in found)
    assert all(a.end == b.start for a, b in pairwise(found))


@given(texts, st.sampled_from(["convex/a.ts", "convex/a.tsx"]))
def test_neutralising_keeps_every_length_and_is_final(text: str, path: str) -> None:
    neutral = neutralise(path, text)
    assert len(neutral) == len(text)
    assert len(neutral.encode("utf-16", "surrogatepass")) == len(
        text.encode("utf-16", "surrogatepass")
    )
    assert neutralise(path, neutral) == neutral
    assert find_suppressions({path: neutral}) == ()


@given(texts)
def test_literals_are_never_changed(text: str) -> None:
    neutral = neutralise("convex/a.ts", text)
    kept = [
        (neutral if span.kind == "comment" else text)[span.start : span.end] for span in spans(text)
    ]
    assert "".join(kept) == neutral


def test_real_programs_without_their_comments_are_the_same_programs(
    toolchain: Toolchain, dependencies: DependencySet, tmp_path: Path
) -> None:
    """Were a comment confused with anything else, esbuild would see a difference."""
    package = dependencies.node_modules / "convex" / "src"
    sources = [path for path in sorted(package.rglob("*.ts*")) if ".d." not in path.name]
    assert len(sources) > 100
    comments = 0
    for number, source in enumerate(sources):
        text = source.read_text()
        blanked = []
        for span in spans(text, jsx=source.suffix == ".tsx"):
            part = text[span.start : span.end]
            comments += span.kind == "comment"
            blanked.append(re.sub(r"[^\n]", " ", part) if span.kind == "comment" else part)
        for kind, content in (("with", text), ("without", "".join(blanked))):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{number}{source.suffix}").write_text(content)
    assert comments > 1000
    for kind in ("with", "without"):
        options = ["--minify-whitespace", "--legal-comments=none", "--tsconfig-raw={}"]
        inputs = map(str, sorted((tmp_path / kind).iterdir()))
        done = run(
            [str(toolchain.esbuild), *inputs, f"--outdir={tmp_path}/out-{kind}", *options],
            cwd=tmp_path,
            env=environment(home=tmp_path),
            limits=Limits(wall_seconds=HANG_SECONDS),
        )
        assert done.ok, done.stderr
    for one in (tmp_path / "out-with").iterdir():
        assert one.read_text() == (tmp_path / "out-without" / one.name).read_text()
