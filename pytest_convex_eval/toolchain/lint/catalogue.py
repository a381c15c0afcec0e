"""Which lint rules there are, how much each counts in which profile, and where each comes from.

A rule is an error by default only if it never fired on 111 backends that people wrote and reviewers
accepted; what fired there is a warning. Warnings are reported and fail nothing. Convex's guidance
changes from year to year, so that each rule names its source, and `AS_OF` the state of all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_convex_eval.toolchain.lint.across_files.decision import Evidence
from pytest_convex_eval.toolchain.lint.profiles import LintProfile

AS_OF = "2026-11"

Level: TypeAlias = Literal["off", "warning", "error"]
OURS = "convex-eval/"
"""What the codes of our own rules begin with; each has a page in `docs/rules`."""

Option: TypeAlias = str | bool | Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its code in findings, how oxlint calls it, and its weight.

    `message_id` tells apart what one rule of Convex's plugin says of different weight, `words` do
    where a message has no id; a rule that has either is judged before the rule of the same `name`
    that has none. `twin` is the code of
    Convex's rule that says the same where it sees it: it speaks first, and who names it for a case
    means both. A rule that is not `in_plugin` is decided over all files (`rules.decide`).
    """

    code: str
    name: str
    source: str
    recommended: Level
    strict: Level
    options: Mapping[str, Option] | None = None
    groups: frozenset[str] = frozenset()
    message_id: str | None = None
    words: str | None = None
    twin: str | None = None
    in_plugin: bool = True

    def level(self, profile: LintProfile) -> Level:
        if profile == "strict":
            return self.strict
        if profile == "correctness" and self.recommended != "error":
            return "off"
        return self.recommended


def _convex(
    name: str,
    source: str,
    recommended: Level,
    strict: Level | None = None,
    *,
    groups: Iterable[str] = (),
) -> Rule:
    code = f"@convex-dev/{name}"
    return Rule(code, code, source, recommended, strict or recommended, groups=frozenset(groups))


def _typescript(
    name: str, source: str, recommended: Level, strict: Level | None = None, **options: Option
) -> Rule:
    return Rule(
        f"lint/{name}",
        f"typescript/{name}",
        source,
        recommended,
        strict or recommended,
        options or None,
    )


def _core(
    name: str, source: str, recommended: Level, strict: Level | None = None, **options: Option
) -> Rule:
    return Rule(f"lint/{name}", name, source, recommended, strict or recommended, options or None)


def _ours(
    name: str,
    source: str,
    recommended: Level,
    strict: Level | None = None,
    *,
    groups: Iterable[str] = (),
    twin: str | None = None,
    in_plugin: bool = True,
) -> Rule:
    code = f"{OURS}{name}"
    return Rule(
        code,
        code,
        source,
        recommended,
        strict or recommended,
        groups=frozenset(groups),
        twin=f"@convex-dev/{twin}" if twin else None,
        in_plugin=in_plugin,
    )


def _over_files(
    name: str,
    source: str,
    recommended: Level,
    strict: Level | None = None,
    *,
    groups: Iterable[str] = (),
) -> Rule:
    return _ours(name, source, recommended, strict, groups=groups, in_plugin=False)


_BEST_PRACTICES = "docs.convex.dev/understanding/best-practices"
_CONVEX_ESLINT = "docs.convex.dev/eslint"
_GUIDELINES = "Convex's AI guidelines for convex ^1.44"
_ACTIONS = "docs.convex.dev/functions/actions"
_INDEXES = "docs.convex.dev/database/reading-data/indexes"
_STRICT_MODE = "Convex's strict-mode list"
_COST = "a vendor's rules against cost"
_COMMON = "typescript-eslint's recommended-type-checked"

