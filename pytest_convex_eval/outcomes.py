"""What checking an answer can end in: findings, stage results, verdicts, and exceptions.

Everything here is plain data from the standard library, so that every room may import it. Its
texts are well-formed, whoever wrote them (`text`): they go to reports, records and caches.

Whose fault something is, is said by type and never read out of a text:

* the model's fault is a `Finding` inside a failed `StageResult`;
* ours or the environment's is an `InfrastructureError`;
* the suite's own fault (a broken case) is a `CaseError`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from pytest_convex_eval.text import well_formed

_Number = TypeVar("_Number", int, float)

StageName: TypeAlias = str
"""A stage's name: those of this package stand in `stages.table`, and plugins may add others."""

Difficulty: TypeAlias = Literal["easy", "medium", "hard"]

DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
"""The easiest first."""

REFERENCE = "reference"
"""The subject that is no model: each case's own reference answer."""

Severity: TypeAlias = Literal["error", "warning", "info"]
"""Only an error makes a stage fail; warnings and infos are reported and fail nothing."""

StageStatus: TypeAlias = Literal["passed", "failed", "skipped", "error"]
"""failed: the model's fault; error: not the model's fault; skipped: what it needs is not there."""

StopReason: TypeAlias = Literal[
    "stop", "max_tokens", "context_window", "refusal", "unfinished", "unknown"
]
"""Why a model's reply ended. stop: by itself; max_tokens, context_window: it was cut off there;
unfinished: it waits for something that nobody offered; unknown: for a reason unknown here."""

Files: TypeAlias = Mapping[str, str]
"""The text of each file of an answer, by its POSIX path relative to the workspace."""


class _WellFormed:
    """A frozen dataclass whose texts are made well-formed when it is made."""

    __slots__: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, str) and not value.isascii():
                object.__setattr__(self, name, well_formed(value))


class Verdict(enum.StrEnum):
    """The end of an item."""

    PASSED = "passed"
    FAILED = "failed"
    """The model's fault."""
    ERROR = "error"
    """It is not the model's fault, and leaves the denominator of every rate."""


@dataclass(frozen=True, slots=True)
class Finding(_WellFormed):
    """One thing a stage says about an answer.

    `code` is stable and namespaced by what found it: `TS2322`, `package/unknown-package`,
    `deploy/InvalidTableName`, `lint/no-floating-promises`.
    `path` is relative to the workspace, POSIX; `line` and `column` count from 1, columns in
    characters as a person counts them. `excerpt` is the line of code, without its line end.
    """

    code: str
    message: str
    severity: Severity = "error"
    path: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    hint: str | None = None

    def location(self) -> str:
        """`path:line:column` as far as they are known, or the empty string."""
        parts = [self.path, self.line, self.column]
        known = parts[: parts.index(None)] if None in parts else parts
        return ":".join(str(part) for part in known)


@dataclass(frozen=True, slots=True)
class StageResult(_WellFormed):
    """What one stage said. `seconds` are wall time, `cpu_seconds` those of the processes it ran.

    `reason` says in one sentence why a stage was skipped or ended in an error; `output` is what
    the failing tool printed, unchanged but for its length. `cached`: whether all of it was said
    before, of the same answer; None of a stage of which nothing is kept. `left_out` counts the
    findings beyond the most that are kept.
    """

    stage: StageName
    status: StageStatus
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    output: str = ""
    cached: bool | None = None
    left_out: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the stage fail."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


@dataclass(frozen=True, slots=True)
class Round(_WellFormed):
    """How an answer fared before it was repaired: `stage` and `code` are its first failure."""

    verdict: Verdict
    stage: StageName | None
    code: str | None


