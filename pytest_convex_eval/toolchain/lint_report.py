"""oxlint's report judged: what counts how much, where it is, and what files say together.

One root cause is one finding: where Convex's rule and ours say the same of the same place, the one
that counts more speaks, and Convex's when both count the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from pytest_convex_eval.outcomes import Finding, InfrastructureError
from pytest_convex_eval.toolchain.lint_rules import AS_OF, OURS, RULES, Rule, Selection
from pytest_convex_eval.toolchain.positions import Position, SourceTree
from pytest_convex_eval.toolchain.rules.decide import Decision, decide
from pytest_convex_eval.toolchain.rules.facts import RULE as FACTS
from pytest_convex_eval.toolchain.rules.facts import FileFacts, Place, parse

_CODE = re.compile(r"(?P<plugin>[^()]+)\((?P<rule>[^()]+)\)")
_MESSAGE_ID = re.compile(r"\[(?P<id>[^\]\n]+)\] ")
# Of a rule that threw, oxlint tells the JavaScript error's class in its text and nowhere else. Code
# that is nested thousands deep overflows the stack already where oxlint hands it to plugins.
_OVERFLOW = "\nRangeError: Maximum call stack size exceeded\n"
_FILTER = "@convex-dev/no-filter-in-query"
_BY_CODE = {rule.code: rule for rule in RULES}


def judge(
    diagnostics: Sequence[object], paths: Collection[str], selection: Selection, tree: SourceTree
) -> list[Finding]:
    """The findings in oxlint's `diagnostics` on the files `paths`, relative to the root of `tree`.

    Raises InfrastructureError for a diagnostic that can't be understood, and for a file of which
    our plugin said nothing although it parses: a rule has crashed.
    """
    judged = _Judged(selection, tree)
    for diagnostic in diagnostics:
        judged.add(diagnostic)
    if selection.needs_facts:
        silent = sorted(set(paths) - judged.facts.keys() - judged.unparsable)
        if silent:
            raise InfrastructureError(
                f"our lint plugin did not come to an end on {silent[0]}",
                detail="\n".join(map(str, diagnostics)),
            )
        for decision in decide(judged.facts):
            judged.decided(decision)
    return judged.findings()


@dataclass(slots=True)
class _Judged:
    selection: Selection
    tree: SourceTree
    facts: dict[str, FileFacts] = field(default_factory=dict)
    unparsable: set[str] = field(default_factory=set)
    _found: list[Finding] = field(default_factory=list)

    def add(self, diagnostic: object) -> None:
        """Syntax errors are another stage's to tell: they have no code, or TypeScript's
        (`TS(1039)`)."""
        if not is_object(diagnostic):
            raise InfrastructureError(
                "oxlint's report has an unknown shape", detail=str(diagnostic)
            )
        path = str(diagnostic.get("filename", ""))
        message = str(diagnostic.get("message", ""))
        code = _CODE.fullmatch(str(diagnostic.get("code", "")))
        if code is None or code["plugin"] == "TS":
            # A rule that threw has no code either, but no place.
            if diagnostic.get("labels"):
                self.unparsable.add(path)
            elif _OVERFLOW in message:
                self.unparsable.add(path)
                too_deep = "this file is nested so deep that the linter can't read it"
                self._found.append(Finding("lint/resource-limit", too_deep, path=path))
            return
        name = code["rule"] if code["plugin"] == "eslint" else f"{code['plugin']}/{code['rule']}"
        if name == FACTS:
            self.facts[path] = parse(message)
            return
        message_id = _MESSAGE_ID.match(message) if name.startswith("@convex-dev/") else None
        rule = self.selection.rule_for(name, message_id["id"] if message_id else None)
        if rule is None:
            raise InfrastructureError(f"oxlint reports {name}, which is not ours", detail=message)
        help_text = diagnostic.get("help")
        self._find(
            rule,
            message[message_id.end() :] if message_id else message,
            path,
            self.tree[path].at_byte(_offset(diagnostic)),
            help_text if isinstance(help_text, str) else None,
        )

    def decided(self, decision: Decision) -> None:
        rule = _BY_CODE[f"{OURS}{decision.name}"]
        if decision.certain or rule.code in self.selection.required:
            place = self._place(decision.path, decision.at)
            self._find(rule, decision.message, decision.path, place, None)

    def findings(self) -> list[Finding]:
        """What is found, each root cause once."""
        allowed = {
            (path, place.line, place.column)
            for path, facts in self.facts.items()
            for place in (self._place(path, at) for at in facts.allowed_filters)
            if _FILTER not in self.selection.required
        }
        places = {(f.code, f.path, f.line, f.column): f for f in self._found}
        silent: set[int] = {
            id(f)
            for f in self._found
            if f.code == _FILTER and (f.path, f.line, f.column) in allowed
        }
        for finding in self._found:
            rule = _BY_CODE.get(finding.code)
            twin = rule.twin if rule is not None else None
            other = places.get((twin, finding.path, finding.line, finding.column)) if twin else None
            if other is not None:
                counts_more = finding.severity == "error" != other.severity
                silent.add(id(other if counts_more else finding))
        return [finding for finding in self._found if id(finding) not in silent]

    def _find(
        self, rule: Rule, message: str, path: str, place: Position, help_text: str | None
    ) -> None:
        level = self.selection.levels[rule.code]
        if level == "off":
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

    def _place(self, path: str, at: Place) -> Position:
        line, column = at
        return self.tree[path].in_utf16(line, column + 1)


def _offset(diagnostic: Mapping[str, object]) -> int:
    """Bytes from the start of the file to what is reported."""
    labels = diagnostic.get("labels")
    label = labels[0] if isinstance(labels, list) and labels else None
    span = label.get("span") if is_object(label) else None
    offset = span.get("offset") if is_object(span) else None
    if not isinstance(offset, int):
        raise InfrastructureError("oxlint's report has an unknown shape", detail=str(diagnostic))
    return offset


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether `value` is a JSON object."""
    return isinstance(value, dict)
