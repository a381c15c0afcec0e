"""Which files of a project its functions load that lie outside of their folder.

Specifiers are looked for in the text, and too many do no harm: what is found is only copied. What
is resolved is what leads to a file of the project: relative paths, and the aliases of `paths`;
packages are left to the tools.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SPECIFIER = re.compile(
    r"""(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\(|<reference\s+path\s*=)\s*"""
    r"""(?P<quote>["'])(?P<specifier>[^"'\n\r]{1,1024})(?P=quote)"""
)
_SUFFIXES = (
    *(".ts", ".tsx", ".mts", ".cts", ".d.ts", ".d.mts", ".d.cts"),
    *(".js", ".jsx", ".mjs", ".cjs", ".json"),
)
# TypeScript's: an import names what the compiler would write.
_WRITTEN_FROM = {
    ".js": (".ts", ".tsx", ".d.ts"),
    ".jsx": (".tsx", ".d.ts"),
    ".mjs": (".mts", ".d.mts"),
    ".cjs": (".cts", ".d.cts"),
}


@dataclass(frozen=True, slots=True)
class Aliases:
    """`compilerOptions.paths`: each pattern with its targets, absolute, `*` standing for what the
    pattern's star took."""

    paths: Mapping[str, Sequence[str]]

    def targets(self, specifier: str) -> Iterator[str]:
        """Where `specifier` may lead, by the pattern that fits best (TypeScript: the longest
        prefix before the star)."""
        best: tuple[int, str, str] | None = None
        for pattern in self.paths:
            prefix, star, suffix = pattern.partition("*")
            if not star:
                if pattern == specifier:
                    yield from self.paths[pattern]
                    return
            elif (
                len(specifier) >= len(prefix) + len(suffix)
                and specifier.startswith(prefix)
                and specifier.endswith(suffix)
            ):
                taken = specifier[len(prefix) : len(specifier) - len(suffix)]
                best = max(best or (-1, "", ""), (len(prefix), pattern, taken))
        if best is not None:
            for target in self.paths[best[1]]:
                yield target.replace("*", best[2], 1)


def specifiers(text: str) -> list[str]:
    """What a source file may import, each once."""
    return list(dict.fromkeys(match["specifier"] for match in _SPECIFIER.finditer(text)))


def files_for(specifier: str, importer: Path, aliases: Aliases) -> Iterator[Path]:
    """The regular files that `specifier` may stand for in the file `importer`: the first of each
    place that it may lead to."""
    if specifier.startswith("."):
        places = [os.path.normpath(importer.parent / specifier)]
    else:
        places = [os.path.normpath(place) for place in aliases.targets(specifier)]
    for place in places:
        found = next((path for path in _candidates(place) if path.is_file()), None)
        if found is not None:
            yield found


def _candidates(place: str) -> Iterator[Path]:
    path = Path(place)
    for other in _WRITTEN_FROM.get(path.suffix, ()):
        yield path.with_suffix(other)
    yield path
    for other in _SUFFIXES:
        yield Path(place + other)
    for other in _SUFFIXES:
        yield Path(place, f"index{other}")