@dataclass(frozen=True, slots=True)
class RequestFacts(_WellFormed):
    """One request of an item, and what its reply took. `key` is the reply's in the store, `stored`
    whether it was there; `seconds` are the wall time of making it. Tokens and `usd` are None where
    they are not known, which is not nothing.
    """

    key: str
    stored: bool
    stop_reason: StopReason
    seconds: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Generated(_WellFormed):
    """Where an item's answer came from: `source` is a model, `store`, or `mutant`; `shape` is how
    the reply told its files. `requests` are all that were made for the item, in order: a design,
    the answer, each round of repair.
    """

    source: str = ""
    shape: str | None = None
    requests: tuple[RequestFacts, ...] = ()

    @property
    def seconds(self) -> float:
        """The seconds of all requests together."""
        return sum(request.seconds for request in self.requests)

    @property
    def input_tokens(self) -> int | None:
        """The tokens that all requests together sent; None where one is not known."""
        return _sum([request.input_tokens for request in self.requests])

    @property
    def output_tokens(self) -> int | None:
        """The tokens of all replies together; None where one is not known."""
        return _sum([request.output_tokens for request in self.requests])

    @property
    def usd(self) -> float | None:
        """The cost of all requests together; None where one is not known."""
        return _sum([request.usd for request in self.requests])

    def to_json(self) -> dict[str, Any]:
        """Builtins only, with the sums for those who read records."""
        sums = {
            "seconds": self.seconds,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "usd": self.usd,
        }
        return {**asdict(self), **sums}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Generated:
        """The inverse of `to_json`."""
        requests = tuple(RequestFacts(**request) for request in data["requests"])
        return cls(data["source"], data["shape"], requests)


@dataclass(frozen=True, slots=True)
class CaseFingerprint:
    """What a case was, 16 hexadecimal digits each: `prompt` is what the model sees of it, `checks`
    what an answer is held to (expect, behaviour, lint, environment), `reference` its own answer.
    Summary, tags and mutants are in none of them.
    """

    prompt: str
    checks: str
    reference: str


@dataclass(frozen=True, slots=True)
class ItemResult(_WellFormed):
    """The verdict of one item with all that led to it; travels between processes as JSON.

    `stage` and `code` name the first failing stage and its first error; `expected` says, for a
    mutant, the `stage` or `stage/code` where it had to fail. `rounds` are the answers before the
    one judged here, where findings were fed back to the model.
    """

    case: str
    category: str
    difficulty: str
    model: str
    arm: str
    trial: int
    verdict: Verdict
    stages: tuple[StageResult, ...] = ()
    stage: StageName | None = None
    code: str | None = None
    message: str = ""
    mutant: str | None = None
    expected: str | None = None
    generation: Generated = Generated()
    artefacts: str | None = None
    rounds: tuple[Round, ...] = ()
    fingerprint: CaseFingerprint | None = None

    def to_json(self) -> dict[str, Any]:
        """Builtins only: xdist and JSON refuse anything else."""
        data = asdict(self)
        data["verdict"] = self.verdict.value
        data["generation"] = self.generation.to_json()
        for one in data["rounds"]:
            one["verdict"] = one["verdict"].value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ItemResult:
        """The inverse of `to_json`."""
        stages = tuple(
            StageResult(**{**stage, "findings": tuple(Finding(**f) for f in stage["findings"])})
            for stage in data["stages"]
        )
        rounds = tuple(
            Round(**{**one, "verdict": Verdict(one["verdict"])}) for one in data["rounds"]
        )
        fingerprint = data.get("fingerprint")
        return cls(
            **{
                **data,
                "fingerprint": None if fingerprint is None else CaseFingerprint(**fingerprint),
                "verdict": Verdict(data["verdict"]),
                "stages": stages,
                "rounds": rounds,
                "generation": Generated.from_json(data["generation"]),
            }
        )


def _sum(parts: Sequence[_Number | None]) -> _Number | None:
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    total = known[0]
    for part in known[1:]:
        total += part
    return total


class ConvexEvalError(Exception):
    """Base of every exception that this package raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(well_formed(message))


class InfrastructureError(ConvexEvalError):
    """Our fault or the environment's: the item's verdict is an error and blames no model.

    The message is one sentence for a person; `detail` is what a tool printed, unchanged.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = well_formed(detail)


class ConfigurationError(ConvexEvalError):
    """What was asked for can't be done (a missing key, an unknown model): stops the run at once."""


class CaseError(ConvexEvalError):
    """A case file is broken; the message holds one `file:line:column: problem` a line."""


class ItemEndedError(Exception):
    """An item did not pass; `result` says how and why."""

    def __init__(self, result: ItemResult) -> None:
        super().__init__(result.message)
        self.result = result


def interrupt_before(error: BaseException) -> BaseException | None:
    """The interrupt (Ctrl-C, an item's last limit) that `error` took the place of; None where there
    was none.

    What fails while everything is cleaned up after an interrupt must not hide it.
    """
    seen: set[int] = set()
    before = error.__context__
    while before is not None and id(before) not in seen:
        if not isinstance(before, Exception | GeneratorExit):
            return before
        seen.add(id(before))
        before = before.__context__
    return None
