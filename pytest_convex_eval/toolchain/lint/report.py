"""A linter's report judged: what counts how much, where it is, and what files say together.

One root cause is one finding: where Convex's rule and ours say the same of the same place, the one
that counts more speaks, and Convex's when both count the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeGuard

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.places import Position
from pytest_convex_eval.toolchain.lint.across_files.decide import decide
from pytest_convex_eval.toolchain.lint.across_files.decision import Decision
from pytest_convex_eval.toolchain.lint.across_files.facts import RULE as FACTS
from pytest_convex_eval.toolchain.lint.across_files.facts import FileFacts, LineAndColumn, parse
from pytest_convex_eval.toolchain.lint.catalogue import AS_OF, OURS, RULES, Rule, Selection
from pytest_convex_eval.toolchain.positions import SourceTree

_FILTER = "@convex-dev/no-filter-in-query"
_TARGETS = f"{OURS}internal-targets"
# About what anyone on the internet may call. A component's public functions are its app's to call.
_OF_PUBLIC = frozenset(
    {
        "@convex-dev/require-access-control",
        f"{OURS}authorization",
        _TARGETS,
        f"{OURS}user-id-argument",
    }
)
_BY_CODE = {rule.code: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What an engine's rule says of a place. `rule` is its name in `catalogue`, `message_id` tells
    apart what Convex's rules say; facts have no place."""

    rule: str
    message_id: str | None
    message: str
    path: str
    place: Position | None
    help: str | None = None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """An engine's whole report. `unparsable` files do not parse, `too_deep` ones overflow its
    stack; `exhausted`: the answer took all that an engine may have, and nothing else is known."""

    diagnostics: tuple[Diagnostic, ...] = ()
    unparsable: frozenset[str] = frozenset()
    too_deep: tuple[str, ...] = ()
    output: str = ""
    cpu_seconds: float = 0.0
    exhausted: bool = False


def judge(
    report: EngineReport,
    paths: Collection[str],
    selection: Selection,
    tree: SourceTree,
    *,
    public: Collection[str] = frozenset(),
) -> list[Finding]:
    """The findings in an engine's `report` of the files `paths`, relative to the root of `tree`.

    Raises InfrastructureError for a rule that is not ours, and for a file of which our plugin said
    nothing although it parses: a rule has crashed.
    """
    judged = _Judged(selection, tree, _components(paths))
    for diagnostic in report.diagnostics:
        judged.add(diagnostic)
    for path in report.too_deep:
        judged.too_deep(path)
    if selection.needs_facts:
        unread = report.unparsable.union(report.too_deep)
        silent = sorted(set(paths) - judged.facts.keys() - unread)
        if silent:
            raise InfrastructureError(
                f"our lint plugin did not come to an end on {silent[0]}", detail=report.output
            )
        # Engines look at files in parallel: what is told of the first is always told of the same.
        for decision in decide(dict(sorted(judged.facts.items())), public):
            judged.decided(decision)
    return judged.findings(public)


@dataclass(slots=True)
class _Judged:
    selection: Selection
    tree: SourceTree
    components: tuple[str, ...]
    facts: dict[str, FileFacts] = field(default_factory=dict)
    _found: list[Finding] = field(default_factory=list)

    def add(self, diagnostic: Diagnostic) -> None:
        if diagnostic.rule == FACTS:
            self.facts[diagnostic.path] = parse(diagnostic.message)
            return
        rule = self.selection.rule_for(diagnostic.rule, diagnostic.message_id, diagnostic.message)
        if rule is None or diagnostic.place is None:
            raise InfrastructureError(
                f"the linter reports {diagnostic.rule}, which is not ours",
                detail=diagnostic.message,
            )
        self._find(rule, diagnostic.message, diagnostic.path, diagnostic.place, diagnostic.help)

    def too_deep(self, path: str) -> None:
        message = "this file is nested so deep that the linter can't read it"
        self._found.append(Finding("lint/resource-limit", message, path=path))

    def decided(self, decision: Decision) -> None:
        rule = _BY_CODE[f"{OURS}{decision.name}"]
        if self.selection.admits(rule.code, decision.evidence):
            place = self._place(decision.path, decision.at)
            self._find(rule, decision.message, decision.path, place, None)

    def findings(self, public: Collection[str]) -> list[Finding]:
        """What is found, each root cause once."""
        allowed = set(self._allowed(public))
        places = {(f.code, f.path, f.line, f.column): f for f in self._found}
        silent: set[int] = {
            id(f) for f in self._found if (f.code, f.path, f.line, f.column) in allowed
        }
        for finding in self._found:
            rule = _BY_CODE.get(finding.code)
            twin = rule.twin if rule is not None else None
            other = places.get((twin, finding.path, finding.line, finding.column)) if twin else None
            if other is not None:
                counts_more = finding.severity == "error" != other.severity
                silent.add(id(other if counts_more else finding))
        return [finding for finding in self._found if id(finding) not in silent]

    def _allowed(self, public: Collection[str]) -> Iterator[tuple[str, str, int, int]]:
        """Code and place of what is no finding here: filters on which Convex's sources disagree,
        unless the case requires their rule, and runs of functions that it says are `public`."""
        for path, facts in self.facts.items():
            told = [(_FILTER, at) for at in facts.allowed_filters]
            if _FILTER in self.selection.required:
                told = []
            for declaration in facts.declarations if public else ():
                for run in declaration.runs:
                    *modules, name = run.path or ("",)
                    if run.root == "api" and f"{'/'.join(modules)}:{name}" in public:
                        told.append((_TARGETS, run.at))
            for code, at in told:
                place = self._place(path, at)
                yield code, path, place.line, place.column

    def _find(
        self, rule: Rule, message: str, path: str, place: Position, help_text: str | None
    ) -> None:
        level = self.selection.levels[rule.code]
        if level == "off":
            return
        if rule.code in _OF_PUBLIC and path.startswith(self.components):
            return
        source_note = f"{rule.source}, {AS_OF}"
        self._found.append(
            Finding(
                code=rule.code,
                message=message,
                severity=level,
                path=path,
                line=place.line,
                column=place.column,
                excerpt=self.tree[path].excerpt(place.line),
                hint=f"{help_text} ({source_note})" if help_text else source_note,
            )
        )

    def _place(self, path: str, at: LineAndColumn) -> Position:
        line, column = at
        return self.tree[path].in_utf16(line, column + 1)


def _components(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders of components, by their configuration; the app's own is none."""
    configured = (PurePosixPath(path) for path in paths)
    folders = {path.parent for path in configured if path.name.startswith("convex.config.")}
    return tuple(f"{folder}/" for folder in sorted(folders - {PurePosixPath("convex")}))


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether `value` is a JSON object."""
    return isinstance(value, dict)
