"""Text from outside, made well-formed before it crosses into a file or another process.

A JavaScript string is a sequence of UTF-16 units, and half a pair of surrogates (half an emoji) is
one like any other; JSON's escapes carry it. UTF-8 has no way to write it: no file can hold it, nor
a message of xdist (execnet refuses it), nor what pydantic parses. What replaces it is U+FFFD, as in
ECMAScript's `String.prototype.toWellFormed` and the WHATWG's encoder of UTF-8.
"""

from __future__ import annotations

import re

# In valid JSON a backslash stands in strings alone; each escape is passed as a whole, so that an
# escaped backslash before "ud83d" is none of a surrogate.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",
    re.DOTALL,
)
_LONE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def lone_surrogate(text: str) -> int | None:
    """Where the first half of a pair of surrogates is that has no other; None where all is well."""
    found = None if text.isascii() else _LONE.search(text)
    return None if found is None else found.start()


def paired(text: str) -> str:
    """`text` with each two halves that meet as the character that they are; lone ones stay.

    JSON that was cut between them, as a stream's events are, brings them apart."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def well_formed(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD. Two that make a pair become the character
    that they mean."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def well_formed_json(document: str) -> str:
    """A JSON `document` whose strings are well-formed, for parsers that take no others.

    What is no JSON stays none.
    """
    return _ESCAPE.sub(_replaced, well_formed(document))


def _replaced(escape: re.Match[str]) -> str:
    return escape[0] if escape["lone"] is None else _REPLACEMENT


# What a terminal, a reader of logs or an XML parser would act on, or not show: control characters
# (C0 but the tab, DEL, C1), marks and overrides of direction, separators of lines, characters that
# are not there to be seen, tags, and what XML 1.0 forbids.
_ACTING = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
# What CI systems take for commands: `::error::` where a line begins, which GitHub's runner looks
# for behind blanks too, and `##[error]` (`##vso[...]`, `##teamcity[...]`) wherever it stands.
_COMMAND = re.compile(r"(?P<start>\A[\s>|]*):(?=:)|#(?=#[a-zA-Z]*\[)")


def shown(line: str) -> str:
    """Text of others as one line that shows it and does nothing: for a terminal, JUnit, a page.

    Characters that act become escapes as in Python's literals, a line's end among them, and
    commands of CI systems are broken up by a backslash. What is shown stays one line.
    """
    if line.isascii() and line.isprintable():
        escaped = line
    else:
        escaped = _ACTING.sub(_as_escape, well_formed(line))
    return _COMMAND.sub(lambda found: f"{found[0]}\\", escaped)


def _as_escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
