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
