"""What a model or a case says is shown: it moves no cursor, forges no line, commands no CI."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.text import shown

ESC, CSI, OSC = "\x1b", "\x9b", "\x9d"
ACTING: Mapping[str, tuple[str, str]] = {
    "colour": ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    "title": ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    "link": ("\x1b]8;;http://a\x1b\\x", "\\x1b]8;;http://a\\x1b\\x"),
    "C1": ("\x9b2J\x9d0;t\x9c", "\\x9b2J\\x9d0;t\\x9c"),
    "backspaces": ("good\x08\x08\x08\x08bad", "good\\x08\\x08\\x08\\x08bad"),
    "return": ("ok\rno", "ok\\rno"),
    "lines": ("one\n=== 5 passed ===", "one\\n=== 5 passed ==="),
    "separators": ("a\u2028b\u2029c\x0bd\x0ce\x85f", "a\\u2028b\\u2029c\\x0bd\\x0ce\\x85f"),
    "NUL and DEL": ("a\0b\x7f", "a\\x00b\\x7f"),
    "override": ("\u202etxt.exe\u202c", "\\u202etxt.exe\\u202c"),
    "isolates": ("\u2066a\u2069\u200f", "\\u2066a\\u2069\\u200f"),
    "unseen": ("a\ufeff\u200bb\U000e0041", "a\\ufeff\\u200bb\\U000e0041"),
    "forbidden in XML": ("\ufffe\uffff", "\\ufffe\\uffff"),
    "half an emoji": ("\ud83d!", "\N{REPLACEMENT CHARACTER}!"),
    "GitHub": ("::error::x", ":\\:error::x"),
    "GitHub, indented": (" \t ::set-output name=a::b", " \t :\\:set-output name=a::b"),
    "GitHub, older": ("text ##[error]x", "text #\\#[error]x"),
    "Azure": ("##vso[task.complete]", "#\\#vso[task.complete]"),
    "TeamCity": ("a ##teamcity[testFailed]", "a #\\#teamcity[testFailed]"),
}
LEFT_ALONE = (
    "a: b::c",
    "std::vector",
    "# heading",
    "## two",
    "\ttab",
    "é ü 漢字 עברית",
    "👩‍💻",
    "",
)


@pytest.mark.parametrize("name", ACTING)
def test_what_acts_is_shown(name: str) -> None:
    text, expected = ACTING[name]
    assert shown(text) == expected


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@given(st.text(st.characters(codec=None)))
def test_no_text_acts_whatever_it_holds(text: str) -> None:
    line = shown(text)
    assert len(line.splitlines()) <= 1
    assert not any(
        unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in line.replace("\t", "")
    )
    assert not line.lstrip().startswith("::")
    assert not re.search(r"##[a-zA-Z]*\[", line)
    assert shown(line) == line


CASE = {
    "summary": "s",
    "prompt": "p",
    "reference": {
        "package.json": '{"dependencies": {"convex": "^1.48.0", "\\u001b[31m::error::": "1"}}',
        "convex/a.ts": "const a = 1;\n::error::forged\n##[error]forged \x1b]0;owned\x07 \u202e\n",
    },
}


@pytest.mark.parametrize("xdist", [[], ["-n", "2"]], ids=["serial", "xdist"])
def test_a_run_shows_what_an_answer_and_a_case_say(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, xdist: list[str]
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    # As in CI: the short summary then has whole texts.
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest('pytest_plugins = ["pytest_convex_eval.plugin"]')
    folder = pytester.path / "cases/fundamentals/easy"
    folder.mkdir(parents=True)
    (folder / "case.yaml").write_text(yaml.safe_dump(CASE))
    stages = ("--convex-stages", "format,package,syntax", "--convex-no-cache")
    result = pytester.runpytest_subprocess(
        "cases", "-v", "--color=no", *stages, "--junitxml=junit.xml", *xdist
    )
    result.assert_outcomes(failed=1)
    assert "\\x1b" in result.stdout.str()
    junit = (pytester.path / "junit.xml").read_text()
    texts = [result.stdout.str(), result.stderr.str(), junit]
    for element in ET.fromstring(junit).iter():
        texts += [element.text or "", *element.attrib.values()]
    (folder / "broken.yaml").write_text('summary: s\n"::error::\\e[31m\\u202e": 1\n')
    broken = pytester.runpytest_subprocess("cases", "--color=no", *stages, *xdist)
    assert "unknown key" in broken.stdout.str()
    for text in [*texts, broken.stdout.str(), broken.stderr.str()]:
        assert not re.search("[\x1b\x07\x9b\u202e]", text)
        for line in text.splitlines():
            assert not line.lstrip().startswith("::")
            assert "##[" not in line
