"""Files in tags: the format that models are asked for, and that reference answers are put in.

    <file path="convex/schema.ts">
    ...the file, nothing escaped...
    </file>

What is between the two lines is the file, the end of its last line included; a file that does not
end in one has its closing tag at the end of its last line. Nothing is escaped: asked for code
inside JSON strings, the models of Aider's study of 2024 wrote worse code, which nobody sees, while
a missing tag is seen. A file may hold the closing tag within a line; a reply that was cut off right
behind that one seems whole, and only the reason for its end tells (`reply.judge_stop`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_convex_eval.generation.reading.extraction import Extraction, is_markdown, unfenced
from pytest_convex_eval.outcomes import Files

_OPENING = re.compile(r"^(?P<indent>[ \t]*)(?:</file>[ \t]*)?(?P<tag><file)(?=[\s>])", re.MULTILINE)
_CLOSING = re.compile(r"^[ \t]*</file>|</file>[ \t\r]*$", re.MULTILINE)
_PATH = re.compile(r"""\b(?:path|name|filename)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_TAG_CHARACTERS = 1000
_CDATA = ("<![CDATA[", "]]>")


def render_files(files: Files) -> str:
    """`files` in tags, in their order.

    Raises ValueError for files that `parse_tags` would not give back as they are.
    """
    rendered = "\n".join(f'<file path="{path}">\n{text}</file>\n' for path, text in files.items())
    extraction = parse_tags(rendered)
    if extraction.findings or list(extraction.files.items()) != list(files.items()):
        wrong = [path for path, text in files.items() if extraction.files.get(path) != text]
        raise ValueError(f"cannot stand in file tags: {', '.join(wrong) or 'these files'}")
    return rendered


def parse_tags(text: str) -> Extraction:
    """The files in tags of `text`. A tag without its closing tag leaves its file incomplete."""
    extraction = Extraction("tags")
    openings = _openings(text)
    for number, opening in enumerate(openings):
        limit = openings[number + 1].start if number + 1 < len(openings) else len(text)
        closing = _CLOSING.search(text, opening.content, limit)
        if not opening.path:
            extraction.note(
                "unnamed-file", f"The file at line {opening.line} of the reply has no path."
            )
        elif closing is None:
            extraction.add_incomplete(
                opening.path, text[opening.content : limit], line=opening.line
            )
        else:
            content = text[opening.content : closing.start()]
            if closing[0].startswith((" ", "\t")) and not opening.indented:
                # The file's own last line, white space without a line end, and not indentation.
                content += closing[0][: closing[0].index("<")]
            _add(extraction, opening, content)
    return extraction


def _add(extraction: Extraction, opening: _Opening, content: str) -> None:
    fence = "CDATA section"
    inside = _outside_cdata(content)
    if inside is None and not is_markdown(opening.path):
        fence, inside = "markdown fence", unfenced(content)
    if inside is not None:
        extraction.note(
            "fenced-file",
            f"A {fence} around {opening.path} inside its tags was taken off.",
            severity="info",
            path=opening.path,
        )
        content = inside
    extraction.add(opening.path, content, line=opening.line)


def _outside_cdata(content: str) -> str | None:
    """What is inside the CDATA section that `content` is; None for anything else."""
    begin, end = _CDATA
    stripped = content.strip()
    if not stripped.startswith(begin) or not stripped.endswith(end):
        return None
    return stripped[len(begin) : -len(end)].removeprefix("\r").removeprefix("\n")


@dataclass(frozen=True, slots=True)
class _Opening:
    """An opening tag: where it and its file's content start, and its line counted from 1."""

    path: str
    start: int
    content: int
    line: int
    indented: bool


def _openings(text: str) -> list[_Opening]:
    found = []
    line, counted = 1, 0
    for match in _OPENING.finditer(text):
        # A tag's length is bounded, so that no reply can make this search quadratic.
        end = text.find(">", match.end(), match.end() + _TAG_CHARACTERS)
        newline = text.find("\n", match.end(), match.end() + _TAG_CHARACTERS)
        if end < 0 or 0 <= newline < end:
            continue
        path = _PATH.search(text, match.end(), end)
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end + 1
        alone = not text[end + 1 : line_end].strip()
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        found.append(
            _Opening(
                path=next(filter(None, path.groups()), "") if path else "",
                start=match.start("tag"),
                content=line_end if alone else end + 1,
                line=line,
                indented=bool(match["indent"]),
            )
        )
    return found