# Why some well-known rules are not here: promise-function-async, explicit-function-return-type,
# require-await, no-unsafe-assignment and no-unsafe-return judge style, or are noise on Convex code;
# no-await-in-loop forbids the documented way of joining; import-wrong-runtime takes the words "use
# node" in a comment for the directive.
RULES: tuple[Rule, ...] = (
    _convex("no-old-registered-function-syntax", _CONVEX_ESLINT, "error"),
    _convex("require-args-validator", _BEST_PRACTICES, "error"),
    _convex("no-schema-import-cycle", _CONVEX_ESLINT, "error"),
    _convex("no-duplicate-indexes", _BEST_PRACTICES, "error"),
    Rule(
        code="@convex-dev/no-duplicate-indexes/prefix",
        name="@convex-dev/no-duplicate-indexes",
        source=_BEST_PRACTICES,
        recommended="warning",
        strict="error",
        message_id="prefix-index",
    ),
    _convex("explicit-table-ids", _BEST_PRACTICES, "warning", "error"),
    _convex("no-filter-in-query", _BEST_PRACTICES, "warning", "error"),
    _convex("no-top-of-hour-crons", "docs.convex.dev/scheduling/cron-jobs", "warning"),
    _convex("no-process-env", "docs.convex.dev/production/environment-variables", "warning"),
    _convex("no-collect-in-query", _BEST_PRACTICES, "off", "error", groups=["cost"]),
    # Knows a check by its name only: it does not see a plain ctx.auth.getUserIdentity(), which
    # convex-eval/authorization does. For cases that ask for it.
    _convex("require-access-control", _BEST_PRACTICES, "off"),
    _typescript("no-floating-promises", _BEST_PRACTICES, "error"),
    _typescript(
        "no-misused-promises",
        _BEST_PRACTICES,
        "error",
        # A class that keeps to an interface of callbacks may well work asynchronously.
        checksVoidReturn={"attributes": False, "inheritedMethods": False},
    ),
    _typescript("await-thenable", _BEST_PRACTICES, "error"),
    # `Promise.all` of what is sometimes a promise and sometimes nothing, as in a `map` that writes
    # only where it must. Convex's own components do so.
    Rule(
        code="lint/await-thenable/aggregator",
        name="typescript/await-thenable",
        source=_COMMON,
        recommended="warning",
        strict="warning",
        words="passed to promise aggregator",
    ),
    _typescript("no-deprecated", _GUIDELINES, "warning", "error"),
    _typescript("no-explicit-any", _GUIDELINES, "warning", "error"),
    _typescript("no-unsafe-argument", _COMMON, "warning", "error"),
    _typescript("no-unsafe-member-access", _COMMON, "warning", "error"),
    _typescript("no-unsafe-call", _COMMON, "warning", "error"),
    _core(
        # Half of what it finds otherwise are a handler's `ctx` and `args`.
        "no-unused-vars",
        _COMMON,
        "warning",
        "error",
        args="none",
        argsIgnorePattern="^_",
        varsIgnorePattern="^_",
    ),
    _core("prefer-const", _COMMON, "warning"),
    _typescript("no-array-delete", _COMMON, "warning"),
    _typescript("no-base-to-string", _COMMON, "warning"),
    _typescript("no-duplicate-type-constituents", _COMMON, "warning"),
    _typescript("no-for-in-array", _COMMON, "warning"),
    _typescript("no-implied-eval", _COMMON, "warning"),
    _typescript("no-redundant-type-constituents", _COMMON, "warning"),
    _typescript("no-unnecessary-type-assertion", _COMMON, "warning"),
    _typescript("no-unsafe-enum-comparison", _COMMON, "warning"),
    _typescript("no-unsafe-unary-minus", _COMMON, "warning"),
    _typescript("only-throw-error", _COMMON, "warning"),
    _typescript("prefer-promise-reject-errors", _COMMON, "warning"),
    _typescript("restrict-plus-operands", _COMMON, "warning"),
    _typescript("restrict-template-expressions", _COMMON, "warning"),
    _typescript("unbound-method", _COMMON, "warning"),
    _ours(
        "old-function-syntax",
        _CONVEX_ESLINT,
        "error",
        twin="no-old-registered-function-syntax",
    ),
    _ours("args-validator", _BEST_PRACTICES, "error", twin="require-args-validator"),
    _over_files("no-node-import", _STRICT_MODE, "error"),
    _ours("node-actions-only", _ACTIONS, "error"),
    _ours("no-system-field-in-index", _INDEXES, "error"),
    _ours("duplicate-index", _INDEXES, "error", twin="no-duplicate-indexes"),
    _ours("http-routes", "docs.convex.dev/functions/http-actions", "error"),
    _ours("no-collect-length", _BEST_PRACTICES, "warning", "error"),
    _ours("prefix-index", _STRICT_MODE, "warning", "error", twin="no-duplicate-indexes/prefix"),
    _ours("no-query-filter", _BEST_PRACTICES, "warning", "error", twin="no-filter-in-query"),
    _ours("no-unindexed-collect", _BEST_PRACTICES, "warning", "error", twin="no-collect-in-query"),
    _ours("explicit-table-name", _BEST_PRACTICES, "warning", "error", twin="explicit-table-ids"),
    _ours("internal-targets", _BEST_PRACTICES, "warning", "error"),
    _ours("no-sequential-runs", _BEST_PRACTICES, "warning", "error"),
    _ours("no-run-in-loop", _BEST_PRACTICES, "warning", "error"),
    _ours("no-subtransaction", _BEST_PRACTICES, "warning", "error"),
    _over_files("no-same-runtime-action", _BEST_PRACTICES, "warning", "error"),
    _ours("no-date-in-query", _BEST_PRACTICES, "warning", "error"),
    _ours("no-system-field-in-table", _GUIDELINES, "warning"),
    _over_files("unused-index", _INDEXES, "warning"),
    _over_files("id-validator", "docs.convex.dev/database/document-ids", "warning"),
    _ours("no-known-any", _GUIDELINES, "warning"),
    _ours("subject-as-key", _GUIDELINES, "warning"),
    _ours("transaction-limits", "docs.convex.dev/production/state/limits", "warning", "error"),
    _ours("no-hardcoded-secret", "docs.convex.dev/production/environment-variables", "warning"),
    _ours("no-node-builtin", _ACTIONS, "warning"),
    _ours("route-path", "docs.convex.dev/functions/http-actions", "warning"),
    _over_files("unrouted-http-action", "docs.convex.dev/functions/http-actions", "warning"),
    _ours("file-names", "docs.convex.dev/understanding", "warning"),
    _ours("returns-validator", _STRICT_MODE, "off", "error"),
    _ours("index-name", _GUIDELINES, "off", "error"),
    # Convex's guidelines forbid what its documentation and its own lint rule recommend.
    _ours("cron-helpers", _GUIDELINES, "off", "warning"),
    _over_files("auth-config", _STRICT_MODE, "off", "error", groups=["auth"]),
    _over_files("authentication", _STRICT_MODE, "warning", "error", groups=["auth"]),
    _over_files("authorization", _STRICT_MODE, "off", "error", groups=["auth"]),
    _ours("user-id-argument", _GUIDELINES, "off", "error", groups=["auth"]),
    _ours("bounded-take", _COST, "off", "error", groups=["cost"]),
    _ours("no-unbounded-write-loop", _COST, "off", "error", groups=["cost"]),
    _ours("no-unbounded-read-loop", _COST, "off", "error", groups=["cost"]),
    _ours("no-query-in-loop", _COST, "off", "error", groups=["cost"]),
    _ours("cron-interval", _COST, "off", "error", groups=["cost"]),
    _over_files("bounded-cron", _COST, "off", "error", groups=["cost"]),
    # Whether a backend needs it, only its case knows.
    _over_files("rate-limiter", _COST, "off", groups=["cost"]),
)

