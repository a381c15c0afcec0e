"""Reading source files takes time in proportion to them, however they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pytest_convex_eval.toolchain.app_config import CONFIG, mounted_components
from pytest_convex_eval.toolchain.generated import module_paths
from pytest_convex_eval.toolchain.lexer import spans
from pytest_convex_eval.toolchain.positions import EXCERPT_CHARACTERS, SourceText
from pytest_convex_eval.toolchain.suppressions import find_suppressions, neutralise
from tests.growth import assert_linear, repeated

# Runs of what means something, unclosed literals, openers in openers, many small tokens.
UNITS = (
    *("\n", " ", "\r", "\u2028", "/", "*", "'", '"', "`", "<", "{", "[", "(", "\\", "a", "é", ";"),
    *("/[", "[/", "/(", "(/[)", "/\\", "/]", "/[]", "/a ", "{/", "}/", "//\n", "/*\n*/", "/* "),
    *("'\\", "`${", "${`", "`${}", "`\n```", "\n```", "```ts\n", "\n  ~~~"),
    *("<a", "<a ", "<a>", "</a>", "<a/>", "<a.", "<a b='", "</", "a<b ", "{<a>"),
    *("@ts-ignore", "/*@ts-ignore*/", "//@ts-ignore\n", "/*@ts-ignore\n*/", "* eslint-disable\n"),
    *("&lt;", "a;\n", "=>", "++", "import", "\nimport{", "export "),
)
# Nothing is looked for in a file without a directive.
SUPPRESSED = "/* @ts-ignore */ "


@pytest.mark.parametrize("jsx", [False, True], ids=["ts", "tsx"])
@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_the_lexer_does_not_look_twice(unit: str, jsx: bool) -> None:
    assert_linear(lambda text: sum(1 for _ in spans(text, jsx=jsx)), repeated(unit))


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_suppressions_are_found_and_neutralised_in_one_reading(unit: str) -> None:
    def read(text: str) -> None:
        find_suppressions({"convex/a.ts": text})
        neutralise("convex/a.ts", text)

    assert_linear(read, repeated(unit, SUPPRESSED))
    # The same inside of a comment.
    assert_linear(read, repeated(unit.replace("*/", "* /"), "/*", "@ts-ignore */"))


@pytest.mark.parametrize(
    "unit", ["\n", "\r", " ", "\t\n", "//\n", "import", "ximport\n"], ids=ascii
)
def test_whether_a_file_is_a_module_is_seen_in_one_reading(unit: str) -> None:
    assert_linear(lambda text: module_paths({"a.ts": text}), repeated(unit))


APP = "import { defineApp } from 'convex/server';\nconst app = defineApp();\n"
CONFIGURATIONS: Mapping[str, Callable[[int], str]] = {
    "blanks before a bracket that does not come": repeated(" ", f"{APP}app.use(a", "x"),
    "lines before a bracket that does not come": repeated("\n", f"{APP}app.use(a, {{}} ", "x"),
    "blanks before a name's end": repeated(" ", f"{APP}export default app", "x"),
    "a type that does not end": repeated("a ", "const app : "),
    "many imports": repeated("import a from 'b';"),
    "many mounts": repeated("app.use(a);", APP),
    "many apps": repeated("const app = defineApp();\n", APP),
    "many lines at the end": repeated("\n", f"{APP}export default app"),
    "many comments": repeated("/**/\n", APP),
    "options that do not end": repeated("{", f"{APP}app.use(a, {{"),
    "names that do not end": repeated("name", f"{APP}app.use(a, {{", "})"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_read_once(name: str) -> None:
    assert_linear(lambda text: mounted_components({CONFIG: text}, None), CONFIGURATIONS[name])


@pytest.mark.parametrize("character", ["a", "é", "😀"], ids=ascii)
def test_each_character_of_one_long_line_can_have_a_finding(character: str) -> None:
    def read(text: str) -> None:
        source = SourceText(text)
        for place in range(0, len(text), 8):
            line = source.at_byte(place).line
            source.in_utf16(line, place + 1)
            source.in_bytes(line, place)
            assert len(source.excerpt(line)) == min(len(text), EXCERPT_CHARACTERS)

    assert_linear(read, repeated(character))
