"""The record of a run: `<runs>/<id>/` with a manifest, one JSON line per item, and artefacts.

`manifest.json` is written before the first item and again at the end, when it gains `finished`;
`items.jsonl` gains a line as each item ends. A run that is killed leaves both readable: what is
there is true, and a missing `finished` says that it was killed.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_convex_eval.files import write_whole
from pytest_convex_eval.outcomes import ItemResult

FORMAT = 2
"""Of the record; raised when a reader would misread."""

MANIFEST = "manifest.json"
ITEMS = "items.jsonl"
ARTEFACTS = "artefacts"


def new_run_id() -> str:
    """Sortable by time, and unique where two runs start in one second."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Writes the record in `folder`; only the controller does."""

    folder: Path

    @classmethod
    def begin(cls, folder: Path, manifest: Mapping[str, Any]) -> RunRecord:
        """Makes the folder and its manifest. Raises OSError where it can't be written."""
        folder.mkdir(parents=True, exist_ok=True)
        record = cls(folder)
        record._write_manifest({"format": FORMAT, "started": _now(), **manifest})
        return record

    def add(self, nodeid: str, result: ItemResult, *, worker: str) -> None:
        """One line, flushed: it survives whatever happens to the run next."""
        line = json.dumps({"nodeid": nodeid, "ended": _now(), "worker": worker, **result.to_json()})
        with (self.folder / ITEMS).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Adds `finished` and `outcome` to the manifest."""
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        self._write_manifest({**manifest, "finished": _now(), "outcome": dict(outcome)})

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        write_whole(self.folder / MANIFEST, text)


def keep_workspace(workspace: Path, target: Path) -> None:
    """Copies a workspace into the record, without the linked packages."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        workspace,
        target,
        symlinks=True,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("node_modules"),
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
