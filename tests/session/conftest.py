"""Sessions over pytest's own configuration, with an evaluator and a reporter that only note."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from pytest_convex_eval.cases.plan import Emit, Plan
from pytest_convex_eval.evaluation.evaluator import Evaluator
from pytest_convex_eval.generation.built_in import built_in_vendors
from pytest_convex_eval.options import read_settings
from pytest_convex_eval.outcomes import ItemResult
from pytest_convex_eval.runs.record import RunRecord
from pytest_convex_eval.runs.reporter import RunReporter
from pytest_convex_eval.session import EvalSession


@pytest.fixture
def write_case(pytester: pytest.Pytester) -> Callable[..., str]:
    """Writes `cases/fundamentals/<difficulty>/<name>.yaml` and returns that path."""

    def write(name: str, difficulty: str = "easy", **keys: Any) -> str:
        case = {
            "summary": "A table of notes",
            "prompt": f"Write {name}.",
            "reference": {"package.json": "{}"},
            **keys,
        }
        place = f"cases/fundamentals/{difficulty}/{name}.yaml"
        path = pytester.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(case))
        return place

    return write


@dataclass
class Journal:
    """What evaluator and reporter were asked for, in order."""

    entries: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)
    """What raises what."""
    ahead: list[Plan] = field(default_factory=list)
    began: list[tuple[Path, tuple[str, ...]]] = field(default_factory=list)
    said: str = "all replies are there"
    unjudged: Callable[[str], ItemResult | None] | None = None
    """What the reporter asks for the result of a lost item."""

    def note(self, what: str) -> None:
        self.entries.append(what)
        if what in self.fails:
            raise self.fails[what]


class FakeReporter:
    """As `RunReporter`, in the controller."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    @property
    def begun(self) -> bool:
        return bool(self.journal.began)

    def begin(
        self, record: RunRecord, ours: list[str], unjudged: Callable[[str], ItemResult | None]
    ) -> None:
        self.journal.began.append((record.folder, tuple(ours)))
        self.journal.unjudged = unjudged
        self.journal.note("begin")

    def write(self, line: str) -> None:
        self.journal.note(f"write {line}")

    def show_prefetch(self, progress: object) -> None: ...

    def show_batches(self, progress: object) -> None: ...


class FakeEvaluator:
    """As `Evaluator`, with its replies."""

    def __init__(self, journal: Journal, reporter: object) -> None:
        self.journal = journal
        self.reporter = reporter
        self.replies = self

    def tools(self) -> Any:
        @dataclass(frozen=True)
        class Toolchain:
            fingerprint: str = "f1"
            versions: Mapping[str, str] = field(default_factory=dict)

        @dataclass(frozen=True)
        class Packages:
            convex_version: str = "1.48.0"

            def default_set(self) -> Packages:
                return self

        @dataclass(frozen=True)
        class Tools:
            toolchain: Toolchain
            dependencies: Packages

        self.journal.note("tools")
        return Tools(Toolchain(), Packages())

    def plan_ahead(self, plans: list[Plan]) -> str:
        self.journal.ahead.extend(plans)
        self.journal.note("plan")
        return self.journal.said

    def make_batches(self, tell: object) -> None:
        assert tell == cast(FakeReporter, self.reporter).show_batches
        self.journal.note("batches")

    def prefetch(self, tell: object) -> None:
        assert tell == cast(FakeReporter, self.reporter).show_prefetch
        self.journal.note("prefetch")

    def evaluate(self, plan: Plan, emit: Emit) -> ItemResult:
        self.journal.note("evaluate")
        return cast(ItemResult, plan)

    def close(self) -> None:
        self.journal.note("close")


@dataclass(frozen=True)
class Made:
    """A session and what it is made of."""

    session: EvalSession
    config: pytest.Config
    journal: Journal


@pytest.fixture
def make(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    """A session of `pytest cases ...`; `worker` is what xdist's controller told, in a worker."""
    for name in ("ANTHROPIC_API_KEY", "PYTEST_ADDOPTS", "PYTEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    journal = Journal()
    monkeypatch.setattr("pytest_convex_eval.session.sweep", lambda: journal.note("sweep"))

    def start(*args: str, ini: str = "", worker: dict[str, Any] | None = None) -> Made:
        pytester.makepyprojecttoml(f"[tool.pytest]\n{ini}\n")
        (pytester.path / "cases").mkdir(exist_ok=True)
        config = pytester.parseconfig("-p", "pytest_convex_eval.plugin", "cases", *args)
        reporter: Any = None
        if worker is None:
            reporter = FakeReporter(journal)
        else:
            config.__dict__["workerinput"] = worker
        vendors = built_in_vendors()
        settings = read_settings(config, vendors)
        session = EvalSession(config, settings, cast(RunReporter, reporter), vendors)
        session._evaluator = cast(Evaluator, FakeEvaluator(journal, reporter))
        return Made(session, config, journal)

    return start


@pytest.fixture
def items(pytester: pytest.Pytester) -> Callable[..., list[pytest.Item]]:
    """The items that pytest collects of what is written."""

    def collect(*args: str) -> list[pytest.Item]:
        found, _ = pytester.inline_genitems(
            "-p", "pytest_convex_eval.plugin", "-pno:randomly", *args
        )
        return found

    return collect
