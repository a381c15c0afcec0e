"""Reading a reply takes time in proportion to it, however it is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from pytest_convex_eval.generation.design import DeployedFacts, check_design, parse_design
from pytest_convex_eval.generation.reading.reply import parse_reply
from tests.growth import assert_linear, repeated

UNITS = (
    *(
        "\n",
        " ",
        "\t",
        "\r",
        "`",
        "~",
        "#",
        "-",
        "=",
        "*",
        "<",
        "{",
        "[",
        "(",
        '"',
        "\\",
        "a",
        "./",
    ),
    *("<file", "\n<file ", "\n<file path='a'>", "\n<file path='a.ts'>\nx\n</file>", "</file>"),
    *(" </file>", "\n</file> <file ", "path=", "\n<file path='path='", "<![CDATA[", "]]>\n"),
    *("\n{", '{"a":', "[{", '{"files":', '{"files":[', '{"path":"a","content":"b"},', "\n[1,"),
    *("```\n", "```ts\n", "```md\n", "\n```ts a.ts\n", "````\n```\n", "~~~\n~~~~\n", "```\r x"),
    *(
        "# a.ts\n",
        "# `a.ts`\n",
        "**a.ts**\n",
        "`a.ts`:\n",
        "1. a.ts:\n",
        "    a\n",
        "# a.ts\n    a\n",
    ),
    *("<file path=", "# a.ts ", "`a.ts`:\n```\n", "a.", "## a.ts\n"),
    *("# a.ts\n```\n", "```md\n```ts\n", "```\n// a.ts\n", "a.ts:\n\n", "<b>", "[](", "[a]("),
    # The longest line that is looked at for a path.
    f"```\n//{' ' * 290}x\n```\n",
    f"```\n//{' */' * 95}x\n```\n",
    f"{'- ' * 140}:\n",
    f"# {'[](' * 95}\n",
    f"{'path: ' * 48}:\n",
    f"{' ---' * 70}x:\n",
)
FRAMES = {
    "a reply": ("", ""),
    "a line": ("```", "\r x"),
    "a file": ("<file path='a.ts'>\n", ""),
    "a heading": ("## a.ts\n", ""),
    "a path": ('{"files":[{"path":"', '","content":"x"}]}'),
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_a_reply_is_read_in_one_go(unit: str, frame: str) -> None:
    before, after = FRAMES[frame]
    assert_linear(parse_reply, repeated(unit, before, after))


def _reads(size: int) -> str:
    """As many lookups as indexes, none served by more than the last."""
    count = size // 100
    indexes = [{"name": f"i{i}", "fields": [f"f{i}"]} for i in range(min(count, 500))]
    reads = [{"table": "t", "by": [f"g{i}"]} for i in range(min(count, 500))]
    functions = [
        {"name": f"a:f{i}", "kind": "query", "reads": reads} for i in range(max(1, count // 500))
    ]
    return json.dumps({"tables": [{"name": "t", "indexes": indexes}], "functions": functions})


DESIGNS: Mapping[str, Callable[[int], str]] = {
    "many reads and indexes": _reads,
    "an index on many fields": lambda size: json.dumps(
        {"tables": [{"name": "t", "indexes": [{"name": "i", "fields": ["f"] * (size // 5)}]}]}
    ),
    "nested": lambda size: (
        '{"functions":[{"name":"a","kind":"query","args":{"a":' + "[" * (size // 2)
    ),
    "unclosed": repeated("\n<design>"),
    "objects": repeated("\n{}"),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_is_read_and_compared_in_one_go(name: str) -> None:
    def read(text: str) -> None:
        design = parse_design(text).design
        if design is not None:
            check_design(design, DeployedFacts())

    assert_linear(read, DESIGNS[name])
