"""Answers whose generated code only a deployment can tell: one push, before the typecheck."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.deployment.push import PushResult
from pytest_convex_eval.deployment.push import push as real_push
from pytest_convex_eval.expectations.model import Expectations, LintPolicy
from pytest_convex_eval.outcomes import Files, StageName, StageResult
from pytest_convex_eval.stages import pushing
from pytest_convex_eval.stages.protocol import Subject, Tools
from pytest_convex_eval.stages.registry import select
from pytest_convex_eval.stages.runner import run_stages

if TYPE_CHECKING:
    from pytest_convex_eval.deployment.contract import Deployment
    from tests.stages.conftest import Check

REQUIRED = """\
import { defineApp } from "convex/server";
import { v } from "convex/values";
export default defineApp({ env: { KEY: v.string() } });
"""
READS = """\
import { env, query } from "./_generated/server";
export const f = query({ args: {}, handler: async (): Promise<string> => env.KEY });
"""
FILES = {"convex/convex.config.ts": REQUIRED, "convex/a.ts": READS}
BOTH: tuple[StageName, ...] = ("typecheck", "deploy")


def test_a_required_variable_of_the_case_is_there_for_the_typecheck(check: Check) -> None:
    checked = check(FILES, env={"KEY": "k"}, stages=BOTH)
    assert checked.statuses == {"typecheck": "passed", "deploy": "passed"}
    wrong = READS.replace("Promise<string>", "Promise<number>")
    checked = check({**FILES, "convex/a.ts": wrong}, env={"KEY": "k"}, stages=BOTH)
    assert checked.codes("typecheck") == ["TS2322"]
    assert checked.statuses["deploy"] == "passed"


def test_a_refused_push_says_the_same_to_deploy_with_and_without_a_typecheck(check: Check) -> None:
    checked = check(FILES, stages=BOTH)
    assert checked["typecheck"].status == "skipped"
    assert checked["typecheck"].reason == "its generated code needs a push that is accepted"
    alone = check(FILES, stages=("deploy",))
    assert checked["deploy"].findings == alone["deploy"].findings
    assert checked["deploy"].status == "failed"


PUSH_CPU_SECONDS = 1e6
"""More than a typecheck takes on any machine."""


def test_what_the_typecheck_pushed_is_not_pushed_again(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def push(*args: Any, **options: Any) -> PushResult:
        return replace(real_push(*args, **options), cpu_seconds=PUSH_CPU_SECONDS)

    monkeypatch.setattr(pushing, "push", push)
    given: list[Deployment] = []

    def deployment() -> Deployment:
        given.append(tools.deployment())
        return given[-1]

    before = tools.deployment().last_push().number
    counting = replace(tools, deployment=deployment)
    results = _run(counting, tmp_path / "once", BOTH)
    assert [result.status for result in results] == ["passed", "passed"]
    assert len(given) == 1
    assert given[0].last_push().number == before + 1
    typecheck, deploy = results
    # Its CPU is what deploying takes, and counts once.
    assert 0 < typecheck.cpu_seconds < PUSH_CPU_SECONDS
    assert deploy.cpu_seconds == PUSH_CPU_SECONDS
    pushed_alone = _run(counting, tmp_path / "alone", ("deploy",))
    assert pushed_alone[0].findings == deploy.findings


def _run(tools: Tools, folder: Path, stages: tuple[StageName, ...]) -> tuple[StageResult, ...]:
    folder.mkdir()
    answer: Files = {
        "package.json": '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n',
        **FILES,
    }
    subject = Subject(answer, {}, (), Expectations(), LintPolicy(), env={"KEY": "k"})
    return run_stages(subject, tools, folder, select(stages), lambda _: None)
