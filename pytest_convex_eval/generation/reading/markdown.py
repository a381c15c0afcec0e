"""Files in markdown: a path somewhere above or in a block of code, in the ways models write it.

Where the path of a block may stand, in order: in its info string (`ts title="convex/a.ts"`), in the
heading it is under, on a line of its own just above it, in a comment on its first line. A block is
what CommonMark says, with two exceptions that replies need: in a markdown file, a fence with an
info string opens an inner block, and a heading with a path and a fence below it end a block that
was never closed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_convex_eval.generation.reading.extraction import (
    FENCE,
    Extraction,
    closes,
    is_markdown,
    split_lines,
)

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(?P<text>.*)")
_CODE_SPAN = re.compile(r"`([^`]+)`")
_LEAD = re.compile(r"^(?:\d+[.)]|[-*+]|(?:file ?(?:name|path)?|path)\s*:?)\s+", re.IGNORECASE)
_INFO_PATH = re.compile(r"""\b(?:title|file|filename|filepath|path|name)=["']?([^"'\s}]+)""")
_COMMENT = re.compile(r"\s*(?://|#|--|/\*|<!--)(?P<text>.*)")
_COMMENT_END = re.compile(r"(?:\*/|-->)\Z")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
_SUMMARY = re.compile(r"</?(?:details|summary|b|strong)>")
_RULE = re.compile(r"^[-=]{3,}\s|\s[-=]{3,}$")
_UNDERLINE = re.compile(r"^ {0,3}(?:-{2,}|={2,})\s*$")
_EXTENSION = re.compile(
    r"[cm]?[jt]sx?|json[c5]?|mdx?|txt|s?css|html|svg|xml|ya?ml|toml|sh|env|local|example"
    r"|gitignore|npmrc|lock|sql|graphql|csv",
    re.IGNORECASE,
)
_NO_FILES = frozenset({"node.js", "next.js", "vue.js", "express.js", "three.js", "deno.js"})
_SHELLS = frozenset({"bash", "sh", "shell", "zsh", "console", "terminal", "powershell", "cmd"})
_MARKDOWN = frozenset({"md", "mdx", "markdown"})
_LABEL_CHARACTERS = 300
"""A longer line is no label: a bound on what a hostile reply can make the search for one cost."""


@dataclass(slots=True)
class _Label:
    """A path that the next block may belong to; `language` is that of the block that took it."""

    path: str
    language: str | None = None
    taken: bool = False


def parse_markdown(text: str) -> Extraction:
    """The files in blocks of code of `text`. A block without its closing fence is incomplete."""
    return _Reader(split_lines(text)).read()


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._extraction = Extraction("markdown")
        self._label: _Label | None = None

    def read(self) -> Extraction:
        number = 0
        while number < len(self._lines):
            line = self._lines[number]
            if _opens(line):
                number = self._block(number)
            elif heading := _HEADING.match(line):
                path = _path_in(heading["text"], anywhere=True)
                self._label = _Label(path) if path else None
                number += 1
            elif self._label and not self._label.taken and _indented(line):
                number = self._indented_block(number)
            else:
                path = _label_line(line)
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
        path = _info_path(info)
        label = None if path else self._label
        if label and (label.taken or (language in _SHELLS and not label.path.endswith(".sh"))):
            label = None
        candidate = path or (label.path if label else "")
        end, closed = self._end(
            number, opening["fence"], is_markdown(candidate) or language in _MARKDOWN
        )
        content = "".join(
            _dedent(line, opening["indent"]) for line in self._lines[number + 1 : end]
        )
        path = candidate or _comment_path(content)
        if not path:
            self._unnamed(number, language)
        elif closed:
            self._extraction.add(path, content, line=number + 1)
        else:
            self._extraction.add_incomplete(path, content, line=number + 1)
        if label:
            label.taken, label.language = True, language
        return end + 1 if closed else end

    def _end(self, start: int, fence: str, markdown: bool) -> tuple[int, bool]:
        """The line that closes the block opened at `start`, or the line its missing end is at."""
        depth = 0
        heading = None
        for number in range(start + 1, len(self._lines)):
            line = self._lines[number]
            if closes(fence, line):
                if depth == 0:
                    return number, True
                depth -= 1
            elif (inner := FENCE.match(line)) and inner["fence"].startswith(fence):
                if markdown:
                    depth += 1
                elif heading is not None:
                    return heading, False
            if line.strip():
                title = _HEADING.match(line)
                named = title and _path_in(title["text"], anywhere=True)
                heading = number if named else None
        return len(self._lines), False

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


def _info_path(info: str) -> str | None:
    if match := _INFO_PATH.search(info[:_LABEL_CHARACTERS]):
        return match[1]
    for word in info[:_LABEL_CHARACTERS].split():
        for part in (word, word.partition(":")[2]):
            if _is_path(part):
                return part
    return None


def _comment_path(content: str) -> str | None:
    first = content.partition("\n")[0]
    if len(first) > _LABEL_CHARACTERS or not (match := _COMMENT.match(first)):
        return None
    text = _COMMENT_END.sub("", match["text"].strip())
    words = _LEAD.sub("", text.strip()).split()
    return words[0] if len(words) == 1 and _is_path(words[0]) else None


def _label_line(line: str) -> str | None:
    """The path that a line of its own gives to the block below it."""
    text = line.strip()
    if not text or len(text) > _LABEL_CHARACTERS:
        return None
    words = _words(text)
    annotated = len(words) > 1 and " ".join(words[1:]).startswith("(") and text[-1] in "):*"
    if words and _is_path(words[0]) and (len(words) == 1 or annotated):
        return words[0]
    return _path_in(text, anywhere=False) if text.endswith(":") else None


def _path_in(text: str, *, anywhere: bool) -> str | None:
    """The one path that `text` names; `anywhere`, or else only where it is set off as code."""
    if len(text) > _LABEL_CHARACTERS:
        return None
    spans = [span for span in _CODE_SPAN.findall(text) if _is_path(span)]
    if spans:
        return spans[0] if len(spans) == 1 else None
    if not anywhere:
        return None
    words = _words(text)
    if words and _is_path(words[0]):
        return words[0]
    paths = [word.strip("()") for word in words if "/" in word and _is_path(word.strip("()"))]
    return paths[0] if len(paths) == 1 else None


def _words(text: str) -> list[str]:
    """The words of a label without its decoration: numbers, bullets, emphasis, quotes, colons,
    links, rules on both sides."""
    plain = _SUMMARY.sub("", _LINK.sub(r"\1", text)).strip().rstrip("#").strip()
    plain = _RULE.sub("", plain)
    for _ in range(3):
        plain = _LEAD.sub("", plain.strip("*").strip())
    return [word.strip("`*\"':,") for word in plain.split()]


def _is_path(word: str) -> bool:
    name = word.rpartition("/")[2]
    return (
        "." in name
        and _EXTENSION.fullmatch(name.rpartition(".")[2]) is not None
        and word.lower() not in _NO_FILES
        and not any(mark in word for mark in "`*\"'<>|?:\\")
        and not any(map(str.isspace, word))
    )
