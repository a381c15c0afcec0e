"""The JSON objects in a text that need not be JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_START = re.compile(r"^[ \t]*\{", re.MULTILINE)
_STARTS = 20
"""The most places that are tried: a bound on what a hostile reply can make this cost."""


def json_objects(
    text: str, decoder: json.JSONDecoder | None = None
) -> Iterator[tuple[int, object]]:
    """Each JSON object that begins a line of `text`, with its line's place in it.

    Objects inside of others that begin a line themselves are among them. What is no JSON is passed
    over; `decoder` says what an object becomes (default: a dict).
    """
    decoder = decoder or json.JSONDecoder()
    for number, start in enumerate(_START.finditer(text)):
        if number == _STARTS:
            return
        try:
            value, _ = decoder.raw_decode(text, start.end() - 1)
        except (ValueError, RecursionError):
            continue
        yield start.start(), value
