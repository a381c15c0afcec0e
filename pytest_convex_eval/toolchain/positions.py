"""Where something is in a text, in one way of counting whatever tool said it.

A line ends as ECMAScript says (LF, CR LF, CR, U+2028, U+2029: the four tools agree on it), lines
and columns count from 1, and a column counts characters (code points). The tools count
differently: esbuild gives bytes from 0, TypeScript UTF-16 units from 1, oxlint a byte offset into
the file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from pytest_convex_eval.places import Position

EXCERPT_CHARACTERS = 240
"""The longest excerpt of a line that goes into a finding."""

_LINE_END = re.compile("\r\n|[\n\r\u2028\u2029]")

# A file can be one line, and have a finding at each of its characters: places are counted from the
# last of these, never from the start of the line.
_STRIDE = 1024


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

    @cached_property
    def _bytes(self) -> _Units:
        return _Units(self.text, "utf-8", 1)

    @cached_property
    def _utf16(self) -> _Units:
        return _Units(self.text, "utf-16-le", 2)

    def _bounds(self, number: int) -> tuple[int, int]:
        """Where line `number` starts, and where it ends without its line end."""
        index = min(max(number, 1), len(self._starts)) - 1
        start = self._starts[index]
        if index + 1 == len(self._starts):
            return start, len(self.text)
        following = self._starts[index + 1]
        long = self.text.startswith("\r\n", max(following - 2, start))
        return start, following - (2 if long else 1)

    def line(self, number: int) -> str:
        """Line `number` without its line end."""
        start, end = self._bounds(number)
        return self.text[start:end]

    def excerpt(self, number: int) -> str:
        """Line `number` as a finding shows it: cut where it is long, as minified code is."""
        start, end = self._bounds(number)
        return self.text[start : min(end, start + EXCERPT_CHARACTERS)]

    def at(self, offset: int) -> Position:
        """The position of the character at `offset`."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def at_byte(self, offset: int) -> Position:
        """The position of the character that holds byte `offset` of the UTF-8 text."""
        return self.at(self._bytes.character(offset))

    def in_bytes(self, line: int, column: int) -> Position:
        """The position that is `column` bytes, counted from 0, after the start of `line`."""
        return self._within(self._bytes, line, column)

    def utf16_at(self, offset: int) -> tuple[int, int]:
        """Line and column (in units), both from 1, of UTF-16 unit `offset` of the text."""
        starts = self._utf16_starts
        line = bisect_right(starts, max(offset, 0))
        return line, max(offset, 0) - starts[line - 1] + 1

    def in_utf16(self, line: int, column: int) -> Position:
        """The position of UTF-16 unit `column`, counted from 1, of `line`."""
        return self._within(self._utf16, line, column - 1)

    def _within(self, units: _Units, line: int, after: int) -> Position:
        start, end = self._bounds(line)
        character = units.character(units.before(start) + max(after, 0))
        return Position(line, min(character, end) - start + 1)


class _Units:
    """A text counted in the units of an encoding, each of `width` bytes."""

    def __init__(self, text: str, encoding: str, width: int) -> None:
        self._text = text
        self._encoding = encoding
        self._width = width
        self._plain = text.isascii()
        chunks = () if self._plain else range(0, len(text), _STRIDE)
        lengths = (len(self._encoded(start, start + _STRIDE)) // width for start in chunks)
        # How many units come before each chunk.
        self._sums = [0, *accumulate(lengths)]

    def before(self, character: int) -> int:
        """How many units come before the character at `character`."""
        if self._plain:
            return character
        chunk = character // _STRIDE
        return self._sums[chunk] + len(self._encoded(chunk * _STRIDE, character)) // self._width

    def character(self, unit: int) -> int:
        """The offset of the character that holds `unit`; that of the end for what is beyond it."""
        unit = max(unit, 0)
        if self._plain:
            return min(unit, len(self._text))
        chunk = bisect_right(self._sums, unit) - 1
        start = chunk * _STRIDE
        head = self._encoded(start, start + _STRIDE)[: (unit - self._sums[chunk]) * self._width]
        return min(start + len(head.decode(self._encoding, "ignore")), len(self._text))

    def _encoded(self, start: int, end: int) -> bytes:
        return self._text[start:end].encode(self._encoding, "surrogatepass")


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
