"""One plan to its result: whose fault, what is kept, and what is cleaned up whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.cases.plan import Plan
from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError
from pytest_convex_eval.outcomes import (
    ConfigurationError,
    Finding,
    InfrastructureError,
    ItemResult,
    Verdict,
)
from pytest_convex_eval.places import Place
from pytest_convex_eval.stages.protocol import Report, StageContext, Subject
from pytest_convex_eval.toolchain.lint.profiles import LintProfile

if TYPE_CHECKING:
    from tests.evaluation.conftest import Evaluating, Workbench

Make = Callable[..., "Evaluating"]
MakePlan = Callable[..., Plan]
PROFILE: LintProfile = "strict"


class Interrupt(BaseException):
    """As Ctrl-C, or pytest-timeout's signal."""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where items have their folders, which no test may leave anything in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# The result.


def test_an_answer_that_passes_every_stage_passes(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    for name in ("format", "package", "lint"):
        workbench.stage(name)
    result = evaluating(stages=("format", "package", "lint"))(make_plan(trial=2))
    assert result == ItemResult(
        case="notes",
        category="fundamentals",
        difficulty="hard",
        model="reference",
        arm="default",
        trial=2,
        verdict=Verdict.PASSED,
        stages=tuple(workbench.emitted),
        generation=result.generation,
        fingerprint=result.fingerprint,
    )
    assert [stage.stage for stage in workbench.emitted] == ["format", "package", "lint"]
    assert result.generation.source == "reference"


def test_the_first_failing_stage_is_the_item_s(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.stage("format")
    workbench.failing(
        "package",
        Finding("package/old", "It is old.", "warning"),
        Finding("package/gone", "It is gone.\nFor good.", path="package.json", line=3),
    )
    workbench.failing("lint")
    result = evaluating()(make_plan())
    assert result.verdict is Verdict.FAILED
    assert (result.stage, result.code) == ("package", "package/gone")
    assert result.message == "package: package/gone: It is gone. (package.json:3)"
    assert [stage.status for stage in result.stages] == ["passed", "failed", "failed"]


def test_what_is_not_the_answer_s_fault_is_an_error(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.raising("format", InfrastructureError("the disk is full", detail="ENOSPC"))
    result = evaluating()(make_plan())
    assert result.verdict is Verdict.ERROR
    assert (result.stage, result.code) == ("format", None)
    assert result.message == "format: the disk is full"
    assert result.stages[0].output == "ENOSPC"


def test_a_stage_is_given_all_that_the_case_says(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    seen: list[Subject] = []

    def look(context: StageContext) -> Report:
        seen.append(context.subject)
        return Report()

    workbench.stage("format", look)
    plan = make_plan(
        files={"convex/b.ts": "export {};\n"},
        expect={"files": ["convex/a.ts"]},
        lint={"off": ["no-console"]},
        behaviour=[{"name": "one", "steps": [{"query": "a:b"}]}],
        env={"GREETING": "ahoy"},
    )
    evaluating()(plan)
    (subject,) = seen
    case = plan.loaded.case
    assert subject.answer == {"package.json": "{}", "convex/a.ts": "export {};\n"}
    assert subject.starting == {"convex/b.ts": "export {};\n"}
    assert subject.remarks == ()
    assert (subject.expect, subject.lint) == (case.expect, case.lint)
    assert (subject.behaviour, subject.env) == (case.behaviour, {"GREETING": "ahoy"})


def test_a_step_is_found_in_its_file_with_its_line(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    places: list[Place] = []

    def look(context: StageContext) -> Report:
        places.append(context.subject.place(("summary",)))
        places.append(context.subject.place(("prompt",)))
        return Report()

    workbench.stage("format", look)
    plan = make_plan()
    evaluate = evaluating()
    evaluate(plan)
    path = tmp_path / "cases/fundamentals/hard/notes.yaml"
    # The mark of the order of bytes is no part of the first line.
    path.write_text("\ufeff" + path.read_text())
    monkeypatch.chdir(tmp_path)
    evaluate(plan)
    path.write_text("summary: A table of notes")
    evaluate(plan)
    path.unlink()
    evaluate(plan)
    first, second = "summary: A table of notes", "prompt: Write a table of notes."
    here = "cases/fundamentals/hard/notes.yaml"
    assert places == [
        Place(str(path), 1, 10, first),
        Place(str(path), 2, 9, second),
        Place(here, 1, 10, first),
        Place(here, 2, 9, second),
        Place(here, 1, 10, first),
        Place(here, 2, 9, None),
        Place(here, 1, 10, None),
        Place(here, 2, 9, None),
    ]


# What fails before any stage.


def test_tools_that_can_not_be_had_are_an_error_and_tried_again_for_the_next(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.stage("format")
    workbench.toolchain_fails.append(InfrastructureError("no network", detail="ECONNREFUSED"))
    evaluate = evaluating()
    result = evaluate(make_plan())
    assert (result.verdict, result.stages) == (Verdict.ERROR, ())
    assert result.message == "toolchain: no network\nECONNREFUSED"
    assert evaluate(make_plan()).verdict is Verdict.PASSED


@pytest.mark.parametrize("detail", ["", "529 overloaded"])
def test_a_reply_that_can_not_be_had_is_an_error(
    evaluating: Make,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
    detail: str,
) -> None:
    evaluate = evaluating()

    def reply(plan: Plan) -> None:
        raise InfrastructureError("nobody answers", detail=detail)

    monkeypatch.setattr(evaluate.evaluator.replies, "reply", reply)
    result = evaluate(make_plan("claude-x"))
    assert (result.verdict, result.model) == (Verdict.ERROR, "claude-x")
    assert (result.stage, result.stages, result.rounds) == (None, (), ())
    assert result.message == "generation: nobody answers" + (f"\n{detail}" if detail else "")


@pytest.mark.parametrize("error", [ConfigurationError("wrong key"), BudgetExhaustedError("spent")])
def test_what_must_stop_the_run_or_skip_the_item_is_passed_on(
    evaluating: Make,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    evaluate = evaluating()

    def reply(plan: Plan) -> None:
        raise error

    monkeypatch.setattr(evaluate.evaluator.replies, "reply", reply)
    with pytest.raises(type(error), match=str(error)):
        evaluate(make_plan("claude-x"))


def test_an_interrupt_is_not_taken_for_what_failed_after_it(
    evaluating: Make, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = evaluating()

    def reply(plan: Plan) -> None:
        try:
            raise Interrupt
        finally:
            raise InfrastructureError("the socket is closed")

    monkeypatch.setattr(evaluate.evaluator.replies, "reply", reply)
    with pytest.raises(Interrupt):
        evaluate(make_plan("claude-x"))


# What is kept and what is not.


@pytest.mark.parametrize("keep", ["failed", "all", "none"])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_workspaces_are_kept_by_policy_and_verdict(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path, keep: str,
    verdict: Verdict,
) -> None:  # fmt: skip
    workbench.laying_out()
    if verdict is Verdict.FAILED:
        workbench.failing("package")
    elif verdict is Verdict.ERROR:
        workbench.raising("package", InfrastructureError("the disk is full"))
    result = evaluating(keep=keep)(make_plan())
    assert result.verdict is verdict
    kept = tmp_path / "runs/r1/artefacts/fundamentals/hard/notes/reference-default-1"
    wanted = keep == "all" or (keep == "failed" and verdict is not Verdict.PASSED)
    assert kept.exists() == wanted
    assert result.artefacts == (str(kept) if wanted else None)
    if wanted:
        assert (kept / "convex/a.ts.txt").read_text() == "export {};\n"


def test_where_a_workspace_is_kept_is_said_as_it_would_be_typed(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    workbench.laying_out()
    mutant = {"name": "no-package", "fails": "lint", "files": {"package.json": None}}
    plan = make_plan(mutant="no-package", mutants=[mutant])
    result = evaluating()(plan)
    assert result.artefacts == "runs/r1/artefacts/fundamentals/hard/notes/mutant-no-package"
    assert (tmp_path / result.artefacts).is_dir()


def test_a_kept_workspace_s_name_is_safe_and_tells_items_apart(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    evaluate = evaluating()
    reply = evaluate.evaluator.replies.reply(make_plan())
    monkeypatch.setattr(evaluate.evaluator.replies, "reply", lambda plan: reply)
    workbench.laying_out()
    workbench.failing("package")
    for plan in (
        make_plan("a/b:c", "mine", 1),
        make_plan("a/b:c", "mine", 2),
        make_plan("a.b-c_1"),
    ):
        assert evaluate(plan).verdict is Verdict.FAILED
    kept = sorted(path.name for path in tmp_path.glob("runs/r1/artefacts/*/*/*/*"))
    assert kept == ["a.b-c_1-default-1", "a_b_c-mine-1", "a_b_c-mine-2"]


def test_a_workspace_that_can_not_be_kept_changes_no_verdict(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("no folder")
    workbench.laying_out()
    workbench.failing("package")
    result = evaluating()(make_plan())
    assert (result.verdict, result.artefacts) == (Verdict.FAILED, None)


def test_without_a_workspace_nothing_is_kept(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path
) -> None:
    workbench.failing("format")
    assert evaluating(keep="all")(make_plan()).artefacts is None
    assert not (tmp_path / "runs/r1/artefacts").exists()


@pytest.mark.parametrize("end", ["passed", "failed", "error", "interrupt"])
def test_an_item_s_folder_is_gone_however_it_ends(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    temporary: Path,
    end: str,
) -> None:
    folders: list[Path] = []

    def look(context: StageContext) -> Report:
        folders.append(context.folder)
        (context.folder / "left").write_text("x")
        return Report()

    workbench.stage("format", look)
    evaluate = evaluating()
    if end == "failed":
        workbench.failing("package")
    elif end != "passed":
        error = Interrupt() if end == "interrupt" else InfrastructureError("x")
        workbench.raising("package", error)
    if end == "interrupt":
        with pytest.raises(Interrupt):
            evaluate(make_plan())
    else:
        evaluate(make_plan())
    (folder,) = folders
    # Resolved: tools compare paths with those that the system tells them.
    assert folder == folder.resolve()
    assert folder.parent == temporary.resolve()
    assert folder.name.startswith("convex-eval-")
    assert list(temporary.iterdir()) == []


# Its tools.


def test_the_tools_are_made_ready_once(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan, tmp_path: Path
) -> None:
    given: list[object] = []

    def look(context: StageContext) -> Report:
        given.append(context.tools)
        return Report()

    workbench.stage("format", look)
    evaluate = evaluating(stages=("format", "syntax", "typecheck", "lint"), lint_profile=PROFILE)
    evaluate(make_plan())
    evaluate(make_plan())
    assert workbench.journal == [
        "toolchain tools",
        "packages tools",
        "backend embedded /node tools",
        "tools f1",
    ]
    assert evaluate.progress == ["toolchain there", "packages there", "backend there"]
    tools: Any = evaluate.evaluator.tools()
    assert given == [tools, tools]
    assert tools.lint_profile == PROFILE
    assert tools.compile_cache == tmp_path / "tools/compile-cache/f1"
    assert tools.compile_cache.is_dir()
    assert tools.eslint is None
    assert tools.toolchain is tools.dependencies.toolchain
    assert workbench.cached == ["syntax", "typecheck", "lint"]
    evaluate.evaluator.close()
    assert workbench.journal[-1] == "close verdicts"


def test_eslint_is_installed_where_it_is_asked_for(evaluating: Make) -> None:
    evaluate = evaluating(lint_engine="eslint")
    tools: Any = evaluate.evaluator.tools()
    assert tools.eslint == "eslint of tools f1"
    assert evaluate.progress[-1] == "eslint there"


def test_without_the_cache_no_verdict_is_looked_up(
    evaluating: Make, workbench: Workbench, make_plan: MakePlan
) -> None:
    workbench.stage("format")
    evaluate = evaluating(no_cache=True)
    evaluate(make_plan())
    assert workbench.cached == []
    evaluate.evaluator.close()
    assert workbench.journal[-1] == "close tools"


def test_all_that_was_started_is_ended(
    evaluating: Make,
    workbench: Workbench,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workbench.deploying()
    evaluate = evaluating()
    evaluate(make_plan())
    monkeypatch.setattr(
        evaluate.evaluator.replies, "close", lambda: workbench.journal.append("close replies")
    )
    workbench.journal.clear()
    evaluate.evaluator.close()
    assert workbench.journal == ["close 1", "close tools", "close verdicts", "close replies"]


def test_where_nothing_was_started_nothing_is_ended(evaluating: Make, workbench: Workbench) -> None:
    evaluating().evaluator.close()
    assert workbench.journal == []
