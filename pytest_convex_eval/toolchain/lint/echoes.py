"""Findings that repeat one cause, as one finding with a count.

A person reads few findings, the first ones first. An `any` makes all that is read of it, called or
passed on unsafe, so that one annotation is dozens of findings; a habit (a database call without its
table's name) is one finding at each of its places. Nothing that counts is lost: an error never
hides behind what counts less.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from pytest_convex_eval.outcomes import Finding, Severity

ROOT = "lint/no-explicit-any"
ECHOES = frozenset(
    {"lint/no-unsafe-argument", "lint/no-unsafe-call", "lint/no-unsafe-member-access"}
)
"""What an `any` brings with it: typescript-eslint's rules of the same name, without `lint/`."""

_OLD_SYNTAX = frozenset(
    {"@convex-dev/no-old-registered-function-syntax", "convex-eval/old-function-syntax"}
)
_NO_ARGS = frozenset({"@convex-dev/require-args-validator", "convex-eval/args-validator"})
"""Said of the same call: who writes a handler alone can give no validator."""

_MOST_LINES = 10
_RANK: dict[Severity, int] = {"error": 2, "warning": 1, "info": 0}

_Group: TypeAlias = tuple[str | None, str, Severity]


def condensed(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """`findings` in their order, each cause of a file once.

    In a file, what an `any` brings with it goes with the first finding that names one, unless it
    counts more; without one, it goes with the first of its own. Warnings of one rule, and the
    places of an `any`, are one finding at the first of them. The message says how many there are,
    and where. That a function has no validators goes with its old syntax, which has no place for
    them.
    """
    old = {f.location(): _RANK[f.severity] for f in findings if f.code in _OLD_SYNTAX}
    groups: dict[_Group, list[Finding]] = {}
    for finding in findings:
        if finding.code in _NO_ARGS and old.get(finding.location(), -1) >= _RANK[finding.severity]:
            continue
        groups.setdefault(_group(finding), []).append(finding)
    echoes = _echoes_by_root(groups)
    said = {
        id(group[0]): _whole(group, echoes.get(key, ()))
        for key, group in groups.items()
        if not any(group is echo for each in echoes.values() for echo in each)
    }
    return tuple(said[id(finding)] for finding in findings if id(finding) in said)


def _group(finding: Finding) -> _Group:
    """What is one finding. Of an error every place counts, and is shown."""
    code = finding.code
    if finding.path is not None and code in ECHOES:
        code = "echo"
    elif (code != ROOT and finding.severity == "error") or finding.path is None:
        code = f"{code}:{id(finding)}"
    return finding.path, code, finding.severity


def _echoes_by_root(
    groups: dict[_Group, list[Finding]],
) -> dict[_Group, list[list[Finding]]]:
    """The groups that go with another one, by that one's key."""
    found: dict[_Group, list[list[Finding]]] = defaultdict(list)
    for (path, code, severity), group in groups.items():
        if code != "echo":
            continue
        roots: list[_Group] = [
            (path, ROOT, each) for each in _RANK if _RANK[each] >= _RANK[severity]
        ]
        root = next((root for root in roots if root in groups), None)
        if root is not None:
            found[root].append(group)
    return found


def _whole(group: Sequence[Finding], echoes: Sequence[Sequence[Finding]]) -> Finding:
    first, *rest = group
    message = first.message
    if rest:
        lines = sorted({finding.line for finding in rest if finding.line is not None})
        shown = ", ".join(map(str, lines[:_MOST_LINES])) + (", ..." if lines[_MOST_LINES:] else "")
        message += f" (and {len(rest)} more in this file, at lines {shown})"
    followers = [finding for echo in echoes for finding in echo]
    if followers:
        counts = Counter(finding.code.partition("/")[2] for finding in followers)
        told = ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))
        message += f" ({len(followers)} more findings follow from `any` in this file: {told})"
    return first if message == first.message else replace(first, message=message)
