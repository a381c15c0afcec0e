"""What is made of oxlint's diagnostics: one finding a root cause, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.toolchain.lint.across_files.facts import FileFacts, parse
from pytest_convex_eval.toolchain.lint.catalogue import RULES, select
from pytest_convex_eval.toolchain.lint.oxlint import read_oxlint
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.report import judge
from pytest_convex_eval.toolchain.positions import SourceTree

FILTER = "no-filter-in-query"
FACTS = {"v": 1}


def said(code: str, message: str = "told", *, offset: int = 0) -> Mapping[str, object]:
    labels = [{"span": {"offset": offset, "length": 1}}]
    return {"code": code, "message": message, "filename": "convex/a.ts", "labels": labels}


def facts(**told: object) -> Mapping[str, object]:
    return said("convex-eval(facts)", json.dumps({**FACTS, **told}))


def judged(
    folder: Path,
    diagnostics: Sequence[Mapping[str, object]],
    *,
    profile: LintProfile = "recommended",
    require: Sequence[str] = (),
    public: Collection[str] = (),
) -> list[Finding]:
    (folder / "convex").mkdir(exist_ok=True)
    (folder / "convex" / "a.ts").write_text("first\nsecond 😀 third\n")
    selection = select(profile, off=[], require=require)
    tree = SourceTree(folder)
    report = read_oxlint(diagnostics, tree)
    return judge(report, ["convex/a.ts"], selection, tree, public=public)


BOTH = (
    said(f"@convex-dev({FILTER})", f"[{FILTER}] no", offset=6),
    said("convex-eval(no-query-filter)", "no", offset=6),
)


def test_what_two_rules_say_of_one_place_is_said_once(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, [*BOTH, facts()])
    assert (finding.code, finding.severity) == (f"@convex-dev/{FILTER}", "warning")
    (finding,) = judged(tmp_path, [*BOTH, facts()], profile="strict")
    assert (finding.code, finding.severity) == (f"@convex-dev/{FILTER}", "error")


def test_the_one_that_counts_more_speaks(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, [*BOTH, facts()], require=["convex-eval/no-query-filter"])
    assert (finding.code, finding.severity) == ("convex-eval/no-query-filter", "error")


def test_at_another_place_ours_speaks_for_itself(tmp_path: Path) -> None:
    alone = said("convex-eval(no-query-filter)", offset=2)
    assert len(judged(tmp_path, [*BOTH, alone, facts()])) == 2


def test_who_requires_convexs_rule_means_ours_too(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, [BOTH[1], facts()], require=[FILTER])
    assert finding.severity == "error"


def test_an_allowed_filter_is_heard_only_where_a_case_requires_it(tmp_path: Path) -> None:
    allowed = facts(allowed_filters=[[2, 0]])
    assert judged(tmp_path, [BOTH[0], allowed]) == []
    assert judged(tmp_path, [BOTH[0], allowed], profile="strict") == []
    assert len(judged(tmp_path, [BOTH[0], allowed], require=[FILTER])) == 1


def test_places_of_facts_are_characters(tmp_path: Path) -> None:
    node = {"v": 1, "uses_node": True}
    (tmp_path / "convex").mkdir()
    (tmp_path / "convex" / "node.ts").write_text("")
    other = {**said("convex-eval(facts)", json.dumps(node)), "filename": "convex/node.ts"}
    # 😀 is two of JavaScript's units and one character.
    importing = facts(imports=[{"module": "./node", "at": [2, 10]}])
    (finding,) = judged(tmp_path, [importing, other])
    assert finding.location() == "convex/a.ts:2:10"
    assert (finding.code, finding.severity) == ("convex-eval/no-node-import", "error")


def test_a_file_without_facts_is_our_fault_unless_it_does_not_parse(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"convex/a\.ts"):
        judged(tmp_path, [])
    thrown = {"message": "Error running JS plugin.", "filename": "convex/a.ts", "labels": []}
    with pytest.raises(InfrastructureError, match=r"convex/a\.ts"):
        judged(tmp_path, [thrown])
    syntax = {"message": "Unexpected token", "filename": "convex/a.ts", "labels": [{"span": {}}]}
    assert judged(tmp_path, [syntax]) == []


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_facts_are_of_their_shape_or_refused(value: object) -> None:
    with pytest.raises(InfrastructureError):
        parse(json.dumps(value))


def test_half_of_a_surrogate_pair_in_what_a_file_says_is_no_trouble() -> None:
    assert parse('{"v": 1, "words": ["x\\ud83d"]}') == FileFacts(1, words=frozenset({"x\ufffd"}))


def test_facts_of_another_version_are_refused() -> None:
    assert parse('{"v": 1}') == FileFacts(1)
    with pytest.raises(InfrastructureError):
        parse('{"v": 2}')


def test_every_twin_is_a_rule_of_convexs_plugin() -> None:
    codes = {rule.code for rule in RULES}
    twins = {rule.twin for rule in RULES if rule.twin is not None}
    assert twins
    assert twins <= codes
    assert all(twin.startswith("@convex-dev/") for twin in twins)


NOTES = {"name": "notes", "at": [1, 0], "indexes": []}
OWNED = {
    **NOTES,
    "fields": [{"name": "userId", "validator": "id", "table": "users", "at": [1, 0]}],
}
BY_IDENTITY = {
    **NOTES,
    "fields": [{"name": "tokenIdentifier", "validator": "string", "table": None, "at": [1, 0]}],
}


def reading(*, asks: bool = False) -> dict[str, object]:
    """A public query of the table notes."""
    return {
        "names": ["list"],
        "exports": ["list"],
        "at": [1, 0],
        "function": {"kind": "query", "public": True, "http": False},
        "builder": None,
        "refs": [],
        "auth": asks,
        "identity": None,
        "clock": [],
        "touches": [["notes", False]],
        "runs": [],
        "collects": [],
    }


def severities(
    folder: Path, told: Mapping[str, object], profile: LintProfile, require: Sequence[str] = ()
) -> dict[str, str]:
    found = judged(folder, [told], profile=profile, require=require)
    return {finding.code.removeprefix("convex-eval/"): finding.severity for finding in found}


def test_owned_data_alone_counts_in_strict_or_where_it_is_required(tmp_path: Path) -> None:
    told = facts(tables=[OWNED], declarations=[reading()])
    assert severities(tmp_path, told, "recommended") == {}
    assert severities(tmp_path, told, "strict") == {"authentication": "error"}
    required = severities(tmp_path, told, "recommended", ["authentication"])
    assert required == {"authentication": "error"}
    # What a case requires is heard whatever the evidence.
    both = severities(tmp_path, told, "recommended", ["auth"])
    assert both == {"authentication": "error", "authorization": "error"}


def test_users_that_nobody_reads_are_told_in_a_plain_profile(tmp_path: Path) -> None:
    told = facts(tables=[BY_IDENTITY], declarations=[reading()])
    assert severities(tmp_path, told, "correctness") == {}
    assert severities(tmp_path, told, "recommended") == {"authentication": "warning"}
    assert severities(tmp_path, told, "strict") == {"authentication": "error"}


def test_authorization_in_strict_is_heard_only_where_there_are_users(tmp_path: Path) -> None:
    other = {**reading(asks=True), "names": ["me"], "exports": ["me"], "touches": []}
    told = facts(tables=[OWNED], declarations=[reading(), other])
    assert severities(tmp_path, told, "strict") == {"authorization": "error"}
    unowned = facts(tables=[{**NOTES, "fields": []}], declarations=[reading(), other])
    assert severities(tmp_path, unowned, "strict") == {}
    assert severities(tmp_path, unowned, "strict", ["auth"]) == {"authorization": "error"}


def test_a_run_of_a_function_that_the_case_makes_public_is_no_finding(tmp_path: Path) -> None:
    run = {"via": "runQuery", "root": "api", "path": ["a", "list"], "parallel": False, "at": [1, 2]}
    told = facts(declarations=[{**reading(), "runs": [run]}])
    both = [said("convex-eval(internal-targets)", offset=2), told]
    assert len(judged(tmp_path, both, public=["a:other"])) == 1
    assert judged(tmp_path, both, public=["a:list"], require=["internal-targets"]) == []