GROUPS: Mapping[str, frozenset[str]] = {
    group: frozenset(rule.code for rule in RULES if group in rule.groups)
    for group in sorted({group for rule in RULES for group in rule.groups})
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The level of every rule for one item, and the codes of those that its case asked for."""

    levels: Mapping[str, Level]
    required: frozenset[str] = frozenset()
    profile: LintProfile = "recommended"

    def admits(self, code: str, evidence: Evidence) -> bool:
        """Whether so much evidence is enough for a finding of the rule `code`."""
        if evidence == "certain" or code in self.required:
            return True
        return evidence == "likely" and self.profile == "strict"

    @property
    def needs_facts(self) -> bool:
        """Whether any rule of ours is on."""
        return any(rule.code.startswith(OURS) and self.levels[rule.code] != "off" for rule in RULES)

    def rule_for(self, name: str, message_id: str | None, message: str = "") -> Rule | None:
        """What judges a diagnostic of oxlint's rule `name`; None for a rule that is not ours."""
        named = [rule for rule in RULES if rule.name == name]
        special = [
            rule
            for rule in named
            if (rule.message_id is not None and rule.message_id == message_id)
            or (rule.words is not None and rule.words in message)
        ]
        plain = [rule for rule in named if rule.message_id is None and rule.words is None]
        return next(iter(special or plain), None)

    def configured(self) -> dict[str, str | list[str | Mapping[str, Option]]]:
        """oxlint's `rules`: each that is on at some level, with its options."""
        return {
            rule.name: "error" if rule.options is None else ["error", rule.options]
            for rule in RULES
            if rule.in_plugin
            and any(self.levels[r.code] != "off" for r in RULES if r.name == rule.name)
        }


def select(profile: LintProfile, *, off: Iterable[str], require: Iterable[str]) -> Selection:
    """The rules of `profile`, with `require` as errors and then without `off`.

    Both name rules by code (`lint/no-unused-vars`), by bare name (`no-unused-vars`) or by group
    (`auth`). Raises ValueError for a name that is none, with a suggestion.
    """
    levels = {rule.code: rule.level(profile) for rule in RULES}
    required = frozenset(code for name in require for code in _with_twins(resolve(name)))
    levels.update(dict.fromkeys(required, "error"))
    for name in off:
        levels.update(dict.fromkeys(_with_twins(resolve(name)), "off"))
    return Selection(levels, required, profile)


def _with_twins(codes: Iterable[str]) -> Iterator[str]:
    """`codes`, each with the code of the rule of ours that says the same."""
    for code in codes:
        yield code
        yield from (rule.code for rule in RULES if rule.twin == code)


def resolve(name: str) -> Sequence[str]:
    """The codes of the rules that `name` means. Raises ValueError for a name that means none."""
    known: dict[str, list[str]] = {}
    for rule in RULES:
        for alias in {rule.code, rule.code.partition("/")[2]}:
            known.setdefault(alias, []).append(rule.code)
    known.update({group: sorted(codes) for group, codes in GROUPS.items()})
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        suggestion = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no lint rule or group is called {name!r}{suggestion}")
    return known[name]
