"""`convex-eval runs`: the records of runs, listed, shown, exported, removed."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from pytest_convex_eval.runs.export import FORMATS, listing
from pytest_convex_eval.runs.index import list_runs, remove_run
from pytest_convex_eval.runs.run import Run, find_run
from pytest_convex_eval.runs.summary import summary_lines
from pytest_convex_eval.text import shown

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

RUNS = Path(".convex-eval/runs")

RUN_HELP = "a run's folder, its id, the beginning of it, latest, or latest~N"


def add_runs(commands: Commands) -> None:
    """Declares `runs` and its actions."""
    parser = commands.add_parser("runs", help="the records of runs")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    listed = actions.add_parser("list", help="one line a run, the oldest first")
    listed.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="how it is told (default %(default)s)",
    )
    listed.set_defaults(run=_list)

    shown = actions.add_parser("show", help="what a run was made of, and what it came to")
    shown.add_argument("name", metavar="RUN", help=RUN_HELP)
    shown.set_defaults(run=_show)

    export = actions.add_parser("export", help="a run's items on standard output")
    export.add_argument("name", metavar="RUN", help=RUN_HELP)
    export.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="jsonl",
        help="one item a line or row (default %(default)s)",
    )
    export.set_defaults(run=_export)

    prune = actions.add_parser("prune", help="remove runs, or the workspaces that they kept")
    prune.add_argument(
        "--older-than", type=float, metavar="DAYS", help="runs that started longer ago"
    )
    prune.add_argument("--beyond", type=int, metavar="N", help="all but the newest N runs")
    prune.add_argument(
        "--artefacts", action="store_true", help="only the kept workspaces; the records stay"
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    prune.set_defaults(run=_prune)

    for action in (listed, shown, export, prune):
        action.add_argument(
            "--runs",
            type=Path,
            default=RUNS,
            metavar="DIR",
            help="the folder of run records (default %(default)s)",
        )


def _list(options: argparse.Namespace) -> int:
    summaries = list_runs(options.runs)
    if options.format == "json":
        print(json.dumps([asdict(summary) for summary in summaries], indent=2))
        return 0
    for line in listing(summaries):
        print(shown(line))
    return 0


def _show(options: argparse.Namespace) -> int:
    for line in _lines(find_run(options.name, options.runs)):
        print(shown(line))
    return 0


def _lines(run: Run) -> Iterator[str]:
    manifest = run.manifest
    yield f"run {run.id}"
    ended = "not finished" if manifest.finished is None else f"{manifest.finished:%Y-%m-%d %H:%M}"
    yield f"started {manifest.started:%Y-%m-%d %H:%M} UTC, ended {ended}"
    if manifest.parent is not None:
        yield f"judges the replies of {manifest.parent} again"
    machine = [f"{key} {value}" for key, value in asdict(manifest.machine).items() if value]
    if machine:
        yield f"machine: {', '.join(machine)}"
    yield f"toolchain {manifest.toolchain}, checker {manifest.checker}"
    for arm, fingerprint in manifest.arms.items():
        yield f"guidelines {arm} {fingerprint}"
    yield ""
    for line in summary_lines([item.result for item in run.items()]):
        yield line.text
    if unreadable := run.unreadable_lines:
        yield f"{unreadable} lines of the record can't be read"


def _export(options: argparse.Namespace) -> int:
    for line in FORMATS[options.format](find_run(options.name, options.runs)):
        print(line)
    return 0


def _prune(options: argparse.Namespace) -> int:
    if options.older_than is None and options.beyond is None:
        raise ValueError("say what to remove: --older-than DAYS, --beyond N, or both")
    if options.beyond is not None and options.beyond < 0:
        raise ValueError(f"--beyond: {options.beyond} is no number of runs")
    summaries = list_runs(options.runs)
    if options.beyond is not None:
        summaries = summaries[: max(len(summaries) - options.beyond, 0)]
    if options.older_than is not None:
        now = datetime.datetime.now(datetime.UTC)
        before = now - datetime.timedelta(days=options.older_than)
        summaries = [
            one for one in summaries if datetime.datetime.fromisoformat(one.started) < before
        ]
    what = "the workspaces of " if options.artefacts else ""
    for one in summaries:
        if not options.dry_run:
            remove_run(options.runs, one.id, artefacts_only=options.artefacts)
        print(f"{'would remove' if options.dry_run else 'removed'} {what}{one.id}")
    return 0
