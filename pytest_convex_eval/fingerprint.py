"""What this package's own code is, in one word: a changed check may change a verdict."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_SUFFIXES = (".py", ".mjs", ".ts", ".json", ".md")


@cache
def package_fingerprint() -> str:
    """Of every file of this package that can change what is asked or judged."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file():
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
