"""What the rungs of the reply parser have in common: the files found, and what was wrong."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from pytest_convex_eval.generation.reading.labels import comment_path
from pytest_convex_eval.outcomes import Finding, Severity
from pytest_convex_eval.text import lone_surrogate, well_formed

Rung: TypeAlias = Literal["tags", "json", "markdown"]
"""The shape that a reply's files were found in."""

# Possessive throughout: what could be shared out in two ways would be, on a line of nothing else.
FENCE = re.compile(r"^(?P<indent>[ \t]*+)(?P<fence>`{3,}+|~{3,}+)(?P<info>[^\r\n]*+)\r?\n?$")
"""A line that opens or closes a block of code (CommonMark 0.31, section 4.5)."""

_HERE = re.compile(r"(?:\./++)++")

_MARKDOWN_SUFFIXES = (".md", ".mdx", ".markdown")


class Extraction:
    """The files of one rung, in the order of the reply.

    `incomplete` holds what there is of files whose end is missing: good to look at, never to check.
    """

    def __init__(self, rung: Rung) -> None:
        self.rung: Rung = rung
        self.files: dict[str, str] = {}
        self.incomplete: dict[str, str] = {}
        self.findings: list[Finding] = []

    def add(self, path: str, content: str, *, line: int) -> None:
        """Takes a whole file from `line` of the reply; of two with one path the later counts."""
        path, content = self._well_formed(clean_path(path), content)
        content = self._without_own_name(path, content)
        if path in self.files:
            same = self.files[path] == content
            self.note(
                "duplicate-path",
                f"The reply holds {path} twice, with {'the same' if same else 'another'} content "
                f"the second time (line {line} of the reply).",
                severity="warning" if same else "error",
                path=path,
            )
        self.files[path] = content

    def add_incomplete(self, path: str, content: str, *, line: int) -> None:
        """Takes the beginning of a file that has no end."""
        path, content = well_formed(clean_path(path)), well_formed(content)
        self.incomplete[path] = content
        self.note(
            "unclosed-file",
            f"The reply does not say where {path} ends, which begins at line {line} of the reply.",
            path=path,
            hint="It may have been cut off, so it is not taken for a file.",
        )

    def take(self, held: Extraction, *, line: int) -> None:
        """Takes what was found in the block at `line` of the reply, its findings included."""
        self.findings += held.findings
        for path, content in held.files.items():
            self.add(path, content, line=line)
        self.incomplete.update(held.incomplete)

    def _without_own_name(self, path: str, content: str) -> str:
        """A JSON file without the comment that names it: there are no comments in JSON."""
        first, _, rest = content.lstrip("\r\n").partition("\n")
        named = comment_path(first) if path.lower().endswith(".json") else None
        if named is None or not f"/{path}".endswith(f"/{clean_path(named)}"):
            return content
        self.note(
            "named-in-json",
            f"A comment that names {path} on its first line was taken out of it.",
            severity="info",
            path=path,
        )
        return rest

    def _well_formed(self, path: str, content: str) -> tuple[str, str]:
        if lone_surrogate(path) is not None:
            path = well_formed(path)
            message = f"The path {path} has half of a surrogate pair, which no file's can."
            self.note("not-unicode", message, path=path)
        half = lone_surrogate(content)
        if half is not None:
            line = content.count("\n", 0, half) + 1
            self.note(
                "not-unicode",
                f"{path} has half of a surrogate pair in its line {line}, which no file can hold.",
                path=path,
                hint="The other stages see U+FFFD in its place.",
            )
        return path, well_formed(content)

    def note(
        self,
        code: str,
        message: str,
        *,
        severity: Severity = "error",
        path: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keeps a finding with the code `format/<code>`."""
        self.findings.append(Finding(f"format/{code}", message, severity, path, hint=hint))


def clean_path(path: str) -> str:
    """`path` as it is meant. Whether it is allowed is decided elsewhere."""
    path = path.strip()
    here = _HERE.match(path)
    return path[here.end() :] if here else path


def is_markdown(path: str) -> bool:
    """Whether fences belong in the file."""
    return path.lower().endswith(_MARKDOWN_SUFFIXES)


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their ends; unlike `splitlines`, no end but a line feed's."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def closes(fence: str, line: str) -> bool:
    """Whether `line` closes a block that was opened by `fence`."""
    match = FENCE.match(line)
    return match is not None and match["fence"].startswith(fence) and not match["info"].strip()


def unfenced(content: str) -> str | None:
    """What is inside the one fence around the whole of `content`; None where there is none."""
    lines = split_lines(content)
    inked = [number for number, line in enumerate(lines) if line.strip()]
    if len(inked) < 2:
        return None
    opening = FENCE.match(lines[inked[0]])
    if opening is None or not closes(opening["fence"], lines[inked[-1]]):
        return None
    inside = lines[inked[0] + 1 : inked[-1]]
    if any(closes(opening["fence"], line) for line in inside):
        return None
    return "".join(inside)
