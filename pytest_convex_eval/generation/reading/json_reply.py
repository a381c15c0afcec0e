"""Files in a JSON object, the format of structured output.

Three shapes: `{"files": [{"path": ..., "content": ...}]}`, `{"files": {path: content}}` and
`{path: content}`; bare, in a fence, or with prose around it.
"""

from __future__ import annotations

import json
import re

from pytest_convex_eval.generation.reading.extraction import Extraction, unfenced
from pytest_convex_eval.generation.reading.json_objects import json_objects

_FILES = re.compile(r'\{\s*"files"\s*:\s*[\[{]')
_MAP_KEY = re.compile(r"[\w.@()\[\]$+~-]+(?:/[\w.@()\[\]$+~-]+)*\.[A-Za-z]\w*")
_PATH_CHARACTERS = 300


class _Object(list[tuple[str, object]]):
    """A JSON object that keeps keys that come twice."""


def parse_json(text: str) -> Extraction:
    """The files of the first JSON object in `text` that has one of the shapes."""
    extraction = Extraction("json")
    text = unfenced(text) or text
    decoder = json.JSONDecoder(object_pairs_hook=_Object)
    for start, value in json_objects(text, decoder):
        # A path-to-content map must be all of the reply: a package.json in prose is an object too.
        pairs = _pairs(value, whole=not text[:start].strip())
        if pairs:
            line = text.count("\n", 0, start) + 1
            for path, content in pairs:
                extraction.add(path, content, line=line)
            return extraction
    return extraction


def looks_cut_off(text: str) -> bool:
    """Whether `text` begins an object of files; asked when `parse_json` found none."""
    return _FILES.search(text) is not None


def _pairs(value: object, *, whole: bool) -> list[tuple[str, str]]:
    """Paths and contents, or nothing when `value` has none of the shapes."""
    if not isinstance(value, _Object):
        return []
    files = dict(value).get("files")
    if isinstance(files, _Object):
        return _all_text(files)
    if isinstance(files, list):
        entries = [dict(entry) for entry in files if isinstance(entry, _Object)]
        return (
            _all_text([(str(entry.get("path", "")), entry.get("content")) for entry in entries])
            if len(entries) == len(files)
            else []
        )
    if whole and all(_is_path(key) for key, _ in value):
        return _all_text(value)
    return []


def _is_path(key: str) -> bool:
    return len(key) <= _PATH_CHARACTERS and _MAP_KEY.fullmatch(key) is not None


def _all_text(pairs: list[tuple[str, object]]) -> list[tuple[str, str]]:
    texts = [(path, text) for path, text in pairs if path and isinstance(text, str)]
    return texts if len(texts) == len(pairs) else []
