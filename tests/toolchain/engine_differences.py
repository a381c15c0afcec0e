"""How ESLint's findings differ from oxlint's, rule by rule, and which differences are explained.

A finding is the same when its file, line and root cause are. Columns may differ: the engines put
some rules' findings at different ends of the same expression.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.toolchain.lint.catalogue import RULES
from pytest_convex_eval.toolchain.lint.oxlint import passed_over

Engine: TypeAlias = Literal["oxlint", "eslint"]

_CAUSES: Mapping[str, str] = {rule.code: rule.twin for rule in RULES if rule.twin is not None}


@dataclass(frozen=True, slots=True)
class Difference:
    """A finding that one engine has `count` times more than the other on a line of a file.

    `findings` are all of that engine's there, since nothing tells which of them are too many.
    """

    only: Engine
    code: str
    path: str | None
    line: int | None
    count: int = 1
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.path else "the whole answer"
        return f"only {self.only} reports {self.code} at {where}"


@dataclass(frozen=True, slots=True)
class Explained:
    """A difference between the engines that is known, its reason, and whether a finding in a file
    of that text is one of it."""

    only: Engine
    codes: frozenset[str]
    reason: str
    applies: Callable[[Finding, str], bool]


# The database by the name that a handler has it under, and a query of it.
_DATABASE = re.compile(r"\b(?:ctx|context)\s*\.\s*db\b")
_STATEMENT_LINES = 20


def _statement(text: str, line: int) -> str:
    """The lines up to `line` and a few after it, from where the statement seems to begin."""
    lines = text.splitlines()
    first = line - 1
    while first > max(0, line - _STATEMENT_LINES) and not re.search(
        r"[;{}]\s*$|^\s*$", lines[first - 1]
    ):
        first -= 1
    return "\n".join(lines[first:line])


def _is_through_names(finding: Finding, text: str) -> bool:
    """Whether the database does not stand in the statement itself, where ours would see it."""
    return finding.line is not None and not _DATABASE.search(_statement(text, finding.line))


def _is_of_an_error(finding: Finding, text: str) -> bool:
    return "error typed" in finding.message


def _is_of_an_http_context(finding: Finding, text: str) -> bool:
    return "argument of type `GenericActionCtx<any>`" in finding.message


def _has_such_a_name(finding: Finding, text: str) -> bool:
    return finding.path is not None and passed_over(finding.path)


EXPLAINED: tuple[Explained, ...] = (
    Explained(
        "oxlint",
        frozenset({"lint/not-linted"}),
        "oxlint takes some file names for minified code; ESLint looks at every file",
        _has_such_a_name,
    ),
    Explained(
        "eslint",
        frozenset(
            {
                "@convex-dev/explicit-table-ids",
                "@convex-dev/no-collect-in-query",
                "@convex-dev/no-filter-in-query",
            }
        ),
        "these of Convex's rules use types where they have them, which no plugin has under "
        "oxlint: they then see through names that ours can't follow",
        _is_through_names,
    ),
    Explained(
        "eslint",
        frozenset({"lint/no-unsafe-argument"}),
        "what does not typecheck has an error type, which typescript-eslint reports as unsafe and "
        "tsgolint does not; such findings are shown and do not count",
        _is_of_an_error,
    ),
    Explained(
        "eslint",
        frozenset({"lint/no-unsafe-argument"}),
        "convex types an HTTP action's ctx as GenericActionCtx<any>, which typescript-eslint calls "
        "unsafe to pass on as an ActionCtx, and tsgolint does not",
        _is_of_an_http_context,
    ),
)


def differences(oxlint: Iterable[Finding], eslint: Iterable[Finding]) -> Iterator[Difference]:
    """What only one of the engines reports of an answer, explained or not.

    Where Convex's rule and ours say the same, it does not matter which of them speaks.
    """
    engines: tuple[tuple[Engine, list[Finding]], ...] = (
        ("oxlint", list(oxlint)),
        ("eslint", list(eslint)),
    )
    for (only, said), (_, other) in (engines, engines[::-1]):
        more = Counter(map(_key, said)) - Counter(map(_key, other))
        for key, count in sorted(more.items(), key=str):
            findings = tuple(finding for finding in said if _key(finding) == key)
            yield Difference(only, *key, count, findings)


def explanation(difference: Difference, text: str) -> Explained | None:
    """The known reason of a difference in a file of that `text`; None for a defect of a rule or an
    engine."""
    for known in EXPLAINED:
        if known.only == difference.only and difference.code in known.codes:
            applying = [f for f in difference.findings if known.applies(f, text)]
            if len(applying) >= difference.count:
                return known
    return None


def _key(finding: Finding) -> tuple[str, str | None, int | None]:
    return _CAUSES.get(finding.code, finding.code), finding.path, finding.line
