"""Paths of files as replies name them: in headings, on lines of their own, in info strings and
comments."""

from __future__ import annotations

import re

HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(?P<text>.*)")

_GLUED = re.compile(r"(?:(?<=[^\w\s#])#|(?<=[^\s#])#{2,6})[ \t]+(?P<text>[^#]+?)[ \t#]*$")
_CODE_SPAN = re.compile(r"`([^`]+)`")
_LEAD = re.compile(r"^(?:\d+[.)]|[-*+]|@?(?:file ?(?:name|path)?|path)\s*:?)\s+", re.IGNORECASE)
_INFO_PATH = re.compile(
    r"""\b(?:title|file|filename|filepath|path|name)["']?\s*[=:]\s*["']?([^"'\s},]+)"""
)
_COMMENT = re.compile(r"\s*(?://|#|--|/\*|<!--)(?P<text>.*)")
_COMMENT_END = re.compile(r"(?:\*/|-->)\Z")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
_SUMMARY = re.compile(r"</?(?:details|summary|b|strong)>")
_RULE = re.compile(r"^[-=]{3,}\s|\s[-=]{3,}$")
_EXTENSION = re.compile(
    r"[cm]?[jt]sx?|json[c5]?|mdx?|txt|s?css|html|svg|xml|ya?ml|toml|sh|env|local|example"
    r"|gitignore|npmrc|lock|sql|graphql|csv",
    re.IGNORECASE,
)
_NO_FILES = frozenset({"node.js", "next.js", "vue.js", "express.js", "three.js", "deno.js"})
_LONGEST = 300
"""A longer line is no label: a bound on what a hostile reply can make the search for one cost."""


def heading_path(line: str) -> str | None:
    """The path in a heading; None for other lines and headings that name none, or several."""
    heading = HEADING.match(line)
    return path_in(heading["text"]) if heading else None


def glued_path(line: str) -> str | None:
    """The path in a heading that stands behind other text of its line: `below.## convex/a.ts`."""
    glued = _GLUED.search(line.rstrip()[-_LONGEST:])
    return None if glued is None else label_path(glued["text"]) or _in_code_span(glued["text"])


def label_path(line: str) -> str | None:
    """The path that a line of its own gives to the block below it."""
    text = line.strip()
    if not text or len(text) > _LONGEST:
        return None
    words = _words(text)
    if words and is_path(words[0]) and (len(words) == 1 or _annotated(words, text)):
        return words[0]
    return _in_code_span(text) if text.endswith(":") else None


def info_path(info: str) -> str | None:
    """The path in what stands behind the fence that opens a block."""
    info = info[:_LONGEST]
    if (match := _INFO_PATH.search(info)) and is_path(match[1]):
        return match[1]
    for word in info.split():
        for part in (word, word.partition(":")[2], word[1:-1] if word[0] in "[({" else ""):
            if is_path(part):
                return part
    return None


def comment_path(line: str) -> str | None:
    """The path that a comment names, and nothing else, which is all of a `line`."""
    if len(line) > _LONGEST or not (match := _COMMENT.match(line)):
        return None
    text = _LEAD.sub("", _COMMENT_END.sub("", match["text"].strip()).strip())
    words = [word.strip("`*\"':,") for word in text.split()]
    if words and is_path(words[0]) and (len(words) == 1 or _annotated(words, text)):
        return words[0]
    return None


def path_in(text: str) -> str | None:
    """The one path that `text` names: the one that is set off as code, the first word, or else the
    only one anywhere."""
    if len(text) > _LONGEST:
        return None
    if any(map(is_path, _CODE_SPAN.findall(text))):
        return _in_code_span(text)
    words = _words(text)
    if words and is_path(words[0]):
        return words[0]
    paths = [word.strip("()") for word in words if "/" in word and is_path(word.strip("()"))]
    return paths[0] if len(paths) == 1 else None


def is_path(word: str) -> bool:
    """Whether `word` looks like the path of a file, by its extension."""
    name = word.rpartition("/")[2]
    return (
        "." in name
        and _EXTENSION.fullmatch(name.rpartition(".")[2]) is not None
        and word.lower() not in _NO_FILES
        and not any(mark in word for mark in "`*\"'<>|?:\\")
        and not any(map(str.isspace, word))
    )


def _in_code_span(text: str) -> str | None:
    spans = [span for span in _CODE_SPAN.findall(text) if is_path(span)]
    return spans[0] if len(spans) == 1 else None


def _annotated(words: list[str], text: str) -> bool:
    return " ".join(words[1:]).startswith("(") and text[-1] in "):*"


def _words(text: str) -> list[str]:
    """The words of a label without its decoration: numbers, bullets, emphasis, quotes, colons,
    links, rules on both sides."""
    plain = _SUMMARY.sub("", _LINK.sub(r"\1", text)).strip().rstrip("#").strip()
    plain = _RULE.sub("", plain)
    for _ in range(3):
        plain = _LEAD.sub("", plain.strip("*").strip())
    return [word.strip("`*\"':,") for word in plain.split()]
