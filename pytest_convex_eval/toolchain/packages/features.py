"""What a version of `convex` can ask of a deployment, read from its own code.

Whether an answer or the library made something up that a deployment does not know is decided by
this: the library's package says it, or else it is the answer's. Nothing is run.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_VALIDATORS = "dist/esm/values/validators.js"
_LIBRARY = ("dist/esm/server", "dist/esm/values", "dist/esm/common")
_CLI = "dist/cli.bundle.cjs"
# A validator's kind is a field of its class; its JSON has that as its type, or another text.
_KIND = re.compile(r"""\bkind["']?\s*[,=]\s*["'](\w+)["']|\btype:\s*["'](\w+)["']""")
_OPERATION = re.compile(
    r"""["'](\d+\.\d+/[\w/]+)["']|[sS]yscall\(\s*(?:\w+\s*,\s*)?["']([\w./]+)["']"""
)
_ROUTE = re.compile(r"""["'`]/?(api/deploy2/\w+)["'`]""")
_WORD = re.compile(r"""["'`]([\w./ -]{1,64})["'`]|\b([A-Za-z_]\w*)\s*[:,}=]""")
_NO_TYPES = {"float64", "int64"}
"""Kinds whose JSON has another type."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a package can ask for. `words` are all names and texts of the library's code: fields of
    what it exports are among them."""

    validators: frozenset[str]
    operations: frozenset[str]
    routes: frozenset[str]
    words: frozenset[str]


def features_of(package: Path) -> Features:
    """What the `convex` package in a folder can ask for. Raises OSError where it is none."""
    validators = _found(_KIND, (package / _VALIDATORS).read_text("utf-8"))
    operations: set[str] = set()
    words: set[str] = set()
    for folder in _LIBRARY:
        for path in sorted((package / folder).rglob("*.js")):
            text = path.read_text("utf-8")
            operations |= _found(_OPERATION, text)
            words |= _found(_WORD, text)
    routes = _found(_ROUTE, (package / _CLI).read_text("utf-8", "replace"))
    return Features(
        frozenset(validators - _NO_TYPES),
        frozenset(operations),
        frozenset(f"POST /{route}" for route in routes),
        frozenset(words),
    )


@functools.lru_cache(maxsize=8)
def _of(package: Path) -> Features:
    return features_of(package)


def asks_for(node_modules: Path, kind: str, name: str) -> bool:
    """Whether the packages of an answer can ask a deployment for a feature of this kind
    (`deployment.model.Feature`) by this name.

    Validators, and fields of what `defineSchema` and `defineApp` export, are `convex`'s; published
    components ask for operations too, without the library. What the CLI sends is never the
    answer's.
    """
    if kind == "push field":
        return True
    features = _of((node_modules / "convex").resolve())
    if kind == "validator":
        return name in features.validators
    if kind != "operation":
        return name in features.words
    return name in features.operations or any(f'"{name}"' in text for text in _texts(node_modules))


def _texts(node_modules: Path) -> Iterator[str]:
    """The code of the packages beside `convex` that are made for it."""
    for folder in sorted(node_modules.glob("@convex-dev/*")):
        for path in sorted(folder.resolve().rglob("*.js")):
            yield path.read_text("utf-8", "replace")


def _found(pattern: re.Pattern[str], text: str) -> set[str]:
    return {part for match in pattern.finditer(text) for part in match.groups() if part}
