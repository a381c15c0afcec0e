"""`convex-eval compare` and `convex-eval leaderboard`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_convex_eval.comparison import leaderboard as boards
from pytest_convex_eval.comparison import render
from pytest_convex_eval.comparison.compare import SEED, Comparison, compare_sides
from pytest_convex_eval.comparison.samples import find_side, two_of
from pytest_convex_eval.runs import find_run
from pytest_convex_eval.runs.commands import RUN_HELP, RUNS, Commands

_COMPARE = """\
Says whether B is better than A, on the cases that both did and that have not changed between: the
difference with its 95 % interval, a sign-flip test, and one of four answers (better, worse,
equivalent within the margin, undecided); then the cases that changed, the worst first, and the
failures whose share moved most.

A and B are runs. RUN::MODEL or RUN::MODEL::ARM names one of those in a run; everybody in both runs
is compared where nobody is named. One run alone is taken apart into the two that are in it.

Runs that were judged by different checkers or tools are refused, unless --anyway.
"""

_Renderer = Callable[[Sequence[Comparison]], Iterator[str]]
_FORMATS: Mapping[str, _Renderer] = {
    "text": render.text,
    "markdown": render.markdown,
    "github": render.github,
    "json": lambda made: iter([json.dumps([one.to_json() for one in made], indent=2)]),
}


def add_comparison(commands: Commands) -> None:
    """Declares both."""
    compare = commands.add_parser(
        "compare",
        help="is B better than A: two runs, or two models or arms of one",
        description=_COMPARE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("a", metavar="A", help=f"{RUN_HELP}; with ::MODEL::ARM one in it")
    compare.add_argument(
        "b", metavar="B", nargs="?", help="the same; default: the other of A's two"
    )
    compare.add_argument(
        "--margin",
        type=float,
        default=5.0,
        metavar="POINTS",
        help="the difference that does not matter (default %(default)s)",
    )
    compare.add_argument(
        "--format",
        choices=tuple(_FORMATS),
        default="text",
        help="github: a comment for a pull request, with a mark to find it by",
    )
    compare.set_defaults(run=_compare)

    board = commands.add_parser(
        "leaderboard", help="all models and arms of runs, with intervals and ties"
    )
    board.add_argument("names", metavar="RUN", nargs="+", help=RUN_HELP)
    board.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="how it is told (default %(default)s)",
    )
    board.set_defaults(run=_leaderboard)

    for parser in (compare, board):
        parser.add_argument(
            "--runs",
            type=Path,
            default=RUNS,
            metavar="DIR",
            help="the folder of run records (default %(default)s)",
        )
        parser.add_argument(
            "--seed", type=int, default=SEED, help="of what is drawn (default %(default)s)"
        )
        parser.add_argument(
            "--anyway", action="store_true", help="also where runs were not judged alike"
        )


def _compare(options: argparse.Namespace) -> int:
    if not 0 < options.margin < 100:
        raise ValueError(f"--margin: {options.margin:g} is no number of points above 0")
    a = find_side(options.a, options.runs)
    a, b = two_of(a) if options.b is None else (a, find_side(options.b, options.runs))
    made = compare_sides(
        a, b, margin=options.margin / 100, seed=options.seed, anyway=options.anyway
    )
    for line in _FORMATS[options.format](made):
        print(line)
    return 0


def _leaderboard(options: argparse.Namespace) -> int:
    runs = [find_run(name, options.runs) for name in options.names]
    board = boards.leaderboard(runs, seed=options.seed, anyway=options.anyway)
    if options.format == "json":
        print(json.dumps(board.to_json(), indent=2))
        return 0
    for line in (boards.markdown if options.format == "markdown" else boards.table)(board):
        print(line)
    return 0
