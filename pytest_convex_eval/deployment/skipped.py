"""Files that the CLI left out without a word.

The CLI bundles what it takes for a module and skips the rest silently, so a push can "succeed" with
nothing in it. What was deployed is a fact (`Deployed.files`); the rules of the CLI's bundler only
explain it.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_convex_eval.deployment.model import Deployed
from pytest_convex_eval.outcomes import Finding

_EXTENSIONS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
FUNCTIONS = "convex"
"""The folder of the functions: the default, which the harness's own convex.json keeps."""
_CONFIGURATION = ("convex.config", "schema")
"""Not modules of functions: they are pushed by themselves."""
# The bundler's `/^\s{0,100}(import|export)/m`, from the last line's start only: from each of the
# lines before, a file of empty lines would be read a hundred times.
_MODULE_LINE = re.compile(
    "(?:\\A|[\n\r\u2028\u2029])(?:[^\\S\n\r\u2028\u2029]|\ufeff){0,100}(?:import|export)"
)


def skipped_files(project: Path, deployed: Deployed) -> list[Finding]:
    """A finding for each source file below `convex/` that is not deployed.

    They are warnings (`deploy/skipped-file`), and one error (`deploy/nothing-deployed`) where
    nothing at all is.
    """
    folder = project / FUNCTIONS
    found = []
    if not deployed.has_schema and not deployed.components and not _modules(deployed):
        where = f"{FUNCTIONS}/ has no module" if folder.is_dir() else f"there is no {FUNCTIONS}/"
        message = f"The push deployed nothing: {where}."
        found.append(Finding("deploy/nothing-deployed", message, path=FUNCTIONS))
    files = set(deployed.files)
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        relative = path.relative_to(folder)
        if not _is_source(relative) or not path.is_file() or path.is_symlink():
            continue
        stem = relative.with_suffix("").as_posix()
        if f"{stem}.js" in files or stem in _CONFIGURATION:
            continue
        if any((folder / parent / "convex.config.ts").exists() for parent in _nested(relative)):
            continue
        found.append(
            Finding(
                "deploy/skipped-file",
                f"The Convex CLI left this file out of the push: {_why(relative, path)}.",
                severity="warning",
                path=path.relative_to(project).as_posix(),
            )
        )
    return found


def _modules(deployed: Deployed) -> list[str]:
    return [path for path in deployed.files if not path.startswith("_deps/")]


def _is_source(relative: Path) -> bool:
    name = relative.name
    return (
        name.lower().endswith(_EXTENSIONS)
        and not name.endswith(".d.ts")
        and relative.parts[0] not in ("_generated", "node_modules")
    )


def _nested(relative: Path) -> list[Path]:
    """The folders between the functions folder and the file: each may be a component's."""
    return list(relative.parents)[:-1]


def _why(relative: Path, path: Path) -> str:
    name = relative.name
    if name.startswith("."):
        return "its name starts with a dot"
    if name.startswith("#"):
        return "its name starts with #"
    if " " in relative.as_posix():
        return "its path contains a space"
    if name in ("schema.ts", "schema.js"):
        return "only the schema file directly in the functions folder is a schema"
    if name.count(".") > 1:
        return "its name has more than one dot"
    if name.endswith((".ts", ".tsx")):
        text = path.read_text("utf-8", "replace")
        if not _MODULE_LINE.search(text):
            return "no line of it starts with import or export"
    return "the CLI takes it for no module"
