"""Where something is in a text, in one way of counting whatever tool said it.

A line ends as ECMAScript says (LF, CR LF, CR, U+2028, U+2029: the four tools agree on it), lines
and columns count from 1, and a column counts characters (code points). The tools count
differently: esbuild gives bytes from 0, TypeScript UTF-16 units from 1, oxlint a byte offset into
the file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

EXCERPT_CHARACTERS = 240
"""The longest excerpt of a line that goes into a finding."""

_LINE_END = re.compile("\r\n|[\n\r\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text: line and column from 1, the column in characters."""

    line: int
    column: int


class SourceText:
    """A text whose positions can be told. Positions beyond an end are clamped to it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def read(cls, path: Path) -> SourceText:
        """The text of a file; the empty text where there is none."""
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        return cls(data.decode("utf-8", "replace"))

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def _utf16_starts(self) -> list[int]:
        if self.text.isascii():
            return self._starts
        ends = [*self._starts[1:], len(self.text)]
        lines = (self.text[a:b] for a, b in zip(self._starts, ends, strict=True))
        units = [len(line.encode("utf-16-le", "surrogatepass")) // 2 for line in lines]
        return [0, *accumulate(units[:-1])]

    def line(self, number: int) -> str:
        """Line `number` without its line end."""
        start = self._starts[min(max(number, 1), len(self._starts)) - 1]
        end = _LINE_END.search(self.text, start)
        return self.text[start : end.start() if end else len(self.text)]

    def excerpt(self, number: int) -> str:
        """Line `number` as a finding shows it: cut where it is long, as minified code is."""
        return self.line(number)[:EXCERPT_CHARACTERS]

    def at(self, offset: int) -> Position:
        """The position of the character at `offset`."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def at_byte(self, offset: int) -> Position:
        """The position of the character that holds byte `offset` of the UTF-8 text."""
        head = self.text.encode("utf-8", "surrogatepass")[: max(offset, 0)]
        return self.at(len(head.decode("utf-8", "ignore")))

    def in_bytes(self, line: int, column: int) -> Position:
        """The position that is `column` bytes, counted from 0, after the start of `line`."""
        head = self.line(line).encode("utf-8", "surrogatepass")[: max(column, 0)]
        return Position(line, len(head.decode("utf-8", "ignore")) + 1)

    def utf16_at(self, offset: int) -> tuple[int, int]:
        """Line and column (in units), both from 1, of UTF-16 unit `offset` of the text."""
        starts = self._utf16_starts
        line = bisect_right(starts, max(offset, 0))
        return line, max(offset, 0) - starts[line - 1] + 1

    def in_utf16(self, line: int, column: int) -> Position:
        """The position of UTF-16 unit `column`, counted from 1, of `line`."""
        units = self.line(line).encode("utf-16-le", "surrogatepass")[: 2 * max(column - 1, 0)]
        return Position(line, len(units.decode("utf-16-le", "ignore")) + 1)


class SourceTree:
    """The texts below one folder, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, SourceText] = {}

    def __getitem__(self, path: str) -> SourceText:
        """The text of `path`, POSIX and relative to the folder."""
        if path not in self._read:
            self._read[path] = SourceText.read(self._root / path)
        return self._read[path]
