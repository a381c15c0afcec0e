"""What a kept verdict is of: each input of a static stage makes another question; no tool runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import Files, InfrastructureError, StageName
from pytest_convex_eval.stages import cache as cache_module
from pytest_convex_eval.stages.cache import Cached, VerdictCache
from pytest_convex_eval.stages.lint import LintStage
from pytest_convex_eval.stages.protocol import Report, StageContext, StaticStage, Subject, Tools
from pytest_convex_eval.stages.syntax import SyntaxStage
from pytest_convex_eval.stages.typecheck import TypecheckStage
from pytest_convex_eval.toolchain.app_config import Undecided
from pytest_convex_eval.toolchain.lint.eslint import Eslint
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.workspace.layout import Workspace

FILES: Files = {"package.json": "{}", "convex/a.ts": "export {};\n"}
REPORT = Report(output="said", cpu_seconds=0.5)


@dataclass
class Asked(StaticStage):
    """A static stage that counts how often it is asked."""

    name: StageName = "syntax"
    told: Mapping[str, JsonValue] | None = field(default_factory=dict)
    needs: tuple[StageName, ...] = ("package",)
    order: int = 300
    deadline_seconds: float = 7.0
    times: int = 0
    error: Exception | None = None
    report: Report = REPORT

    def reads(self, context: StageContext) -> Mapping[str, JsonValue] | None:
        return self.told

    def check(self, context: StageContext) -> Report:
        self.times += 1
        if self.error is not None:
            raise self.error
        return self.report


def installed(folder: Path, lock: str = "lock", marker: str = "marker") -> DependencySet:
    (folder / "node_modules").mkdir(parents=True)
    (folder / "node_modules" / ".package-lock.json").write_text(lock)
    (folder / "set.json").write_text(marker)
    return DependencySet(folder, folder / "node_modules", {"convex": "1"}, folder / "templates")


@pytest.fixture
def context(bare: Tools, tmp_path: Path) -> StageContext:
    subject = Subject(FILES, {}, (), Expectations(), LintPolicy())
    return StageContext(subject, bare, tmp_path, FILES, installed(tmp_path / "set"))


def verdicts(context: StageContext) -> VerdictCache:
    return VerdictCache(context.folder / "verdicts")


def anew(context: StageContext, stage: Asked) -> bool:
    """Whether the stage is asked, of a context in which another was asked before."""
    Cached(stage, verdicts(context)).check(context)
    return stage.times == 1


def test_the_same_is_asked_once(context: StageContext) -> None:
    assert anew(context, Asked())
    again = Asked()
    assert Cached(again, verdicts(context)).check(context) == replace(
        REPORT, cpu_seconds=0.0, cached=True
    )
    assert again.times == 0


CHANGES: Mapping[str, Callable[[StageContext, Path], StageContext]] = {
    "a text": lambda context, _: replace(context, files={**FILES, "convex/a.ts": "let a;\n"}),
    "a path": lambda context, _: replace(
        context, files={"package.json": "{}", "convex/b.ts": FILES["convex/a.ts"]}
    ),
    "one more file": lambda context, _: replace(context, files={**FILES, "convex/b.ts": ""}),
    "npm's lock": lambda context, folder: replace(
        context, dependencies=installed(folder / "other", lock="other")
    ),
    "what was declared": lambda context, folder: replace(
        context, dependencies=installed(folder / "other", marker="other")
    ),
    "the toolchain": lambda context, _: replace(
        context,
        tools=replace(context.tools, toolchain=replace(context.tools.toolchain, fingerprint="two")),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_input_makes_another_question(
    context: StageContext, tmp_path: Path, change: Callable[[StageContext, Path], StageContext]
) -> None:
    assert anew(context, Asked())
    assert anew(change(context, tmp_path), Asked())
    assert not anew(context, Asked())


@pytest.mark.parametrize("stage", [Asked("lint"), Asked(told={"profile": "strict"})])
def test_the_stage_and_what_it_reads_make_another_question(
    context: StageContext, stage: Asked
) -> None:
    assert anew(context, Asked())
    assert anew(context, replace(stage, times=0))


def test_our_code_and_the_form_of_an_entry_make_another_question(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anew(context, Asked())
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "package_fingerprint", lambda: "another")
        assert anew(context, Asked())
    monkeypatch.setattr(cache_module, "_FORMAT", cache_module._FORMAT + 1)
    assert anew(context, Asked())


def test_a_set_that_lies_elsewhere_and_holds_the_same_is_the_same(
    context: StageContext, tmp_path: Path
) -> None:
    assert anew(context, Asked())
    assert not anew(replace(context, dependencies=installed(tmp_path / "other")), Asked())


UNKNOWN: Mapping[str, Callable[[StageContext, Path], StageContext]] = {
    "no files": lambda context, _: replace(context, files={}),
    "no dependencies": lambda context, _: replace(context, dependencies=None),
    "packages that can't be told": lambda context, folder: replace(
        context, dependencies=DependencySet(folder / "none", folder / "none", {}, folder)
    ),
}


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_where_an_input_is_not_known_it_is_asked_every_time(
    context: StageContext, tmp_path: Path, change: Callable[[StageContext, Path], StageContext]
) -> None:
    for _ in range(2):
        stage = Asked()
        kept = Cached(stage, verdicts(context))
        assert kept.check(change(context, tmp_path)) == REPORT
        assert stage.times == 1


def test_what_depends_on_more_than_can_be_told_is_asked_every_time(context: StageContext) -> None:
    assert anew(context, Asked(told=None))
    assert anew(context, Asked(told=None))
    assert not list((context.folder / "verdicts").glob("*/*"))


def test_an_error_is_not_kept_and_what_is_said_after_it_is(context: StageContext) -> None:
    for error in (InfrastructureError("gone"), KeyError("ours")):
        with pytest.raises(type(error)):
            Cached(Asked(error=error), verdicts(context)).check(context)
    assert anew(context, Asked())
    assert not anew(context, Asked())


def test_it_stands_in_for_its_stage(context: StageContext) -> None:
    kept = Cached(Asked(), verdicts(context))
    assert (kept.name, kept.needs, kept.deadline_seconds) == ("syntax", ("package",), 7.0)


@pytest.fixture
def laid_out(context: StageContext, tmp_path: Path) -> StageContext:
    context._workspace = Workspace(tmp_path, tuple(FILES), ())
    return context


def undecided(context: StageContext) -> StageContext:
    context._workspace = Workspace(
        context.folder, (), (), (Undecided("typed-environment", "convex/convex.config.ts", ""),)
    )
    return context


def test_lint_reads_its_profile_its_policy_and_whether_the_types_failed(
    laid_out: StageContext,
) -> None:
    stage = LintStage()
    before = stage.reads(laid_out)
    assert before is not None
    policies = (
        LintPolicy(off=("no-unused-vars",)),
        LintPolicy(require=("no-unused-vars",)),
        LintPolicy(public=("a:f",)),
    )
    others = [
        replace(laid_out, tools=replace(laid_out.tools, lint_profile="strict")),
        replace(laid_out, ended={"typecheck": "failed"}),
        *(replace(laid_out, subject=replace(laid_out.subject, lint=p)) for p in policies),
    ]
    told = [stage.reads(other) for other in others]
    assert all(each is not None and each != before for each in told)
    assert stage.reads(replace(laid_out, ended={"typecheck": "passed"})) == before


def test_what_a_push_generates_and_a_reference_engine_are_not_told(laid_out: StageContext) -> None:
    eslint = Eslint(Path("a"), Path("b"), Path("c"), {})
    by_eslint = replace(laid_out, tools=replace(laid_out.tools, eslint=eslint))
    assert LintStage().reads(by_eslint) is None
    assert TypecheckStage().reads(laid_out) == SyntaxStage().reads(laid_out) == {}
    pushed = undecided(laid_out)
    assert LintStage().reads(pushed) is None
    assert TypecheckStage().reads(pushed) is None
    assert SyntaxStage().reads(pushed) == {}


def test_it_is_pruned_again_after_a_day(context: StageContext) -> None:
    cache = verdicts(context)
    folder = context.folder / "verdicts"
    for key, days, left in (("a" * 64, 0.0, []), ("b" * 64, 0.5, ["b" * 64]), ("b" * 64, 2.0, [])):
        cache.put(key, REPORT)
        for entry in folder.glob("*/*"):
            os.utime(entry, (0, 0))
        if days:
            stamp = time.time() - days * 86_400
            os.utime(folder / "pruned", (stamp, stamp))
        cache.close()
        assert [entry.name for entry in folder.glob("*/*")] == left
