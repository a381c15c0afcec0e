"""Where something stands: in a text, and in a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text: line and column count from 1, the column in characters."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file: `path` as the reader knows it, line and column count from 1. `excerpt` is
    the line without its end, where it is known."""

    path: str
    line: int
    column: int
    excerpt: str | None = None
