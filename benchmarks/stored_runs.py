"""How long large records take: 100,000 items compared and ranked, and 1,000 runs listed.

    python benchmarks/stored_runs.py [--items 100000] [--runs 1000]

The records are made first, in a temporary folder, as a run writes them; each command is a process
of its own, whose wall time, CPU and most memory are printed.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_convex_eval.outcomes import (
    CaseFingerprint,
    Finding,
    Generated,
    ItemResult,
    RequestFacts,
    StageResult,
    Verdict,
)
from pytest_convex_eval.runs.record import RunRecord
from pytest_convex_eval.stages.table import STAGES

_CASES = 100
_MODELS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="convex-eval-benchmark-") as folder:
        large, many = Path(folder, "large"), Path(folder, "many")
        # The items of a comparison are those of both its runs.
        for name, seed in (("a", 1), ("b", 2)):
            _write(large / name, options.items // 2, seed)
        for number in range(options.runs):
            _write(many / f"run-{number:06d}", 20, number)
        size = sum(path.stat().st_size for path in large.rglob("items.jsonl"))
        print(f"{options.items} items in {size / 2**20:.0f} MiB; {options.runs} runs of 20 items")
        _measure("compare", "compare", "a", "b", "--runs", str(large))
        _measure("leaderboard", "leaderboard", "a", "b", "--runs", str(large))
        _measure("list, first", "runs", "list", "--runs", str(many))
        _measure("list, again", "runs", "list", "--runs", str(many))


def _write(folder: Path, items: int, seed: int) -> None:
    chance = random.Random(seed)
    trials = max(items // (_CASES * _MODELS), 1)
    models = [f"model-{number}" for number in range(_MODELS)]
    record = RunRecord.begin(
        folder,
        {
            "settings": {"models": models, "trials": trials},
            "fingerprints": {"prompts": {"default": "d"}, "toolchain": "t", "checker": "c"},
        },
    )
    counts = dict.fromkeys(Verdict, 0)
    with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
        for number in range(items):
            result = _result(number, models, chance)
            counts[result.verdict] += 1
            line = {"nodeid": "n", "ended": "2026-11-30T10:00:00+00:00", "worker": "gw0"}
            file.write(json.dumps({**line, **result.to_json()}) + "\n")
    record.finish({verdict.value: count for verdict, count in counts.items()})


def _result(number: int, models: list[str], chance: random.Random) -> ItemResult:
    case, rest = number % _CASES, number // _CASES
    model, trial = models[rest % _MODELS], rest // _MODELS + 1
    failed = chance.random() < 0.3
    finding = Finding("TS2322", "Type 'string' is not assignable to type 'number'.", line=3)
    stages = tuple(
        StageResult(
            name,
            "failed" if failed and name == "typecheck" else "passed",
            0.1,
            0.1,
            (finding,) * 3 if failed and name == "typecheck" else (),
        )
        for name in STAGES
    )
    return ItemResult(
        case=f"case_{case}",
        category="fundamentals",
        difficulty="easy",
        model=model,
        arm="default",
        trial=trial,
        verdict=Verdict.FAILED if failed else Verdict.PASSED,
        stages=stages,
        stage="typecheck" if failed else None,
        code="TS2322" if failed else None,
        generation=Generated(
            model, "tags", (RequestFacts("k" * 16, False, "stop", 9.0, 9000, 3000, 0.05),)
        ),
        fingerprint=CaseFingerprint("p" * 16, "c" * 16, f"{case:016d}"),
    )


def _measure(title: str, *arguments: str) -> None:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pytest_convex_eval.cli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The memory is that of all children so far: what comes later can only be more.
    most = after.ru_maxrss / 1024
    print(f"{title:<12} {seconds:6.2f} s, {cpu:5.2f} s of CPU, at most {most:5.0f} MiB")


if __name__ == "__main__":
    main()
