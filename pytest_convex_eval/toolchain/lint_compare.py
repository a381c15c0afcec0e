"""How ESLint's findings differ from oxlint's, rule by rule, and which differences are explained.

A finding is the same when its file, line and root cause are. Columns may differ: the engines put
some rules' findings at different ends of the same expression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.toolchain.lint_rules import RULES

Engine: TypeAlias = Literal["oxlint", "eslint"]

_CAUSES: Mapping[str, str] = {rule.code: rule.twin for rule in RULES if rule.twin is not None}


@dataclass(frozen=True, slots=True)
class Difference:
    """A finding that one engine has `count` times more than the other on a line of a file."""

    only: Engine
    code: str
    path: str | None
    line: int | None
    count: int = 1

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.path else "the whole answer"
        return f"only {self.only} reports {self.code} at {where}"


@dataclass(frozen=True, slots=True)
class Explained:
    """A difference between the engines that is known, and its reason."""

    only: Engine
    codes: frozenset[str]
    reason: str


EXPLAINED: tuple[Explained, ...] = (
    Explained(
        "oxlint",
        frozenset({"lint/not-linted"}),
        "oxlint takes some file names for minified code; ESLint looks at every file",
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
    ),
    Explained(
        "eslint",
        frozenset({"lint/no-unsafe-argument"}),
        "what does not typecheck has an error type, which typescript-eslint reports as unsafe and "
        "tsgolint does not; such findings are shown and do not count",
    ),
)


def differences(oxlint: Iterable[Finding], eslint: Iterable[Finding]) -> Iterator[Difference]:
    """What only one of the engines reports of an answer, explained or not.

    Where Convex's rule and ours say the same, it does not matter which of them speaks.
    """
    one, other = Counter(map(_key, oxlint)), Counter(map(_key, eslint))
    for only, more in (("oxlint", one - other), ("eslint", other - one)):
        for (code, path, line), count in sorted(more.items(), key=str):
            yield Difference("oxlint" if only == "oxlint" else "eslint", code, path, line, count)


def explanation(difference: Difference) -> Explained | None:
    """The known reason of a difference; None for a defect of a rule or an engine."""
    for known in EXPLAINED:
        if known.only == difference.only and difference.code in known.codes:
            return known
    return None


def _key(finding: Finding) -> tuple[str, str | None, int | None]:
    return _CAUSES.get(finding.code, finding.code), finding.path, finding.line
