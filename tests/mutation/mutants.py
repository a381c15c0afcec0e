"""Mutants: the code of a room with one small change, as the field's own tools make them.

Python's come from mutmut's operators, JavaScript's and TypeScript's from Stryker's. Both tools run
tests in one process, and ours start many (the server, the CLI, pytest itself), so only their
operators are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import libcst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import Mutation, MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

from pytest_convex_eval import processes

STRYKER = {"@stryker-mutator/instrumenter": "9.6.1"}

_WORDS = re.compile(r"""[rbf]*(['"`])[^'"`]*\s[^'"`]*\1""")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file's text with one change. `path` is relative to the root of the tree, with slashes;
    `line` counts from 1; `offset` counts characters from 0, and is where the change begins."""

    path: str
    line: int
    offset: int
    was: str
    now: str
    text: Callable[[], str] = field(compare=False, repr=False)
    """Makes the file's whole text with the change: there are many more mutants than are tried."""

    @property
    def name(self) -> str:
        """`path:line: was -> now`, on one line: the same for the same change."""
        return f"{self.path}:{self.line}: {_short(self.was)} -> {_short(self.now)}"


def python_mutants(root: Path, files: Iterable[Path]) -> Iterator[Mutant]:
    """mutmut's mutants of each function that is not decorated; words for people are left alone,
    since what they say is held by snapshots and not by behaviour."""
    for file in files:
        source = file.read_text("utf-8")
        tree = MetadataWrapper(libcst.parse_module(source))
        visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
        tree.visit(visitor)
        places = tree.resolve(PositionProvider)
        starts = _line_starts(source)
        for mutation in visitor.mutations:
            if mutation.contained_by_top_level_function is None:
                continue
            was = tree.module.code_for_node(mutation.original_node)
            now = tree.module.code_for_node(mutation.mutated_node)
            if _WORDS.fullmatch(was) or was == now:
                continue
            place = places[mutation.original_node].start
            offset = starts[place.line - 1] + place.column
            path = file.relative_to(root).as_posix()
            text = partial(_replaced, tree.module, mutation)
            yield Mutant(path, place.line, offset, was, now, text)


def script_mutants(
    root: Path, files: Sequence[Path], *, node: Path, stryker: Path
) -> Iterator[Mutant]:
    """Stryker's mutants of JavaScript and TypeScript; words for people are left alone.

    `stryker` is the `node_modules` folder that `STRYKER` is installed in.
    """
    done = processes.run(
        [node, Path(__file__).with_name("stryker.mjs"), stryker],
        cwd=root,
        env=processes.environment(home=root),
        limits=processes.Limits(wall_seconds=600, output_bytes=1 << 30),
        stdin=json.dumps([str(file) for file in files]),
    )
    if not done.ok:
        raise RuntimeError(f"Stryker's operators failed:\n{done.stderr}")
    for found in json.loads(done.stdout):
        file = Path(found["file"])
        source = file.read_text("utf-8")
        starts = _line_starts(source)
        start, end = (
            starts[place["line"]] + place["column"] for place in (found["start"], found["end"])
        )
        was = source[start:end]
        if _WORDS.fullmatch(was):
            continue
        now = found["replacement"]
        text = partial("".join, (source[:start], now, source[end:]))
        path = file.relative_to(root).as_posix()
        yield Mutant(path, found["start"]["line"] + 1, start, was, now, text)


def _replaced(module: libcst.Module, mutation: Mutation) -> str:
    mutated = deep_replace(module, mutation.original_node, mutation.mutated_node)
    assert isinstance(mutated, libcst.Module)
    return mutated.code


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _short(code: str) -> str:
    flat = " ".join(code.split())
    return flat if len(flat) <= 60 else f"{flat[:57]}..."
