"""Files come out of a reply as they went in, in every notation that replies are read in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.generation.reading.scripts import ScriptState
from pytest_convex_eval.generation.reading.tags import render_files

Files = Mapping[str, str]
Notation = Callable[[Files], str]

# No deadline: the machine may be busy. No database: nothing is written into the tree.
UNHURRIED = settings(deadline=None, database=None)

# Pieces of scripts, each of which begins and ends in code. Fences stand in comments and template
# literals alone, as they do in scripts that compile.
PIECES = st.sampled_from(
    [
        "export const a = 1;\n",
        "\n",
        "/*\nUse it so:\n```ts\nq();\n```\n## convex/other.ts\n```\n*/\n",
        "/**\n * ```ts\n * q();\n * ```\n */\n",
        "// ```ts\n// ```\n",
        "export const p = `\n## convex/other.ts\n\n```ts\nx\n```\n`;\n",
        "export const p = `\\`\\`\\`ts\nx\n\\`\\`\\`\n`;\n",
        "const s = `a ${ [`b ${ {c: 1}.c } d`].map((x) => { return x; }) } e\n```\nx\n```\n`;\n",
        "const r = /[`/]`/.test(x) ? 'it\\'s `' : \"`\";\n",
        "const half = a / b; // `\nconst t = f(1) / 2 / `1`.length;\n",
        'const u = "https://a.example/*"; return /\\/\\*/u;\n',
        "const tag = x`<b>`;\nif (a) {\n  b();\n}\n",
        "#!/bin/sh\n",
    ]
)
SCRIPTS = st.lists(PIECES, min_size=1, max_size=5).map("".join)
JSON_FILES = st.dictionaries(
    st.sampled_from(["name", "dependencies", "// x"]), st.text("ab`\\/*"), max_size=2
).map(lambda data: json.dumps(data, indent=2) + "\n")
STEMS = st.lists(
    st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6})?", fullmatch=True), min_size=1, max_size=4, unique=True
)


@st.composite
def _files(draw: st.DrawFn) -> dict[str, str]:
    files = {f"convex/{stem}.ts": draw(SCRIPTS) for stem in draw(STEMS)}
    return {"package.json": draw(JSON_FILES), **files}


def language(path: str) -> str:
    return path.rpartition(".")[2]


def _blocks(name: Callable[[str, str], str]) -> Notation:
    """Blocks of code, each as `name` says of its path and language, with `@` for its content."""

    return lambda files: "".join(
        name(path, language(path)).replace("@", text) for path, text in files.items()
    )


def _as_comment(files: Files) -> str:
    return "".join(f"```{language(path)}\n// {path}\n{text}```\n" for path, text in files.items())


def _whole(fence: str, info: str, write: Notation) -> Notation:
    return lambda files: f"Here it is:\n\n{fence}{info}\n{write(files)}{fence}\n\nDone.\n"


HEADINGS = _blocks(lambda path, kind: f"## {path}\n\n```{kind}\n@```\n\n")
BLOCKS: Mapping[str, Notation] = {
    "heading": HEADINGS,
    "heading with words": _blocks(lambda path, kind: f"### 1. `{path}` (new)\n```{kind}\n@```\n"),
    "a line of its own": _blocks(lambda path, kind: f"**{path}**\n\n```{kind}\n@```\n"),
    "no language": _blocks(lambda path, _: f"## {path}\n```\n@```\n"),
    "glued to text": _blocks(lambda path, kind: f"What comes next.## {path}\n```{kind}\n@```\n"),
    "glued to a fence": lambda files: (
        _blocks(lambda path, kind: f"## {path}\n```{kind}\n@```")(files) + "\n"
    ),
    "title": _blocks(lambda path, kind: f'```{kind} title="{path}"\n@```\n'),
    "braces": _blocks(lambda path, kind: f'```{kind} {{filename: "{path}"}}\n@```\n'),
    "braces of JSON": _blocks(lambda path, kind: f'```{kind} {{"file": "{path}"}}\n@```\n'),
    "equals in braces": _blocks(lambda path, kind: f"```{kind} {{path='{path}'}}\n@```\n"),
    "colon": _blocks(lambda path, kind: f"```{kind}:{path}\n@```\n"),
    "brackets": _blocks(lambda path, kind: f"```{kind} [{path}]\n@```\n"),
    "tildes": _blocks(lambda path, kind: f"## {path}\n~~~{kind}\n@~~~\n"),
    "four": _blocks(lambda path, kind: f"## {path}\n````{kind}\n@````\n"),
}
WHOLE: Mapping[str, Notation] = {
    "four backticks around": _whole("````", "markdown", HEADINGS),
    "four backticks of no language around": _whole("````", "", HEADINGS),
    "five backticks around info strings": _whole("`````", "md", BLOCKS["braces"]),
    "tildes around": _whole("~~~~", "text", HEADINGS),
    "tags inside": _whole("````", "xml", render_files),
}
OBJECTS: Mapping[str, Notation] = {
    "tags": render_files,
    "list": lambda files: json.dumps(
        {"files": [{"path": path, "content": text} for path, text in files.items()]}
    ),
    "map of files": lambda files: json.dumps({"files": files}, indent=1),
    "map": lambda files: json.dumps(files),
    "list in a fence": lambda files: f"So:\n```json\n{json.dumps({'files': files})}\n```\n",
}
NOTATIONS: Mapping[str, Notation] = {**BLOCKS, **WHOLE, **OBJECTS}


@pytest.mark.parametrize("name", NOTATIONS)
@UNHURRIED
@given(_files())
@example({"package.json": "{}\n", "convex/a.ts": "/*\n```\n*/\n", "convex/b.ts": "x`\n```ts\n`;\n"})
def test_files_come_out_as_they_went_in(name: str, files: Files) -> None:
    parsed = parse_reply(NOTATIONS[name](files))
    assert parsed.files == files
    assert [finding.code for finding in parsed.findings] == []


@UNHURRIED
@given(_files())
def test_a_comment_that_names_a_file_stays_in_a_script_and_is_taken_out_of_json(
    files: Files,
) -> None:
    parsed = parse_reply(_as_comment(files))
    package, *scripts = files
    expected = {path: f"// {path}\n{files[path]}" for path in scripts}
    assert parsed.files == {package: files[package], **expected}
    assert [finding.code for finding in parsed.findings] == ["format/named-in-json"]
    assert [finding.severity for finding in parsed.findings] == ["info"]


@pytest.mark.parametrize(
    "comment",
    [
        "// package.json",
        "/* package.json */",
        "# package.json",
        "<!-- package.json -->",
        "// File: `package.json`",
        "// ./package.json (at the root)",
        "\n// package.json",
    ],
)
@pytest.mark.parametrize(
    "reply",
    [
        "## package.json\n```json\n@```\n",
        "```json\n@```\n",
        '<file path="package.json">\n@</file>\n',
    ],
    ids=["heading", "alone", "tags"],
)
def test_json_loses_the_comment_that_names_it_wherever_it_stands(reply: str, comment: str) -> None:
    parsed = parse_reply(reply.replace("@", f'{comment}\n{{"name": "a"}}\n'))
    assert parsed.files == {"package.json": '{"name": "a"}\n'}


@pytest.mark.parametrize("first", ["// the app's package", "// tsconfig.json", '{"//": 1}'])
def test_json_keeps_every_other_first_line(first: str) -> None:
    content = f"{first}\n{{}}\n"
    parsed = parse_reply(f"## package.json\n```json\n{content}```\n")
    assert parsed.files == {"package.json": content}


@pytest.mark.parametrize(
    ("text", "files"),
    [
        # A sentence about a file is no heading, nor is one without a block below it.
        ("See C## a.ts for it.\n```ts\nx\n```\n", {}),
        ("Written in C# a.ts\n```ts\nx\n```\n", {}),
        ("Below.## a.ts\n\ntext\n```ts\nx\n```\n", {}),
        ("Below.# a.ts\n\n```ts\nx\n```\n", {"a.ts": "x\n"}),
        ("# Below.## `a.ts`\n```ts\nx\n```\n", {"a.ts": "x\n"}),
        # What stands behind a closing fence is a heading with a path, or the fence is none.
        ("## a.ts\n```ts\nx\n```## b\n```\n", {"a.ts": "x\n```## b\n"}),
        ("## a.ts\n```ts\nx\n```## b.ts\ny\n```\n", {"a.ts": "x\n```## b.ts\ny\n"}),
        # A block that names a file is that file, whatever it holds.
        ("## a.md\n````md\n## b.ts\n```ts\nx\n```\n````\n", {"a.md": "## b.ts\n```ts\nx\n```\n"}),
        # A whole reply is no script's content.
        ("````ts\n## b.ts\n```ts\nx\n```\n````\n", {}),
    ],
)
def test_a_notation_goes_so_far_and_no_further(text: str, files: Files) -> None:
    assert parse_reply(text).files == files


@pytest.mark.parametrize("opening", ["/* forgotten", "const p = `forgotten", "`${ {"])
def test_an_end_that_cannot_be_told_is_a_finding_that_says_so(opening: str) -> None:
    text = f"## a.ts\n```ts\n{opening}\n```\n## b.ts\n```ts\nx\n```\n"
    parsed = parse_reply(text)
    assert parsed.files == {"a.ts": f"{opening}\n", "b.ts": "x\n"}
    (finding,) = parsed.findings
    assert (finding.code, finding.severity, finding.path) == (
        "format/uncertain-end",
        "warning",
        "a.ts",
    )
    assert "line 4 of the reply" in finding.message


def test_a_script_that_is_never_closed_is_not_taken_for_a_file() -> None:
    parsed = parse_reply("## a.ts\n```ts\nx\n```\n## b.ts\n```ts\nconst p = `half\n")
    assert parsed.files == {"a.ts": "x\n"}
    assert parsed.incomplete == {"b.ts": "const p = `half\n"}


@UNHURRIED
@given(SCRIPTS)
def test_a_script_that_compiles_begins_and_ends_in_code(script: str) -> None:
    state = ScriptState()
    assert state.in_code
    for line in re.findall(r".*\n", script):
        # As the reader does: backticks of a fence end no template literal.
        if not (state.in_text and line.startswith("```")):
            state.feed(line)
    assert state.in_code


@pytest.mark.parametrize(
    ("script", "in_code", "in_text"),
    [
        ("const a = `", False, True),
        ("const a = `${", False, False),
        ("const a = `${ {a: `", False, True),
        ("const a = `${ {a: `b`", False, False),
        ("const a = `${ {a: 1} }", False, True),
        ("const a = `\\`", False, True),
        ("/* `", False, True),
        ("/* ` */ /* */ //*", True, False),
        ("'`\\'` /*", True, False),
        ('"it`s', True, False),
        ("a = b / c / `", False, True),
        ("a = /`/; b = `", False, True),
        ("return /`/", True, False),
        ("x = f() / `", False, True),
        ("x = [/[/`]`/]", True, False),
        ("(/never", True, False),
    ],
)
def test_where_the_next_line_stands(script: str, in_code: bool, in_text: bool) -> None:
    state = ScriptState()
    state.feed(f"{script}\n")
    assert (state.in_code, state.in_text) == (in_code, in_text)


def test_a_slash_behind_a_line_end_is_judged_by_the_line_before() -> None:
    divided, matched = ScriptState(), ScriptState()
    for line in ("const a = b\n", "/ `x`.length / 2; // `\n"):
        divided.feed(line)
    for line in ("const a =\n", "\n", "/`/;\n"):
        matched.feed(line)
    assert (divided.in_code, matched.in_code) == (True, True)
