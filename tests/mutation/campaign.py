"""Tries mutants one after another, each in a copy of the tree."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_convex_eval import processes
from tests.mutation.mutants import Mutant

Verdict: TypeAlias = Literal["noticed", "stuck", "survived"]

CONTROL_SECONDS = 1800.0
_EXTRA_SECONDS = 90.0
"""Beyond three times what the tests take with the code as it is: then a mutant is stuck."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant that was tried. `stuck` counts as noticed: its tests don't end."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    by: str
    """The first test that failed; empty where none did."""


@dataclass(frozen=True, slots=True)
class Tested:
    """How pytest ended. `ending` is `timeout` where it was stopped."""

    returncode: int
    ending: str
    output: str
    seconds: float


class Copy:
    """A copy of the tree's tracked and new files in which mutants are planted."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = folder
        for name in tracked(root):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)

    @contextlib.contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """The mutant stands in the copy until the block is left."""
        file = self.root / mutant.path
        before = file.read_bytes()
        file.write_text(mutant.text(), "utf-8")
        try:
            yield
        finally:
            file.write_bytes(before)

    def test(
        self,
        chosen: Sequence[str],
        *,
        seconds: float,
        plugins: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Tested:
        """Runs `chosen` in this copy up to the first failure, for `seconds` at most."""
        quiet = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "--no-header"]
        if _has_randomly():
            quiet += ["-p", "no:randomly"]
        named = [part for plugin in plugins for part in ("-p", plugin)]
        done = processes.run(
            [sys.executable, "-m", "pytest", *quiet, *named, *chosen],
            cwd=self.root,
            # The registries and the tool cache are the caller's: these are our own tests.
            env={
                **os.environ,
                "PYTHONPATH": str(self.root),
                "PYTHONDONTWRITEBYTECODE": "1",
                **(variables or {}),
            },
            limits=processes.Limits(wall_seconds=seconds),
        )
        return Tested(done.returncode, done.ending, done.stdout + done.stderr, done.wall_seconds)


def tried(copy: Copy, mutant: Mutant, tests: Sequence[str], usual_seconds: float) -> Trial:
    """What becomes of `mutant` when `tests` run, which take `usual_seconds` without it."""
    with copy.planted(mutant):
        started = time.monotonic()
        done = copy.test(tests, seconds=3 * usual_seconds + _EXTRA_SECONDS)
        seconds = time.monotonic() - started
    if done.ending != "exit":
        return Trial(mutant, "stuck", seconds, "")
    if done.returncode == 0:
        return Trial(mutant, "survived", seconds, "")
    if done.returncode == 5:
        raise RuntimeError(f"no test was run for {mutant.name}:\n{done.output}")
    return Trial(mutant, "noticed", seconds, _first_failure(done.output))


def tracked(root: Path) -> list[str]:
    """The files of the tree that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    names = listed.stdout.decode().split("\0")
    return [name for name in names if name and (root / name).is_file()]


def _first_failure(output: str) -> str:
    for line in output.splitlines():
        for word in ("FAILED ", "ERROR "):
            if line.startswith(word):
                return line.removeprefix(word).split(" - ")[0]
    return "pytest itself"


def _has_randomly() -> bool:
    import importlib.util

    return importlib.util.find_spec("pytest_randomly") is not None
