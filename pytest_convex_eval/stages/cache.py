"""The verdict cache: what a static stage said of the same answer before, by content.

A static stage says the same whenever it is asked the same: of the same files and packages, by the
same tools and the same code of ours. All of that is the key, so an entry is never stale; it is only
ever missing. What is not the answer's fault is never kept, nor what the machine's speed can decide.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.fingerprint import package_fingerprint
from pytest_convex_eval.stages.protocol import Report, StageAround, StageContext, StaticStage
from pytest_convex_eval.toolchain.model import DependencySet

_FORMAT = 1
"""The version of an entry's form; raise it when `Report` changes its meaning."""

MOST_BYTES = 128 * 1024 * 1024
MOST_DAYS = 30.0
_MOST_ENTRY_BYTES = 1024 * 1024
_DAY_SECONDS = 86_400.0

# Ends the code of a finding that says that a tool was exhausted: by time, among others.
_BY_THE_MACHINE = "/resource-limit"

_REPORT = TypeAdapter(Report)


class Cached(StageAround):
    """A static stage that is asked only what it was not asked before."""

    def __init__(self, stage: StaticStage, verdicts: VerdictCache) -> None:
        super().__init__(stage)
        self._stage = stage
        self._verdicts = verdicts

    def check(self, context: StageContext) -> Report:
        key = _key(self._stage, context, self._verdicts)
        if key is None:
            return self._stage.check(context)
        report = self._verdicts.get(key)
        if report is None:
            report = replace(self._stage.check(context), cached=False)
            self._verdicts.put(key, report)
        return report


class VerdictCache:
    """The entries below one folder, shared by all processes and runs of a machine.

    Entries are written whole, and one that can't be read is not there; nothing here ever fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sets: dict[Path, str | None] = {}
        self._wrote = False

    def get(self, key: str) -> Report | None:
        """The report kept under `key`, marked as cached; its CPU seconds are none."""
        path = self._path(key)
        try:
            digest, _, body = path.read_bytes().partition(b"\n")
            if digest.decode() != hashlib.sha256(body).hexdigest():
                return None
            report = _REPORT.validate_json(body)
            if time.time() - path.stat().st_mtime > _DAY_SECONDS:
                # What is used is not old.
                os.utime(path)
        except (OSError, UnicodeDecodeError, ValidationError):
            return None
        return replace(report, cpu_seconds=0.0, cached=True)

    def put(self, key: str, report: Report) -> None:
        """Keeps `report`, unless the machine may have decided it."""
        if report.missing or any(f.code.endswith(_BY_THE_MACHINE) for f in report.findings):
            return
        path = self._path(key)
        with contextlib.suppress(OSError, ValueError):
            body = _REPORT.dump_json(report)
            if len(body) <= _MOST_ENTRY_BYTES:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, f"{hashlib.sha256(body).hexdigest()}\n{body.decode()}")
                self._wrote = True

    def close(self) -> None:
        """Prunes, at most once a day and where something was added."""
        stamp = self._folder / "pruned"
        with contextlib.suppress(OSError):
            if self._wrote and not (
                stamp.exists() and time.time() - stamp.stat().st_mtime < _DAY_SECONDS
            ):
                stamp.touch()
                self.prune()

    def prune(self, *, most_bytes: int = MOST_BYTES, most_days: float = MOST_DAYS) -> None:
        """Removes what was not used for `most_days`, then the least recently used until the rest
        fits into `most_bytes`."""
        oldest = time.time() - most_days * _DAY_SECONDS
        left = most_bytes
        for used, size, path in sorted(self._entries(), reverse=True):
            left -= size
            if used < oldest or left < 0:
                with contextlib.suppress(OSError):
                    path.unlink()

    def fingerprint(self, dependencies: DependencySet) -> str | None:
        """The fingerprint of every package installed in a set; None where that can't be told."""
        root = dependencies.root
        if root not in self._sets:
            # npm's own list of all packages below the declared ones, with versions and digests.
            files = (dependencies.node_modules / ".package-lock.json", root / "set.json")
            try:
                digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files))
                self._sets[root] = digest.hexdigest()
            except OSError:
                self._sets[root] = None
        return self._sets[root]

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path


def _key(stage: StaticStage, context: StageContext, cache: VerdictCache) -> str | None:
    if not context.files or context.dependencies is None:
        return None
    installed = cache.fingerprint(context.dependencies)
    reads = stage.reads(context)
    if installed is None or reads is None:
        return None
    identity = {
        "format": _FORMAT,
        "stage": stage.name,
        "files": dict(context.files),
        "dependencies": installed,
        "toolchain": context.tools.toolchain.fingerprint,
        "harness": package_fingerprint(),
        "reads": dict(reads),
    }
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
