"""What this package's own code is, in one word: a changed check may change a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_SUFFIXES = (".py", ".mjs", ".ts", ".json", ".md")


JUDGES = (
    "behaviour",
    "deployment",
    "expectations",
    "generation/reading",
    "server",
    "stages",
    "toolchain",
    "workspace",
)
"""The folders of what judges an answer that is there: what reads it, lays it out, checks it, runs
it."""


@cache
def package_fingerprint() -> str:
    """The fingerprint of every file of this package that can change what is asked or judged."""
    return _digest(["."])


@cache
def checker_fingerprint() -> str:
    """The fingerprint of the files that can change a verdict on the same answer. Runs whose
    checkers differ did not judge alike."""
    return _digest(JUDGES)


def _digest(folders: Sequence[str]) -> str:
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file():
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
