"""Each rule's page: its code does what the page says, and its levels are the rule's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.toolchain.lint.catalogue import AS_OF, OURS, RULES

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Linter

DIFFER = "Sources differ: "
LEAST_WORDS = 10
CONTRADICTED = {
    "bounded-take",
    "cron-helpers",
    "cron-interval",
    "index-name",
    "no-query-filter",
    "no-query-in-loop",
    "no-subtransaction",
    "no-unbounded-read-loop",
    "no-unbounded-write-loop",
    "returns-validator",
}
"""Rules that one source asks for and another does not."""
PAGES = Path(__file__).parents[3] / "docs" / "rules"
OUR_RULES = [rule for rule in RULES if rule.code.startswith(OURS)]


def pages() -> Iterator[tuple[str, str]]:
    for rule in OUR_RULES:
        yield rule.code, (PAGES / f"{rule.code.removeprefix(OURS)}.md").read_text("utf-8")


@pytest.fixture(scope="session")
def findings_of_pages(
    linter: Linter,
    bad_and_good_pages: Mapping[str, tuple[Files, Files]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[Finding]]:
    projects = {
        f"{heading}-{number}": files
        for number, rule in enumerate(OUR_RULES)
        for heading, files in zip(
            ("Bad", "Good"), bad_and_good_pages[rule.code.removeprefix(OURS)], strict=True
        )
    }
    assert all(projects.values())
    return linter.projects(projects, tmp_path_factory.mktemp("pages"))


def test_the_bad_code_is_reported_and_the_good_is_not(
    findings_of_pages: dict[str, list[Finding]],
) -> None:
    assert OUR_RULES
    for number, rule in enumerate(OUR_RULES):
        bad = {finding.code for finding in findings_of_pages[f"Bad-{number}"]}
        good = {finding.code for finding in findings_of_pages[f"Good-{number}"]}
        assert bad & {rule.code, rule.twin}, rule.code
        assert rule.code not in good


def test_every_page_names_the_levels_and_the_source() -> None:
    assert OUR_RULES
    for rule, (code, page) in zip(OUR_RULES, pages(), strict=True):
        levels = (rule.level("correctness"), rule.recommended, rule.strict)
        sees = "one file" if rule.in_plugin else "all files"
        groups = ", ".join(sorted(rule.groups)) or "none"
        assert f"| {' | '.join(levels)} | {groups} | {sees} |" in page, code
        assert page.startswith(f"# {code}\n")
        # An address, where there is one.
        source = f"<https://{rule.source}>" if rule.source.startswith("docs.") else rule.source
        assert page.endswith(f"Source: {source}, {AS_OF}.\n")


def test_every_page_says_why_before_anything_else() -> None:
    written = list(pages())
    assert written
    for code, page in written:
        why, table, _ = page.removeprefix(f"# {code}\n").partition("\n| correctness |")
        assert table, code
        first = next(text for text in why.split("\n\n") if text.strip())
        assert not first.lstrip().startswith(DIFFER), code
        assert len(first.split()) >= LEAST_WORDS, code


def test_where_sources_contradict_each_other_the_page_says_so() -> None:
    said = {
        code.removeprefix(OURS): paragraph
        for code, page in pages()
        for paragraph in page.split("\n\n")
        if paragraph.startswith(DIFFER)
    }
    assert said.keys() == CONTRADICTED
    for name, paragraph in said.items():
        # Both sides, one of them Convex, and what follows from it.
        assert "Convex" in paragraph, name
        assert re.search(r"\b(?:list|documentation|backends)\b", paragraph), name
        assert re.search(r"\bdefault\b|\bSo\b", paragraph), name


def test_there_is_no_page_without_a_rule() -> None:
    names = {rule.code.removeprefix(OURS) for rule in OUR_RULES}
    assert {page.stem for page in PAGES.glob("*.md")} == names | {"README", "judged"}
    listed = re.findall(r"^\| \[(\S+)\]", (PAGES / "README.md").read_text("utf-8"), flags=re.M)
    assert listed == sorted(names)
