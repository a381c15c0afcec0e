"""Files in markdown: a path somewhere above or in a block of code, in the ways models write it.

Where the path of a block may stand, in order: in its info string (`ts title="convex/a.ts"`), in the
heading it is under, on a line of its own just above it, in a comment on its first line. A block is
what CommonMark says, with exceptions that replies need: in a markdown file, a fence with an
info string opens an inner block; in a script, a fence inside a comment or a template literal is a
line of it; a heading with a path and a fence below it end a block that was never closed; a heading
may stand behind a sentence or a closing fence, on their line; and a block that is no file itself
may hold a whole reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice

from pytest_convex_eval.generation.reading.extraction import (
    FENCE,
    Extraction,
    closes,
    is_markdown,
    split_lines,
)
from pytest_convex_eval.generation.reading.labels import (
    HEADING,
    comment_path,
    glued_path,
    heading_path,
    info_path,
    label_path,
)
from pytest_convex_eval.generation.reading.scripts import LANGUAGES, SUFFIXES, ScriptState

_UNDERLINE = re.compile(r"^ {0,3}(?:-{2,}|={2,})\s*$")
_SHELLS = frozenset({"bash", "sh", "shell", "zsh", "console", "terminal", "powershell", "cmd"})
_MARKDOWN = frozenset({"md", "mdx", "markdown"})
_HOLDS_REPLY = _MARKDOWN | {"", "text", "txt", "plaintext", "xml", "html"}
"""The info strings of blocks in which replies stand whole."""
_DEEPEST = 2
_LOOKS = 8
"""How often a line is looked at for the end of a block, on average: hostile replies could ask for
their own length, for each of their lines."""


@dataclass(slots=True)
class _Label:
    """A path that the next block may belong to; `language` is that of the block that took it."""

    path: str
    language: str | None = None
    taken: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    """The line that ends a block, or, not `closed`, the one that its missing end is at. `heading`
    is the path in a heading behind the fence; `certain`: no other end can be meant."""

    line: int
    closed: bool
    heading: str | None = None
    certain: bool = True


def parse_markdown(text: str) -> Extraction:
    """The files in blocks of code of `text`. A block without its closing fence is incomplete."""
    return _Reader(split_lines(text)).read()


class _Reader:
    def __init__(self, lines: list[str], depth: int = 0) -> None:
        self._lines = lines
        self._depth = depth
        self._extraction = Extraction("markdown")
        self._label: _Label | None = None
        self._looks = _LOOKS * len(lines)

    def read(self) -> Extraction:
        number = 0
        while number < len(self._lines):
            line = self._lines[number]
            if _opens(line):
                number = self._block(number)
            elif HEADING.match(line):
                path = heading_path(line)
                self._label = _Label(path) if path else None
                number += 1
            elif self._label and not self._label.taken and _indented(line):
                number = self._indented_block(number)
            else:
                path = label_path(line) or glued_path(line)
                if path and self._fence_follows(number + 1):
                    self._label = _Label(path)
                number += 1
        return self._extraction

    def _block(self, number: int) -> int:
        """Takes the block that opens at line `number`; returns the number of the line after it."""
        opening = FENCE.match(self._lines[number])
        assert opening is not None
        info = opening["info"].strip()
        language = re.split(r"[\s:{,]", info, maxsplit=1)[0].lower()
        path = info_path(info)
        label = None if path else self._label
        if label and (label.taken or (language in _SHELLS and not label.path.endswith(".sh"))):
            label = None
        path = path or (label.path if label else comment_path(self._first_line(number + 1)))
        end = self._end(number, opening["fence"], path or "", language)
        inside = [_dedent(line, opening["indent"]) for line in self._lines[number + 1 : end.line]]
        content = "".join(inside)
        if not path:
            if not self._held_reply(inside, language, number):
                self._unnamed(number, language)
        elif end.closed:
            self._extraction.add(path, content, line=number + 1)
            if not end.certain:
                self._uncertain(path, end.line)
        else:
            self._extraction.add_incomplete(path, content, line=number + 1)
        if label:
            label.taken, label.language = True, language
        if end.heading is not None:
            self._label = _Label(end.heading)
        return end.line + 1 if end.closed else end.line

    def _end(self, start: int, fence: str, path: str, language: str) -> _End:
        """The end of the block opened at `start`, of a file `path` as far as that is known."""
        if is_markdown(path) or language in _MARKDOWN:
            return self._end_of_text(start, fence, nests=True)
        if not (path.lower().endswith(SUFFIXES) or language in LANGUAGES):
            return self._end_of_text(start, fence, nests=False)
        end = self._end_of_script(start, fence)
        if end is not None:
            return end
        # Whatever fence is taken, the script ends inside a comment or a template literal.
        end = self._end_of_text(start, fence, nests=False)
        return replace(end, certain=False) if end.closed else end

    def _end_of_text(self, start: int, fence: str, *, nests: bool) -> _End:
        depth = 0
        heading = None
        for number in range(start + 1, len(self._lines)):
            line = self._lines[number]
            if closes(fence, line):
                if depth == 0:
                    return _End(number, closed=True)
                depth -= 1
            elif (inner := FENCE.match(line)) and inner["fence"].startswith(fence):
                if depth == 0 and (path := self._heading_behind(number, inner["info"])):
                    return _End(number, closed=True, heading=path)
                if nests:
                    depth += 1
                elif heading is not None:
                    return _End(heading, closed=False)
            if line.strip():
                heading = number if heading_path(line) else None
        return _End(len(self._lines), closed=False)

    def _end_of_script(self, start: int, fence: str) -> _End | None:
        """The first fence that stands in code, where markdown and script agree; None where there is
        none before the reply's end."""
        state = ScriptState()
        heading = None
        for number in range(start + 1, len(self._lines)):
            self._looks -= 1
            if self._looks < 0:
                return None
            line = self._lines[number]
            found = FENCE.match(line)
            if found and state.in_text:
                # Three backticks end no template literal, and are never meant to.
                continue
            if found and state.in_code and found["fence"].startswith(fence):
                if closes(fence, line):
                    return _End(number, closed=True)
                if path := self._heading_behind(number, found["info"]):
                    return _End(number, closed=True, heading=path)
                if heading is not None:
                    return _End(heading, closed=False)
            if line.strip():
                heading = number if state.in_code and heading_path(line) else None
            state.feed(line)
        return None

    def _heading_behind(self, number: int, info: str) -> str | None:
        """The path in a heading behind the fence on line `number`: "```## convex/b.ts"."""
        if not info.startswith("#") or not self._fence_follows(number + 1):
            return None
        return heading_path(info)

    def _held_reply(self, inside: list[str], language: str, number: int) -> bool:
        """Takes the files of a reply that stands whole in a block; whether it is one."""
        if language not in _HOLDS_REPLY or self._depth == _DEEPEST:
            return False
        held = _Reader(inside, self._depth + 1).read()
        if not held.files and not held.incomplete:
            return False
        self._extraction.take(held, line=number + 1)
        return True

    def _first_line(self, number: int) -> str:
        """The first that is not blank, from line `number` on."""
        return next((line for line in islice(self._lines, number, None) if line.strip()), "")

    def _uncertain(self, path: str, end: int) -> None:
        self._extraction.note(
            "uncertain-end",
            f"Where {path} ends cannot be told: the fence at line {end + 1} of the reply ends its "
            "block, and stands in a comment or a template literal that never ends.",
            severity="warning",
            path=path,
            hint="The file is taken to end there.",
        )

    def _indented_block(self, number: int) -> int:
        """A file as indented code under its heading (CommonMark 4.4)."""
        assert self._label is not None
        end = number
        for at in range(number, len(self._lines)):
            if _indented(self._lines[at]):
                end = at + 1
            elif self._lines[at].strip():
                break
        content = "".join(
            line[1:] if line.startswith("\t") else line.removeprefix("    ")
            for line in self._lines[number:end]
        )
        self._extraction.add(self._label.path, content, line=number + 1)
        self._label.taken = True
        return end

    def _unnamed(self, number: int, language: str) -> None:
        label = self._label
        if label and label.taken and label.language == language:
            self._extraction.note(
                "second-block",
                f"A second block of code under {label.path}, at line {number + 1} of the reply, "
                "names no file of its own.",
                path=label.path,
            )
        else:
            self._extraction.note(
                "unnamed-block",
                f"The block of code at line {number + 1} of the reply belongs to no file.",
                severity="info" if language in _SHELLS else "warning",
            )

    def _fence_follows(self, number: int) -> bool:
        underlined = number < len(self._lines) and _UNDERLINE.match(self._lines[number])
        number += bool(underlined)
        while number < len(self._lines) and not self._lines[number].strip():
            number += 1
        return number < len(self._lines) and _opens(self._lines[number])


def _opens(line: str) -> bool:
    match = FENCE.match(line)
    return match is not None and not (match["fence"].startswith("`") and "`" in match["info"])


def _indented(line: str) -> bool:
    return line.startswith(("    ", "\t")) and bool(line.strip())


def _dedent(line: str, indent: str) -> str:
    """`line` without as much of its white space as stood before the fence."""
    common = 0
    while common < min(len(indent), len(line)) and line[common] in " \t":
        common += 1
    return line[common:]
