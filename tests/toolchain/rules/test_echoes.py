"""Findings that repeat one cause are one finding with a count."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.outcomes import Finding, Severity
from pytest_convex_eval.toolchain.lint.catalogue import RULES
from pytest_convex_eval.toolchain.lint.echoes import ECHOES, ROOT, condensed

RANK = {"error": 2, "warning": 1, "info": 0}


def finding(
    code: str, line: int, severity: Severity = "warning", path: str | None = "convex/a.ts"
) -> Finding:
    return Finding(code, f"{code}.", severity, path, line, 1)


def test_every_rule_named_here_is_one_of_the_catalogue() -> None:
    codes = {rule.code for rule in RULES}
    assert ECHOES | {ROOT} <= codes


def test_what_follows_from_an_any_goes_with_the_first_that_is_named() -> None:
    found = condensed(
        [
            finding("lint/no-unsafe-call", 1),
            finding(ROOT, 2),
            finding("lint/no-unsafe-member-access", 3),
            finding(ROOT, 4),
            finding("lint/no-unsafe-call", 5),
            finding("lint/no-unsafe-call", 1, path="convex/b.ts"),
        ]
    )
    assert [(f.code, f.path, f.line) for f in found] == [
        (ROOT, "convex/a.ts", 2),
        ("lint/no-unsafe-call", "convex/b.ts", 1),
    ]
    assert found[0].message == (
        "lint/no-explicit-any. (and 1 more in this file, at lines 4) (3 more findings follow from "
        "`any` in this file: no-unsafe-call 2, no-unsafe-member-access 1)"
    )
    assert found[1].message == "lint/no-unsafe-call."


def test_without_a_named_any_its_echoes_are_one_finding() -> None:
    found = condensed([finding(code, line) for line, code in enumerate(sorted(ECHOES), 1)])
    assert [(f.code, f.line) for f in found] == [("lint/no-unsafe-argument", 1)]
    assert found[0].message.endswith("(and 2 more in this file, at lines 2, 3)")


def test_an_echo_that_counts_more_than_its_root_stays() -> None:
    required = finding("lint/no-unsafe-call", 2, "error")
    found = condensed([finding(ROOT, 1), required, finding("lint/no-unsafe-call", 3)])
    assert [(f.code, f.severity) for f in found] == [
        (ROOT, "warning"),
        ("lint/no-unsafe-call", "error"),
    ]
    strict = condensed([finding(ROOT, 1, "error"), required])
    assert [(f.code, f.severity) for f in strict] == [(ROOT, "error")]


def test_missing_validators_go_with_the_old_syntax_of_the_same_call() -> None:
    old = finding("@convex-dev/no-old-registered-function-syntax", 1, "error")
    missing = [finding("@convex-dev/require-args-validator", line, "error") for line in (1, 2)]
    assert condensed([missing[0], old, missing[1]]) == (old, missing[1])
    assert condensed([finding(old.code, 1), missing[0]]) == (finding(old.code, 1), missing[0])


def test_a_habit_is_one_warning_a_file_and_errors_are_shown_each() -> None:
    habits = [finding("@convex-dev/explicit-table-ids", line) for line in range(1, 20)]
    errors = [finding("lint/no-floating-promises", line, "error") for line in (1, 2)]
    found = condensed([*habits, *errors, finding("lint/prefer-const", 1, path=None)])
    assert found[1:3] == tuple(errors)
    assert len(found) == 4
    assert found[0].message == (
        "@convex-dev/explicit-table-ids. (and 18 more in this file, at lines 2, 3, 4, 5, 6, 7, 8, "
        "9, 10, 11, ...)"
    )


CODES = st.sampled_from(sorted({*ECHOES, ROOT, "lint/prefer-const", "lint/no-floating-promises"}))
SEVERITIES: st.SearchStrategy[Severity] = st.sampled_from(["error", "warning", "info"])
FINDINGS = st.lists(
    st.builds(
        finding,
        CODES,
        st.integers(1, 30),
        SEVERITIES,
        st.sampled_from(["convex/a.ts", "convex/b.ts", None]),
    ),
    min_size=1,
    max_size=20,
)


@given(FINDINGS)
def test_nothing_that_counts_is_lost_and_nothing_is_made_up(findings: list[Finding]) -> None:
    found = condensed(findings)
    places = [(f.code, f.severity, f.path, f.line) for f in findings]
    assert 0 < len(found) <= len(findings)
    left = iter(places)
    assert [f for f in found if (f.code, f.severity, f.path, f.line) not in left] == []
    assert [one for one in findings if not _is_told(one, found)] == []


def _is_told(one: Finding, found: Sequence[Finding]) -> bool:
    """Whether something of the same file and family, that counts as much, is among `found`."""
    family = {*ECHOES, ROOT} if one.code in ECHOES and one.path is not None else {one.code}
    return any(
        other.code in family
        and other.path == one.path
        and RANK[other.severity] >= RANK[one.severity]
        for other in found
    )
