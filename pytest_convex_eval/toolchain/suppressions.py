"""Comments that switch checks off: found, reported, and made not to work.

oxlint and TypeScript obey such comments and have no switch against it, and a model that writes one
would grade itself. `neutralise` changes one character of each directive and no length, so that
every position stays what it was; comments never change what code does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.toolchain.lexer import spans
from pytest_convex_eval.toolchain.positions import SourceText

SOURCE_SUFFIXES = frozenset({".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"})
JSX_SUFFIXES = frozenset({".tsx", ".jsx"})

# TypeScript reads `@TS-NoCheck` as well, and `@ts-ignore` with anything after it (measured with
# 7.0.2).
_DIRECTIVE = re.compile(
    r"@ts-(?:nocheck|ignore|expect-error)|(?:eslint|oxlint)-disable(?:-next-line|-line)?",
    re.IGNORECASE,
)
# Where a tool would look for it: at the start of a comment, or of a line of one, behind one run of
# slashes and stars: a comment within a comment (`// // @ts-ignore`) is obeyed by none. From the
# last line's start only: from each of the lines before, a run of empty ones would be read once a
# line. What it names stands behind a linter's directive, up to two hyphens and a reason.
_IN_PLACE = re.compile(
    r"(?:\A|[\n\r\u2028\u2029])[^\S\n\r\u2028\u2029]*+[/*]*+[^\S\n\r\u2028\u2029]*+(?=(?P<word>"
    + _DIRECTIVE.pattern
    + r")(?P<named>[^\n\r\u2028\u2029]*+))",
    re.I,
)
_REASON = re.compile(r"\s-{2,}\s|\*/")


def is_source(path: str) -> bool:
    """Whether `path` names a TypeScript or JavaScript file."""
    return PurePosixPath(path).suffix in SOURCE_SUFFIXES


@dataclass(frozen=True, slots=True)
class Suppression:
    """A suppression comment: the finding that tells it, and the names of the rules that it switches
    off; none of them are all, or the compiler's errors."""

    finding: Finding
    rules: tuple[str, ...] = ()


def find_suppressions(files: Files) -> tuple[Suppression, ...]:
    """Each suppression comment of an answer's files; its finding is an error `lint/suppression`.

    A directive counts where a tool would obey it; the same words in a string, or mentioned within
    the prose of a comment, are none.
    """
    return tuple(
        suppression
        for path, text in files.items()
        if is_source(path)
        for suppression in _suppressions(path, text)
    )


def neutralise(path: str, text: str) -> str:
    """`text` of the same length in which no suppression comment works; other files unchanged."""
    if not is_source(path) or not _DIRECTIVE.search(text):
        return text
    return "".join(
        _DIRECTIVE.sub(_disarmed, part) if kind == "comment" else part
        for kind, part, _ in _parts(path, text)
    )


def _disarmed(match: re.Match[str]) -> str:
    """`@ts-ignore` as `_ts-ignore`, `eslint-disable` as `eslint_disable`."""
    word = match.group()
    return f"_{word[1:]}" if word.startswith("@") else word.replace("-", "_", 1)


def _suppressions(path: str, text: str) -> Iterator[Suppression]:
    if not _DIRECTIVE.search(text):
        return
    source = SourceText(text)
    for kind, part, start in _parts(path, text):
        if kind != "comment":
            continue
        for match in _IN_PLACE.finditer(part):
            place = source.at(start + match.start("word"))
            finding = Finding(
                code="lint/suppression",
                message=f"{match['word']} switches checks off; it is not obeyed",
                path=path,
                line=place.line,
                column=place.column,
                excerpt=source.excerpt(place.line),
            )
            yield Suppression(finding, _named(match["word"], match["named"]))


def _named(word: str, named: str) -> tuple[str, ...]:
    """The rules that a directive names."""
    if word.startswith("@"):
        return ()
    names = _REASON.split(named, maxsplit=1)[0]
    return tuple(filter(None, (name.strip() for name in names.split(","))))


def _parts(path: str, text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and offset of each span of a file."""
    for span in spans(text, jsx=PurePosixPath(path).suffix in JSX_SUFFIXES):
        yield span.kind, text[span.start : span.end], span.start
