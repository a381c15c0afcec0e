"""What of a project's TypeScript configuration counts: where its imports lead, and its JSX.

Read as data, with what it extends. How strict the check is, is ours to say; but a project whose
imports do not resolve could not be checked at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from pytest_convex_eval.check import jsonc
from pytest_convex_eval.check.imports import Aliases
from pytest_convex_eval.check.project import Project, read_text

_DEEPEST = 20
"""Of `extends`, one after another."""

_TAKEN = ("jsx", "jsxImportSource", "customConditions", "resolveJsonModule")


@dataclass(frozen=True, slots=True)
class Configuration:
    """`aliases` have absolute targets; `options` are taken as they are. `files` were read."""

    aliases: Aliases = field(default_factory=lambda: Aliases({}))
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def configuration_of(project: Project) -> Configuration:
    """That of the functions folder: `tsconfig.json` there, or else the nearest one above it, which
    is what the official CLI's bundler takes. A file that can't be read configures nothing."""
    for folder in (project.functions, *project.folders):
        file = folder / "tsconfig.json"
        if file.is_file():
            break
    else:
        return Configuration()
    options: dict[str, JsonValue] = {}
    paths: dict[str, Sequence[str]] = {}
    base: Path | None = None
    files: list[Path] = []
    # What is extended first, so that the later one wins.
    for one in reversed(list(_chain(file, ()))):
        files.append(one.file)
        options |= {name: one.options[name] for name in _TAKEN if name in one.options}
        url = one.options.get("baseUrl")
        if isinstance(url, str):
            base = one.file.parent / url
        given = one.options.get("paths")
        if isinstance(given, dict):
            start = base if base is not None else one.file.parent
            paths = dict(_absolute(given, start))
    if base is not None:
        # Names that are no packages are looked for there first.
        paths.setdefault("*", [str(base / "*")])
    return Configuration(Aliases(paths), options, tuple(files))


@dataclass(frozen=True, slots=True)
class _File:
    file: Path
    options: Mapping[str, JsonValue]


def _chain(file: Path, above: tuple[Path, ...]) -> Iterator[_File]:
    """The file, then what it extends, the last named first."""
    if file in above or len(above) > _DEEPEST:
        return
    try:
        data = jsonc.parse_object(read_text(file))
    except (OSError, ValueError):
        return
    options = data.get("compilerOptions")
    yield _File(file, options if isinstance(options, dict) else {})
    extends = data.get("extends")
    for name in reversed(extends if isinstance(extends, list) else [extends]):
        if isinstance(name, str) and (found := _extended(name, file)) is not None:
            yield from _chain(found, (*above, file))


def _extended(name: str, file: Path) -> Path | None:
    if name.startswith(".") or Path(name).is_absolute():
        places = [file.parent / name]
    else:
        places = [folder / "node_modules" / name for folder in file.parents]
    for place in places:
        for path in (place, Path(f"{place}.json"), place / "tsconfig.json"):
            if path.is_file():
                return path.resolve()
    return None


def _absolute(paths: Mapping[str, JsonValue], base: Path) -> Iterator[tuple[str, list[str]]]:
    for pattern, targets in paths.items():
        if isinstance(targets, list) and pattern.count("*") <= 1:
            yield pattern, [str(base / target) for target in targets if isinstance(target, str)]
