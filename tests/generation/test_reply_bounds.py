"""What is said of a reply, in its words, and where each of its shapes ends."""

from __future__ import annotations

import json

import pytest

from pytest_convex_eval.generation.reading.reply import parse_reply
from pytest_convex_eval.outcomes import Finding

# What the findings say


NOT_CLOSED = "It may have been cut off, so it is not taken for a file."


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", Finding("format/empty-reply", "The reply has no text.")),
        (
            'Sure: {"files": [',
            Finding("format/broken-json", "The reply's JSON object of files is broken."),
        ),
        (
            f"\n \n{'I would. ' * 40}\nMore.",
            Finding(
                "format/no-files",
                "The reply holds no file.",
                excerpt=("I would. " * 40)[:200],
                hint='Each file has to stand between <file path="..."> and </file>.',
            ),
        ),
        (
            'Hm.\n<file path="a.ts">\nx\n</file>\n\n<file>\ny\n</file>',
            Finding("format/unnamed-file", "The file at line 6 of the reply has no path."),
        ),
        (
            'Hm.\n<file path="a.ts">\nx\n</file>\n\n  <file path="a.ts">\nx\n</file>',
            Finding(
                "format/duplicate-path",
                "The reply holds a.ts twice, with the same content the second time (line 6 of the "
                "reply).",
                "warning",
                "a.ts",
            ),
        ),
        (
            "# a.ts\n```\nx\n```\n# a.ts\n\n```\ny\n```\n",
            Finding(
                "format/duplicate-path",
                "The reply holds a.ts twice, with another content the second time (line 7 of the "
                "reply).",
                "error",
                "a.ts",
            ),
        ),
        (
            "# a.ts\n\n    x\n\n# a.ts\n\n    y\n",
            Finding(
                "format/duplicate-path",
                "The reply holds a.ts twice, with another content the second time (line 7 of the "
                "reply).",
                "error",
                "a.ts",
            ),
        ),
        (
            '\n{"files": {"a.ts": "1", "a.ts": "1"}}',
            Finding(
                "format/duplicate-path",
                "The reply holds a.ts twice, with the same content the second time (line 2 of the "
                "reply).",
                "warning",
                "a.ts",
            ),
        ),
        (
            "Hm.\n<file path='b.ts'>\nhalf",
            Finding(
                "format/unclosed-file",
                "The reply does not say where b.ts ends, which begins at line 2 of the reply.",
                path="b.ts",
                hint=NOT_CLOSED,
            ),
        ),
        (
            "Hm.\n\n# b.ts\n```ts\nhalf",
            Finding(
                "format/unclosed-file",
                "The reply does not say where b.ts ends, which begins at line 4 of the reply.",
                path="b.ts",
                hint=NOT_CLOSED,
            ),
        ),
        (
            "# a.ts\n```ts\nx\n```\n\n```ts\ny\n```\n",
            Finding(
                "format/second-block",
                "A second block of code under a.ts, at line 6 of the reply, names no file of its "
                "own.",
                path="a.ts",
            ),
        ),
        (
            "# a.ts\n```ts\nx\n```\n\n```json\ny\n```\n",
            Finding(
                "format/unnamed-block",
                "The block of code at line 6 of the reply belongs to no file.",
                "warning",
            ),
        ),
        (
            "# a.ts\n```ts\nx\n```\n\n```bash\ny\n```\n",
            Finding(
                "format/unnamed-block",
                "The block of code at line 6 of the reply belongs to no file.",
                "info",
            ),
        ),
        (
            '<file path="a.ts">\n```\nx\n```\n</file>',
            Finding(
                "format/fenced-file",
                "A markdown fence around a.ts inside its tags was taken off.",
                "info",
                "a.ts",
            ),
        ),
        (
            '<file path="a.ts">\n<![CDATA[x]]>\n</file>',
            Finding(
                "format/fenced-file",
                "A CDATA section around a.ts inside its tags was taken off.",
                "info",
                "a.ts",
            ),
        ),
    ],
)
def test_a_finding_says_what_and_where(text: str, finding: Finding) -> None:
    assert parse_reply(text).findings == (finding,)


# Where a shape ends


