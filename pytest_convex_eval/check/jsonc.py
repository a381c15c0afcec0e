"""JSON with comments and trailing commas, as TypeScript's and Bun's files are."""

from __future__ import annotations

import json
import re

from pydantic import JsonValue

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*+")
      | (?P<comment>//[^\n\r]*|/\*.*?\*/)
      | (?P<comma>,)(?=(?>(?:\s|//[^\n\r]*|(?>/\*.*?\*/))*)[}\]])""",
    re.VERBOSE | re.DOTALL,
)


def parse(text: str) -> JsonValue:
    """The value of a document. Raises ValueError for what is none."""
    plain = _TOKEN.sub(lambda match: match["string"] or " ", text.removeprefix("\ufeff"))
    try:
        value: JsonValue = json.loads(plain)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def parse_object(text: str) -> dict[str, JsonValue]:
    """The members of a document that is an object. Raises ValueError for any other."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
