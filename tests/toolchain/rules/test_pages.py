"""Each rule's page: its code does what the page says, and its levels are the rule's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.toolchain.lint_rules import AS_OF, OURS, RULES

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Linter

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
    for number, rule in enumerate(OUR_RULES):
        bad = {finding.code for finding in findings_of_pages[f"Bad-{number}"]}
        good = {finding.code for finding in findings_of_pages[f"Good-{number}"]}
        assert bad & {rule.code, rule.twin}, rule.code
        assert rule.code not in good


def test_every_page_names_the_levels_and_the_source() -> None:
    for rule, (code, page) in zip(OUR_RULES, pages(), strict=True):
        levels = (rule.level("correctness"), rule.recommended, rule.strict)
        sees = "one file" if rule.in_plugin else "all files"
        groups = ", ".join(sorted(rule.groups)) or "none"
        assert f"| {' | '.join(levels)} | {groups} | {sees} |" in page, code
        assert page.startswith(f"# {code}\n")
        assert page.endswith(f"Source: {rule.source}, {AS_OF}.\n")


def test_there_is_no_page_without_a_rule() -> None:
    names = {rule.code.removeprefix(OURS) for rule in OUR_RULES}
    assert {page.stem for page in PAGES.glob("*.md")} == names | {"README", "judged"}
    listed = re.findall(r"^\| \[(\S+)\]", (PAGES / "README.md").read_text("utf-8"), flags=re.M)
    assert listed == sorted(names)
