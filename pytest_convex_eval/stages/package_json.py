"""An answer's package.json as data: what it declares, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.toolchain.packages.ranges import classify
from pytest_convex_eval.toolchain.positions import SourceText

PATH = "package.json"
LARGEST = 1024 * 1024
"""Bytes."""

# npm's own rule for new names; dots and underscores may not lead.
_NAME = re.compile(r"^(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*$")
_STRING = re.compile(r'(?P<string>"(?:[^"\\]|\\.)*+")(?P<colon>\s*+:)?')
_TAKEN = {"node_modules", "favicon.ico"}
_REFUSED = {
    "alias": "an alias installs another package under this name",
    "git": "a git repository is no published version",
    "url": "an address is no published version",
    "file": "a file of the author's machine is no published version",
    "workspace": "there is no workspace to take it from",
    "invalid": "it is no npm version range",
}


@dataclass(frozen=True, slots=True)
class PackageJson:
    """What an answer declares. `usable` are the dependencies that npm could be asked for."""

    dependencies: Mapping[str, str]
    dev_dependencies: Mapping[str, str]
    usable: Mapping[str, str]
    findings: tuple[Finding, ...]


def read_package_json(text: str) -> PackageJson:
    """Never raises: what is wrong is in the findings, with its line and column."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        return _broken("package/invalid-json", f"larger than {LARGEST} bytes")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        source = SourceText(text)
        place = source.at(error.pos)
        return _broken(
            "package/invalid-json",
            f"not valid JSON: {error.msg}",
            place.line,
            place.column,
            source.excerpt(place.line),
        )
    except (ValueError, RecursionError) as error:
        return _broken("package/invalid-json", f"not valid JSON: {error}")
    if not isinstance(data, dict):
        return _broken("package/invalid-json", "must be a JSON object", 1, 1)
    findings = list(_name_findings(data.get("name"), text))
    declared: dict[str, dict[str, str]] = {}
    for key in ("dependencies", "devDependencies"):
        declared[key] = {}
        value = data.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            message = f"{key!r} must map package names to version ranges"
            findings.append(_at(text, key, "package/invalid-dependencies", message))
            continue
        declared[key] = value
    usable = {}
    for name, spec in {**declared["devDependencies"], **declared["dependencies"]}.items():
        problem = _spec_problem(name, spec)
        if problem is None:
            usable[name] = spec
        else:
            findings.append(_at(text, name, "package/forbidden-spec", problem))
    if "convex" not in declared["dependencies"]:
        where = "only in 'devDependencies'" if "convex" in usable else "no dependency"
        findings.append(
            Finding(
                "package/convex-missing",
                f"'convex' is {where}; it must be in 'dependencies'",
                path=PATH,
            )
        )
    return PackageJson(
        declared["dependencies"], declared["devDependencies"], usable, tuple(findings)
    )


def finding_at(text: str, name: str, code: str, message: str) -> Finding:
    """A finding at the line of `text` that declares the package `name`."""
    return _at(text, name, code, message)


def _broken(
    code: str,
    message: str,
    line: int | None = None,
    column: int | None = None,
    excerpt: str | None = None,
) -> PackageJson:
    finding = Finding(code, message, path=PATH, line=line, column=column, excerpt=excerpt)
    return PackageJson({}, {}, {}, (finding,))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _name_findings(name: object, text: str) -> Iterator[Finding]:
    if name is None:
        return
    if not isinstance(name, str) or len(name) > 214 or name in _TAKEN or not _NAME.fullmatch(name):
        found = _at(text, "name", "package/name", f"{name!r} is no valid package name")
        yield Finding(
            found.code, found.message, "warning", PATH, found.line, found.column, found.excerpt
        )


def _spec_problem(name: str, spec: str) -> str | None:
    if len(name) > 214 or not _NAME.fullmatch(name):
        return f"{name!r} is no valid package name"
    kind = classify(spec)
    if kind in _REFUSED:
        return f"{name}: {spec!r} can't be used: {_REFUSED[kind]}"
    return None


def _at(text: str, key: str, code: str, message: str) -> Finding:
    """A finding at the first place where `key` stands as a JSON key."""
    source, keys = _read(text)
    offset = keys.get(key)
    if offset is None:
        return Finding(code, message, path=PATH)
    place = source.at(offset)
    return Finding(
        code,
        message,
        path=PATH,
        line=place.line,
        column=place.column,
        excerpt=source.excerpt(place.line),
    )


@lru_cache(maxsize=2)
def _read(text: str) -> tuple[SourceText, dict[str, int]]:
    """`text` with the first offset of each key: read once, and not once a finding."""
    keys: dict[str, int] = {}
    for match in _STRING.finditer(text):
        if match["colon"]:
            keys.setdefault(json.loads(match["string"]), match.start())
    return SourceText(text), keys
