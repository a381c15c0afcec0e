"""Runs on disk, made of few words, for tests that read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_convex_eval.outcomes import (
    CaseFingerprint,
    Generated,
    ItemResult,
    RequestFacts,
    StageResult,
    Verdict,
)
from pytest_convex_eval.runs import Run, load_run
from pytest_convex_eval.runs.record import RunRecord

FINGERPRINT = CaseFingerprint("p", "c", "r")
STARTED = "2026-11-30T10:00:00.000+00:00"


def item(
    case: str,
    verdict: str = "passed",
    *,
    model: str = "model-a",
    arm: str = "default",
    trial: int = 1,
    category: str = "fundamentals",
    difficulty: Any = "easy",
    code: str = "TS2322",
    usd: float | None = 0.01,
    fingerprint: CaseFingerprint | None = FINGERPRINT,
) -> ItemResult:
    """An item that passed every stage, failed at typecheck with `code`, or came to no verdict."""
    ended = Verdict(verdict)
    failed = ended is Verdict.FAILED
    stages: tuple[StageResult, ...] = ()
    if ended is not Verdict.ERROR:
        stages = (
            StageResult("syntax", "passed", 0.5),
            StageResult("typecheck", "failed" if failed else "passed", 0.5),
        )
    request = RequestFacts("key", False, "stop", 2.0, 10, 20, usd)
    return ItemResult(
        case=case,
        category=category,
        difficulty=difficulty,
        model=model,
        arm=arm,
        trial=trial,
        verdict=ended,
        stages=stages,
        stage="typecheck" if failed else None,
        code=code if failed else None,
        message="it broke" if ended is not Verdict.PASSED else "",
        generation=Generated(model, "tags", (request,)),
        fingerprint=fingerprint,
    )


def trials(case: str, marks: str, **fields: Any) -> list[ItemResult]:
    """The trials of a case: `+` passed, `-` failed, `!` came to no verdict."""
    verdicts = {"+": "passed", "-": "failed", "!": "error"}
    return [
        item(case, verdicts[mark], trial=number, **fields)
        for number, mark in enumerate(marks, start=1)
    ]


def write_run(
    folder: Path,
    results: Iterable[ItemResult],
    *,
    finished: bool = True,
    **changes: Any,
) -> Run:
    """A record in `folder` as a run leaves it; `changes` are of its manifest's keys."""
    written = list(results)
    models = list(dict.fromkeys(one.model for one in written))
    arms = list(dict.fromkeys(one.arm for one in written))
    manifest: dict[str, Any] = {
        "settings": {"models": models, "trials": max((one.trial for one in written), default=1)},
        "fingerprints": {
            "prompts": {arm: f"text of {arm}" for arm in arms},
            "toolchain": "t1",
            "checker": "c1",
        },
    }
    record = RunRecord.begin(folder, {**manifest, **changes})
    lines = [_line(one) for one in written]
    (folder / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    if finished:
        record.finish(counts(written))
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    data["started"] = changes.get("started", STARTED)
    path.write_text(json.dumps(data))
    return load_run(folder)


def counts(results: Sequence[ItemResult]) -> dict[str, int]:
    """How many ended in each verdict."""
    return {verdict.value: sum(one.verdict is verdict for one in results) for verdict in Verdict}


def _line(result: ItemResult) -> str:
    nodeid = f"cases/{result.category}/{result.difficulty}/{result.case}.yaml::{result.case}"
    nodeid += f"[{result.model}-{result.arm}-{result.trial}]"
    return (
        json.dumps({"nodeid": nodeid, "ended": STARTED, "worker": "gw0", **result.to_json()}) + "\n"
    )
