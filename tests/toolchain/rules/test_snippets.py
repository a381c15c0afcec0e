"""Each rule on code that it is about: what it must report, and what it must leave alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.toolchain.lint.catalogue import OURS, RULES
from pytest_convex_eval.toolchain.lint.report import EngineReport

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Snippet

LEAST_BAD, LEAST_GOOD = 5, 8


def test_a_snippet_is_reported_where_it_says(
    snippet_number: int,
    snippets: Sequence[Snippet],
    findings_of_snippets: Mapping[int, list[Finding]],
) -> None:
    snippet = snippets[snippet_number]
    found = findings_of_snippets[snippet_number]
    (rule,) = (rule for rule in RULES if rule.code == OURS + snippet.rule)
    ours = {(f.path, f.line, f.column) for f in found if f.code == rule.code}
    twins = {(f.path, f.line, f.column) for f in found if f.code == rule.twin}
    # What Convex's rule says at the same place is not said twice; what else it says is its own.
    assert ours | (twins & snippet.expected) == snippet.expected
    assert not ours & twins


def test_each_rule_has_bad_and_good_snippets(snippets: Sequence[Snippet]) -> None:
    count = Counter((snippet.rule, snippet.kind) for snippet in snippets)
    names = [rule.code.removeprefix(OURS) for rule in RULES if rule.code.startswith(OURS)]
    assert names
    for name in names:
        assert count[name, "bad"] >= LEAST_BAD, name
        assert count[name, "good"] >= LEAST_GOOD, name


def test_a_rule_of_ours_speaks_itself_where_convexs_does_too(
    snippets: Sequence[Snippet], reports_of_snippets: Mapping[int, EngineReport]
) -> None:
    twins = [rule for rule in RULES if rule.twin is not None]
    spoken = Counter[str]()
    for number, snippet in enumerate(snippets):
        for rule in twins:
            if snippet.kind == "bad" and rule.code == OURS + snippet.rule:
                said = {
                    (one.path, one.place.line, one.place.column)
                    for one in reports_of_snippets[number].diagnostics
                    if one.rule == rule.name and one.place is not None
                }
                # What a builder of another file makes is decided over all files.
                spoken[rule.code] += said == snippet.expected
    assert len(spoken) == len(twins) > 5
    assert {code: count for code, count in spoken.items() if count < LEAST_BAD} == {}


def test_a_filter_that_convexs_sources_disagree_about_is_told_by_neither_rule(
    snippets: Sequence[Snippet], findings_of_snippets: Mapping[int, list[Finding]]
) -> None:
    narrowing = (".withIndex(", ".withSearchIndex(", ".paginate(")
    narrowed = [
        number
        for number, snippet in enumerate(snippets)
        if (snippet.rule, snippet.kind) == ("no-query-filter", "good")
        for text in ["".join(snippet.files.values())]
        if ".filter(" in text and any(step in text for step in narrowing)
    ]
    assert len(narrowed) >= 4
    codes = {"convex-eval/no-query-filter", "@convex-dev/no-filter-in-query"}
    for number in narrowed:
        found = {finding.code for finding in findings_of_snippets[number]}
        assert not found & codes, snippets[number].title
