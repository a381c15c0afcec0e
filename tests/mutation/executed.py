"""Which tests execute a mutant's place."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import coverage

from tests.mutation.mutants import Mutant


class Executed(Protocol):
    """Where tests went."""

    def tests(self, mutant: Mutant) -> Sequence[str]:
        """What pytest is given to run the tests that execute the mutant's place; nothing where
        none does."""
        ...


@dataclass(frozen=True, slots=True)
class ByLine:
    """By test, from coverage.py's contexts."""

    lines: Mapping[str, Mapping[int, Sequence[str]]]
    """Node ids by path, relative to the root, and line."""

    @staticmethod
    def read(root: Path, folder: Path) -> ByLine:
        """What `recording` left in `folder` for the tree `root`."""
        combined = coverage.CoverageData(basename=str(folder / "combined"))
        for part in sorted(folder.glob("coverage.*")):
            data = coverage.CoverageData(basename=str(part))
            data.read()
            combined.update(data)
        lines: dict[str, dict[int, list[str]]] = {}
        for path in combined.measured_files():
            place = Path(path)
            if not place.is_relative_to(root):
                continue
            contexts = combined.contexts_by_lineno(path)
            lines[place.relative_to(root).as_posix()] = {
                line: sorted({context for context in found if "::" in context})
                for line, found in contexts.items()
            }
        return ByLine(lines)

    def tests(self, mutant: Mutant) -> Sequence[str]:
        return self.lines.get(mutant.path, {}).get(mutant.line, ())


@dataclass(frozen=True, slots=True)
class ByOffset:
    """By test file, from V8's counts.

    A module that no measured process loaded runs in isolates, which are killed and leave no
    count: any of the files may execute it.
    """

    files: Sequence[str]
    """Test files, the quickest first."""
    ranges: Mapping[str, Mapping[str, Sequence[tuple[int, int, int]]]]
    """By path of a module and test file: where a block begins and ends, and how often it ran."""

    @staticmethod
    def read(root: Path, folders: Mapping[str, Path], seconds: Mapping[str, float]) -> ByOffset:
        """`folders`: where V8 left its counts for each test file; `seconds`: what the file took."""
        ranges: dict[str, dict[str, list[tuple[int, int, int]]]] = defaultdict(dict)
        prefix = root.as_uri() + "/"
        for file, folder in folders.items():
            for part in folder.glob("*.json"):
                for script in json.loads(part.read_text("utf-8"))["result"]:
                    if script["url"].startswith(prefix):
                        found = ranges[script["url"].removeprefix(prefix)].setdefault(file, [])
                        found += _blocks(script["functions"])
        return ByOffset(sorted(folders, key=lambda file: seconds[file]), ranges)

    def tests(self, mutant: Mutant) -> Sequence[str]:
        by_file = self.ranges.get(mutant.path)
        if by_file is None:
            return self.files
        return [file for file in self.files if ran(by_file.get(file, ()), mutant.offset)]


@dataclass(frozen=True, slots=True)
class Assumed:
    """Every test may execute every line."""

    files: Sequence[str]

    def tests(self, mutant: Mutant) -> Sequence[str]:
        return self.files


def _blocks(functions: Iterable[Mapping[str, object]]) -> list[tuple[int, int, int]]:
    found = []
    for function in functions:
        ranges = function["ranges"]
        assert isinstance(ranges, list)
        found += [(each["startOffset"], each["endOffset"], each["count"]) for each in ranges]
    return found


def ran(blocks: Iterable[tuple[int, int, int]], offset: int) -> bool:
    """Whether the innermost block at `offset` ran in some process.

    Each process leaves its own counts of the same blocks: the largest of one size counts.
    """
    inside = [(end - start, count) for start, end, count in blocks if start <= offset < end]
    if not inside:
        return False
    smallest = min(size for size, _ in inside)
    return any(count > 0 for size, count in inside if size == smallest)
