"""What this room needs of Unicode."""

from __future__ import annotations


def scalar(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD.

    JSON's escapes can make lone surrogates; no file and no message of xdist can hold one.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
