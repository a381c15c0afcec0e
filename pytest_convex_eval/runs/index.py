"""A folder of runs at a glance, from a small file beside them.

`index.json` holds a line's worth of each run with what its files looked like then. It is made from
the runs and holds nothing else: a run whose files have changed is read anew, one that is gone is
gone, and an index that is missing, old or broken costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.outcomes import Verdict
from pytest_convex_eval.runs.record import ARTEFACTS, ITEMS, MANIFEST
from pytest_convex_eval.runs.run import Run, RunError

INDEX = "index.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of a folder. `started` is ISO 8601 in UTC; `whole` whether it came to its end; the
    counts are of items, mutants included."""

    id: str
    started: str
    whole: bool
    models: tuple[str, ...]
    arms: tuple[str, ...]
    trials: int
    passed: int
    failed: int
    errors: int
    parent: str | None = None


def list_runs(runs: Path) -> list[RunSummary]:
    """The runs in the folder `runs`, the oldest first; what can't be read is passed over."""
    known = _read(runs)
    found: dict[str, tuple[list[int], RunSummary]] = {}
    for name, stamp in _stamps(runs):
        if name in known and known[name][0] == stamp:
            found[name] = known[name]
            continue
        with contextlib.suppress(RunError, OSError):
            found[name] = (stamp, summary_of(Run(runs / name)))
    if found != known:
        _write(runs, found)
    return sorted((summary for _, summary in found.values()), key=lambda one: one.started)


def summary_of(run: Run) -> RunSummary:
    """The line's worth of a run. Raises RunError."""
    manifest = run.manifest
    settings = manifest.settings
    counts = Counter[str]()
    if manifest.finished is not None and Verdict.PASSED in manifest.outcome:
        counts.update({verdict: int(manifest.outcome.get(verdict, 0)) for verdict in Verdict})
    else:
        counts.update(str(line.get("verdict")) for line in run.lines())
    return RunSummary(
        id=run.id,
        started=manifest.started.isoformat(timespec="seconds"),
        whole=run.whole,
        models=tuple(settings.get("models", ())),
        arms=tuple(manifest.arms),
        trials=int(settings.get("trials", 1)),
        passed=counts[Verdict.PASSED],
        failed=counts[Verdict.FAILED],
        errors=counts[Verdict.ERROR],
        parent=manifest.parent,
    )


def remove_run(runs: Path, name: str, *, artefacts_only: bool) -> None:
    """Removes a run, or only the workspaces that it kept. Raises OSError."""
    folder = runs / name
    if artefacts_only:
        if (folder / ARTEFACTS).exists():
            shutil.rmtree(folder / ARTEFACTS)
        return
    # Without its manifest it is no run: a removal that is cut short leaves none that looks whole.
    (folder / MANIFEST).unlink()
    shutil.rmtree(folder)


def _stamps(runs: Path) -> Iterator[tuple[str, list[int]]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(runs) as entries:
        for entry in entries:
            try:
                manifest = Path(entry.path, MANIFEST).stat()
            except OSError:
                continue
            stamp = [manifest.st_mtime_ns, manifest.st_size]
            with contextlib.suppress(OSError):
                stamp.append(Path(entry.path, ITEMS).stat().st_size)
            yield entry.name, stamp


def _read(runs: Path) -> dict[str, tuple[list[int], RunSummary]]:
    try:
        data = json.loads((runs / INDEX).read_text("utf-8"))
        if data["format"] != _FORMAT:
            return {}
        return {one["id"]: (stamp, _summary(one)) for stamp, one in data["runs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _summary(data: dict[str, Any]) -> RunSummary:
    return RunSummary(
        **{**data, "models": _texts(data["models"]), "arms": _texts(data["arms"])},
    )


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _write(runs: Path, found: dict[str, tuple[list[int], RunSummary]]) -> None:
    entries = [[stamp, asdict(summary)] for stamp, summary in found.values()]
    # In a folder that nobody may write to, listing is only slower.
    with contextlib.suppress(OSError):
        write_whole(runs / INDEX, json.dumps({"format": _FORMAT, "runs": entries}) + "\n")
