"""How many small mistakes in a room's code its own tests notice: `python -m tests.mutation ROOM`.

Mutants are drawn at random among those on lines that the room's tests execute, and tried one after
another with the tests that execute them. What survives is printed, to be read: it is a test that
is missing, or a change that means the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm
from tests.mutation.campaign import CONTROL_SECONDS, Copy, Trial, tried
from tests.mutation.executed import Assumed, ByLine, ByOffset, Executed
from tests.mutation.mutants import STRYKER, Mutant, python_mutants, script_mutants
from tests.mutation.rooms import ROOMS, Room


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where at least `--least` percent were noticed, 1 where fewer were."""
    given = _parser().parse_args(arguments)
    root = Path(__file__).parents[2]
    room = ROOMS[given.room]
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        folder = Path(scratch).resolve()
        copies = [Copy(root, folder / f"copy{number}") for number in range(given.jobs)]
        _say(f"{given.room}: recording what its tests execute")
        executed, seconds = _record(room, copies[0], folder)
        mutants = _mutants(room, copies[0].root, folder)
        reached = [mutant for mutant in mutants if executed.tests(mutant)]
        _say(f"{len(mutants)} mutants, {len(reached)} on executed lines")
        drawn = random.Random(given.seed).sample(reached, min(given.sample, len(reached)))
        trials = _try(drawn, executed, copies, seconds)
    return _report(given.room, trials, given.least, given.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("room", choices=sorted(ROOMS))
    parser.add_argument("--sample", type=int, default=60, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--least", type=float, default=85, help="percent to be noticed")
    parser.add_argument("--output", type=Path, help="a JSON file for what became of each")
    return parser


def _mutants(room: Room, root: Path, folder: Path) -> list[Mutant]:
    files = room.files(root)
    if room.executed == "python":
        return list(python_mutants(root, files))
    runtime = node_runtime()
    home = folder / "stryker"
    home.mkdir()
    Npm(runtime).install(STRYKER, home)
    return list(script_mutants(root, files, node=runtime.node, stryker=home / "node_modules"))


def _record(room: Room, copy: Copy, folder: Path) -> tuple[Executed, dict[str, float]]:
    """What the room's tests execute, and the seconds that each of its files takes.

    Raises RuntimeError where they fail with the code as it is.
    """
    files = [file.relative_to(copy.root).as_posix() for file in room.test_files(copy.root)]
    seconds: dict[str, float] = {}
    folders: dict[str, Path] = {}
    data = folder / "recorded"
    data.mkdir()
    server = copy.root / "pytest_convex_eval" / "processes.py"
    plain = server.read_text("utf-8")
    if room.executed == "server":
        server.write_text(_measuring_server(plain), "utf-8")
    for number, file in enumerate(files):
        folders[file] = folder / "v8" / str(number)
        folders[file].mkdir(parents=True)
        python = room.executed == "python"
        variables = {"MUTATION_DATA": str(data), "MUTATION_V8": str(folders[file])}
        plugins = ["tests.mutation.recording"] if python else []
        done = copy.test([file], seconds=CONTROL_SECONDS, plugins=plugins, variables=variables)
        if done.returncode not in (0, 5):
            raise RuntimeError(f"{file} fails without a mutant:\n{done.output}")
        seconds[file] = done.seconds
    server.write_text(plain, "utf-8")
    quick = sorted(files, key=lambda file: seconds[file])
    match room.executed:
        case "python":
            return ByLine.read(copy.root, data), seconds
        case "server":
            return ByOffset.read(copy.root, folders, seconds), seconds
        case "assumed":
            return Assumed(quick), seconds


def _measuring_server(source: str) -> str:
    """`processes.py` where servers of ours leave V8's counts when they end."""
    plain = "        env=dict(env),\n"
    assert source.count(plain) == 1, "processes._spawn was rewritten: mend this"
    counted = (
        "        env=dict(env)\n"
        "        | (\n"
        '            {"NODE_V8_COVERAGE": os.environ["MUTATION_V8"]}\n'
        '            if any("/server." in str(arg) for arg in args)\n'
        "            else {}\n"
        "        ),\n"
    )
    return source.replace(plain, counted)


def _try(
    mutants: Sequence[Mutant],
    executed: Executed,
    copies: Sequence[Copy],
    seconds: dict[str, float],
) -> list[Trial]:
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)

    def each(mutant: Mutant) -> Trial:
        tests = executed.tests(mutant)
        usual = sum(seconds[file] for file in {test.partition("::")[0] for test in tests})
        copy = free.get()
        try:
            trial = tried(copy, mutant, tests, usual)
        finally:
            free.put(copy)
        _say(f"{trial.verdict:9}{trial.seconds:6.1f} s  {mutant.name}  {trial.by}")
        return trial

    with ThreadPoolExecutor(len(copies)) as pool:
        return list(pool.map(each, mutants))


def _report(room: str, trials: Sequence[Trial], least: float, output: Path | None) -> int:
    if output is not None:
        rows = [
            {
                "mutant": trial.mutant.name,
                "path": trial.mutant.path,
                "line": trial.mutant.line,
                "offset": trial.mutant.offset,
                "was": trial.mutant.was,
                "now": trial.mutant.now,
                "verdict": trial.verdict,
                "seconds": round(trial.seconds, 1),
                "by": trial.by,
            }
            for trial in trials
        ]
        output.write_text(json.dumps(rows, indent=1), "utf-8")
    survived = [trial for trial in trials if trial.verdict == "survived"]
    noticed = len(trials) - len(survived)
    percent = 100 * noticed / len(trials) if trials else 0.0
    for trial in survived:
        _say(f"survived: {trial.mutant.name}")
    print(f"{room}: {noticed} of {len(trials)} noticed ({percent:.0f} %)")
    return 0 if trials and percent >= least else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
