"""The versions that a project's lockfile gives to what its package.json declares.

Of npm (2 and 3), pnpm (6 and later), Yarn (classic and Berry) and Bun (its text form). A lockfile
that can't be read locks nothing: what is declared is then installed as it is declared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml

from pytest_convex_eval.check import jsonc

MOST_BYTES = 16 * 1024 * 1024

_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?")
_YARN_VERSION = re.compile(r'^ {2}version:? "?(?P<version>[^"\s]+)"?$')


def locked_versions(
    folder: Path, member: str, declared: Mapping[str, str]
) -> tuple[Path | None, Mapping[str, str]]:
    """The lockfile in `folder`, and the exact version of each of the `declared` that it locks;
    None and nothing where there is none. `member` is the package's folder relative to `folder`,
    POSIX (`.` for the root's own)."""
    for name, read in _READERS.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            continue
        try:
            found = dict(read(file.read_text("utf-8"), member, declared))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            found = {}
        locked = {name: one for name, one in found.items() if _VERSION.fullmatch(one)}
        return file, locked
    return None, {}


_Pairs = Iterator[tuple[str, str]]


def _npm(text: str, member: str, declared: Mapping[str, str]) -> _Pairs:
    packages = _dict(_dict(json.loads(text)).get("packages"))
    prefix = "" if member == "." else f"{member}/"
    for name in declared:
        for place in (f"{prefix}node_modules/{name}", f"node_modules/{name}"):
            version = _dict(packages.get(place)).get("version")
            if isinstance(version, str):
                yield name, version
                break


def _pnpm(text: str, member: str, declared: Mapping[str, str]) -> _Pairs:
    data = _dict(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    importer = _dict(_dict(data.get("importers")).get(member)) or data
    for kind in ("devDependencies", "dependencies"):
        for name, entry in _dict(importer.get(kind)).items():
            version = entry if isinstance(entry, str) else _dict(entry).get("version")
            if name in declared and isinstance(version, str):
                # The peers that it was installed beside stand in brackets (or, in 5, behind `_`).
                yield name, re.split(r"[(_]", version)[0]


def _yarn(text: str, member: str, declared: Mapping[str, str]) -> _Pairs:
    wanted = {f"{name}@{spec}": name for name, spec in declared.items()}
    wanted |= {f"{name}@npm:{spec}": name for name, spec in declared.items()}
    names: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            keys = (key.strip().strip('"') for key in line.rstrip(":").strip('"').split(","))
            names = [wanted[key] for key in keys if key in wanted]
        elif match := _YARN_VERSION.match(line):
            yield from ((name, match["version"]) for name in names)


def _bun(text: str, member: str, declared: Mapping[str, str]) -> _Pairs:
    data = jsonc.parse_object(text)
    packages = _dict(data.get("packages"))
    workspaces = _dict(data.get("workspaces"))
    own = _dict(workspaces.get("" if member == "." else member)).get("name")
    for name in declared:
        for key in (f"{own}/{name}", name):
            entry = packages.get(key)
            if isinstance(entry, list) and entry and isinstance(entry[0], str):
                yield name, entry[0].rpartition("@")[2]
                break


_READERS: Mapping[str, Callable[[str, str, Mapping[str, str]], _Pairs]] = {
    "package-lock.json": _npm,
    "npm-shrinkwrap.json": _npm,
    "pnpm-lock.yaml": _pnpm,
    "yarn.lock": _yarn,
    "bun.lock": _bun,
}


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
