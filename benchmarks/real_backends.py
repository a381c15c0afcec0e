"""What lint says of Convex projects on disk: folders that hold a package.json and convex/.

    python benchmarks/real_backends.py CHECKOUT/demos/tutorial CHECKOUT/app ...

Each is linted as an answer is: its backend and what that imports of the same folder, without tests
and generated code, with the packages that the backend imports. Prints a row of errors and
warnings by rule for each, below it every finding of a rule that `--show` names, or each error, and
sums at the end. No such code is kept here: whoever judges a rule takes what is public then.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.outcomes import Files, Finding, Severity
from pytest_convex_eval.stages.package_json import read_package_json
from pytest_convex_eval.toolchain.lint.echoes import condensed
from pytest_convex_eval.toolchain.lint.profiles import LintProfile
from pytest_convex_eval.toolchain.lint.run import lint
from pytest_convex_eval.toolchain.lint.suppressions import judged_suppressions
from pytest_convex_eval.toolchain.model import DependencySet, Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyError, DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.workspace.layout import lay_out
from pytest_convex_eval.workspace.paths import admit

DEADLINE_SECONDS = 240.0
SEVERITIES: Sequence[Severity] = ("error", "warning")
_IMPORT = re.compile(r"""(?:\bfrom|\bimport|\brequire)\s*\(?\s*["']([^"'\n]+)["']""")
_NOT_BACKEND = re.compile(r"(?:^|/)(?:_generated|node_modules|__tests__)/|\.(?:test|spec)\.")
_SUFFIXES = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".json")
_PACKAGE = re.compile(r"(?:@[^/]+/)?[^/]+")


@dataclass(frozen=True, slots=True)
class Backend:
    """A folder's findings; `left_out` are packages that it imports and that could not be had."""

    name: str
    files: int
    findings: Sequence[Finding]
    left_out: Sequence[str] = ()

    def by_rule(self, severity: Severity) -> Counter[str]:
        return Counter(each.code for each in self.findings if each.severity == severity)


def read(folder: Path) -> dict[str, str]:
    """The backend in `folder`, and the files beside it that it imports, by path."""
    paths = [path.relative_to(folder).as_posix() for path in folder.glob("convex/**/*")]
    pending = [path for path in paths if path.endswith(_SUFFIXES)]
    files: dict[str, str] = {}
    while pending:
        path = pending.pop()
        file = folder / path
        if path in files or _NOT_BACKEND.search(path) or not file.is_file():
            continue
        files[path] = file.read_text("utf-8", "replace")
        if path.endswith(".json"):
            continue
        for module in _IMPORT.findall(files[path]):
            if module.startswith("."):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
                stem = re.sub(r"\.[cm]?jsx?$", "", target)
                pending += [target, *(stem + end for end in _SUFFIXES), f"{stem}/index.ts"]
    return {path: text for path, text in files.items() if not path.startswith("..")}


def packages(files: Files, declared: Mapping[str, str]) -> dict[str, str]:
    """Those of `declared` that `files` import, with their types."""
    names = {
        found[0]
        for text in files.values()
        for module in _IMPORT.findall(text)
        if (found := _PACKAGE.match(module)) and not module.startswith(".")
    }
    types = {f"@types/{name.removeprefix('@').replace('/', '__')}" for name in names}
    wanted = (names | types | {"@types/node"}) - {"convex"}
    return {name: spec for name, spec in declared.items() if name in wanted}


def installed(
    store: DependencyStore, wanted: Mapping[str, str]
) -> tuple[DependencySet, Sequence[str]]:
    """The packages `wanted`, without those that npm does not give together with the rest."""
    left = dict(wanted)
    while left:
        try:
            return store.get({"convex": store.default_set().convex_version, **left}), [
                name for name in wanted if name not in left
            ]
        except DependencyError:
            left.popitem()
    return store.default_set(), list(wanted)


def linted(
    toolchain: Toolchain, store: DependencyStore, folder: Path, scratch: Path, profile: LintProfile
) -> Backend:
    """What lint says of the backend in `folder`."""
    files = admit(read(folder)).files
    package = folder / "package.json"
    text = package.read_text("utf-8") if package.is_file() else "{}"
    dependencies, left_out = installed(store, packages(files, read_package_json(text).usable))
    workspace = lay_out(
        scratch / "answer",
        files,
        node_modules=dependencies.node_modules,
        templates=dependencies.templates,
    )
    report = lint(
        toolchain,
        workspace.root,
        profile=profile,
        scratch=scratch / "scratch",
        deadline_seconds=DEADLINE_SECONDS,
    )
    own = {path: text for path, text in files.items() if path.startswith("convex/")}
    findings = condensed((*judged_suppressions(own, profile), *report.findings))
    return Backend("/".join(folder.parts[-2:]), len(own), findings, left_out)


def told(backend: Backend, show: Collection[str]) -> Iterator[str]:
    """A row for `backend`, and its findings of the rules `show`, or its errors."""
    cells = [
        ", ".join(f"{code} {count}" for code, count in backend.by_rule(severity).most_common())
        for severity in SEVERITIES
    ]
    yield f"| {backend.name} | {backend.files} | {cells[0]} | {cells[1]} |"
    if backend.left_out:
        yield f"    without {', '.join(backend.left_out)}"
    for finding in backend.findings:
        if finding.code in show or (not show and finding.severity == "error"):
            yield f"    {finding.location()}: {finding.code}: {finding.message}"
            yield f"        {finding.excerpt}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--profile", choices=get_args(LintProfile), default="recommended")
    parser.add_argument("--show", action="append", default=[], help="a rule's code")
    given = parser.parse_args(arguments)
    cache = default_cache()
    toolchain = install_toolchain(cache)
    store = DependencyStore(cache, toolchain)
    backends: list[Backend] = []
    print("| backend | files | errors | warnings |")
    print("| --- | ---: | --- | --- |")
    for folder in given.folders:
        with tempfile.TemporaryDirectory(prefix="convex-eval-") as temporary:
            scratch = Path(temporary).resolve()
            backends.append(linted(toolchain, store, folder.resolve(), scratch, given.profile))
        print("\n".join(told(backends[-1], given.show)), flush=True)
    for severity in SEVERITIES:
        total = sum((backend.by_rule(severity) for backend in backends), Counter[str]())
        print(f"{severity}s of {len(backends)} backends: {json.dumps(dict(total.most_common()))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