@pytest.mark.parametrize(
    ("text", "files"),
    [
        # Of a tag.
        ('<file path="a.ts">x</file>', {"a.ts": "x"}),
        ('<file path="a.ts">\nx</file>  \r\nrest', {"a.ts": "x"}),
        ('<file path="a.ts">\nx\n   </file>\n', {"a.ts": "x\n   "}),
        ('  <file path="a.ts">\n  x\n  </file>\n', {"a.ts": "  x\n"}),
        ('<file path="a.ts">\na </file> b\n</file>', {"a.ts": "a </file> b\n"}),
        ('<file path="a.ts" >  \nx\n</file>', {"a.ts": "x\n"}),
        ('<file path="a>b.ts">\nx\n</file>', {}),
        ('<files path="a.ts">\nx\n</files>', {}),
        (f'<file {" " * 900}path="a.ts">\nx\n</file>', {"a.ts": "x\n"}),
        (f'<file {" " * 1100}path="a.ts">\nx\n</file>', {}),
        ('<file\npath="a.ts">\nx\n</file>', {}),
        ('text <file path="a.ts">\nx\n</file>', {}),
        ('<file path="a.ts">\n```ts\nx\n```\n```ts\ny\n```\n</file>',
         {"a.ts": "```ts\nx\n```\n```ts\ny\n```\n"}),
        ('<file path="A.MDX">\n```ts\nx\n```\n</file>', {"A.MDX": "```ts\nx\n```\n"}),
        ('<file path="a.markdown">\n```\nx\n```\n</file>', {"a.markdown": "```\nx\n```\n"}),
        ('<file path="a.ts">\n<![CDATA[\r\nx]]>\n</file>', {"a.ts": "x"}),
        ('<file path="a.ts">\n<![CDATA[x\n</file>', {"a.ts": "<![CDATA[x\n"}),
        ('<file path="././a.ts">\n</file>', {"a.ts": ""}),
        ('<file path=".//a.ts">\n</file>', {"a.ts": ""}),
        ('<file path=".a.ts">\n</file>', {".a.ts": ""}),
        # Of JSON.
        ('{"files": [{"path": "a", "content": "x"}, {"path": "b", "content": 1}]}', {}),
        ('{"files": [{"path": "", "content": "x"}]}', {}),
        ('{"files": [{"content": "x"}]}', {}),
        ('{"files": ["a"]}', {}),
        ('{"files": [{"path": "a", "content": "x"}, "b"]}', {}),
        ('{"files": {"a": "x"}}', {"a": "x"}),
        ('{"a.ts": "x", "b": "y"}', {}),
        ('{"a.ts": "x", "b.ts": 1}', {}),
        ('Sure: \n{"a.ts": "x"}', {}),
        (' \n\t{"a.ts": "x"} and more', {"a.ts": "x"}),
        ('{"other": 1}\n{"files": {"a": "x"}}', {"a": "x"}),
        ("{\n" * 19 + '{"files": {"a": "x"}}', {"a": "x"}),
        ("{\n" * 20 + '{"files": {"a": "x"}}', {}),
        (json.dumps({f"{'a' * 297}.ts": "x"}), {f"{'a' * 297}.ts": "x"}),
        (json.dumps({f"{'a' * 298}.ts": "x"}), {}),
        # Of markdown.
        ("# a.ts\n```ts\nx\n``\n```\n", {"a.ts": "x\n``\n"}),
        ("# a.ts\n```ts\nx\n``` y\n```\n", {"a.ts": "x\n``` y\n"}),
        ("# a.ts\n````ts\nx\n```\n`````\n", {"a.ts": "x\n```\n"}),
        ("# a.ts\n``` a`b\n\n```ts\nx\n```\n", {"a.ts": "x\n"}),
        ("####### a.ts\n```ts\nx\n```\n", {}),
        ("    # a.ts\n```ts\nx\n```\n", {}),
        ("# a.ts\n# Other\n```ts\nx\n```\n", {}),
        ("a.ts:\nprose\n```ts\nx\n```\n", {}),
        ("a.ts:\n\n\n\n```ts\nx\n```\n", {"a.ts": "x\n"}),
        ("# run.sh\n```bash\nx\n```\n", {"run.sh": "x\n"}),
        ("# a.ts\n```bash\nx\n```\n", {}),
        ("# a.ts\n```TS\nx\n```\n```js b.ts\ny\n```\n", {"a.ts": "x\n", "b.ts": "y\n"}),
        ("# a.ts and b.ts\n```ts\nx\n```\n", {"a.ts": "x\n"}),
        ("# From src/a.ts to src/b.ts\n```ts\nx\n```\n", {}),
        ("# `a.ts` and `b.ts`\n```ts\nx\n```\n", {}),
        ("# The file src/a.ts\n```ts\nx\n```\n", {"src/a.ts": "x\n"}),
        ("# The file a.ts\n```ts\nx\n```\n", {}),
        ("The file src/a.ts:\n```ts\nx\n```\n", {}),
        ("See `a.ts`\n```ts\nx\n```\n", {}),
        ("# Node.js\n```js\nx\n```\n", {}),
        ("# a.unknown\n```ts\nx\n```\n", {}),
        ("# .env\n```\nx\n```\n", {".env": "x\n"}),
        ("```ts\n// a.ts b.ts\nx\n```\n", {}),
        ("```ts\n// path: a.ts\nx\n```\n", {"a.ts": "// path: a.ts\nx\n"}),
        ("```html\n<!-- a.html -->\nx\n```\n", {"a.html": "<!-- a.html -->\nx\n"}),
        ("```ts\nx\n// a.ts\n```\n", {}),
        (f"```ts\n// {' ' * 295}a.ts\nx\n```\n", {}),
        (f"# {' ' * 50}{'x ' * 123}`a.ts`\n```ts\nx\n```\n", {"a.ts": "x\n"}),
        (f"# {'x ' * 150}`a.ts`\n```ts\nx\n```\n", {}),
        ("# a.ts\n\n    x\n  y\n", {"a.ts": "x\n"}),
        ("# a.ts\n\n    x\n\n\n    y\n\nz\n", {"a.ts": "x\n\n\ny\n"}),
        ("1. `a.ts`:\n\n\t```ts\n\tx\n y\n\t```\n", {"a.ts": "x\ny\n"}),
        ("# a.md\n~~~md\n```\nx\n```\n~~~\n", {"a.md": "```\nx\n```\n"}),
    ],
)  # fmt: skip
def test_a_shape_goes_so_far_and_no_further(text: str, files: dict[str, str]) -> None:
    assert parse_reply(text).files == files
