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
"""The version of the record's form; raised when a reader would misread."""

MANIFEST = "manifest.json"
ITEMS = "items.jsonl"
ARTEFACTS = "artefacts"
KEPT = ".txt"
"""What the names of kept files end with."""


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
    """Copies a workspace's files into the record, each under its name with `KEPT` behind it,
    without the linked packages and without links.

    What a model wrote may be a `conftest.py`, a test, a hook of git's or a build tool's
    configuration, and the record may lie in somebody's project: no tool must find them there by
    their names, nor run them. Raises OSError.
    """
    for folder, names, files in os.walk(workspace):
        names[:] = [name for name in names if name != "node_modules"]
        into = target / Path(folder).relative_to(workspace)
        into.mkdir(parents=True, exist_ok=True)
        for name in files:
            source = Path(folder, name)
            if not source.is_symlink():
                # The content alone: what could be executed can be no more.
                shutil.copyfile(source, into / f"{name}{KEPT}")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
