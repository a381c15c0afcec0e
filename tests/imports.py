"""Who may import whom: a table of rooms, in Python and in the server, and what holds code to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "pytest_convex_eval"

_SCRIPT_IMPORT = re.compile(
    r"""^\s*(?:import|export)\b[^;'"]*?\bfrom\s*["'](?P<from>\.[^"']+)["']"""
    r"""|^\s*import\s*["'](?P<bare>\.[^"']+)["']"""
    r"""|\bimport\(\s*["'](?P<called>\.[^"']+)["']\s*\)""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Room:
    """`holds` are modules or packages by dotted name (folders and files of the server by path),
    the longest match counting; `may` names the rooms that they may import from, beside their own.
    """

    holds: Sequence[str]
    may: Sequence[str] = ()
    knows_pytest: bool = False


GROUND = (
    *(
        "text",
        "outcomes",
        "processes",
        "files",
        "cache",
        "fingerprint",
        "once",
        "leftovers",
        "places",
    ),
    "functions",
)

# From the ground up: a room may only name rooms above it, so that there is no circle.
PYTHON: Mapping[str, Room] = {
    "ground": Room(("", *GROUND)),
    # Pure functions: they know nothing, not even what a run is.
    "statistics": Room(("statistics",)),
    # Light: options name stages before there is a case.
    "stages.table": Room(("stages.table",), ("ground",)),
    "deployment": Room(("deployment",), ("ground",)),
    "expectations": Room(("expectations",), ("ground", "deployment")),
    "behaviour": Room(("behaviour",), ("ground", "deployment", "expectations")),
    "toolchain": Room(("toolchain",), ("ground",)),
    "toolchain.servers": Room(("toolchain.servers",), ("ground", "toolchain")),
    "toolchain.typecheck": Room(
        ("toolchain.typecheck",), ("ground", "toolchain", "toolchain.servers")
    ),
    "toolchain.lint.across_files": Room(("toolchain.lint.across_files",), ("ground",)),
    "toolchain.lint.bundle": Room(("toolchain.lint.bundle",), ("ground",)),
    # Light: options are read before there is a case.
    "toolchain.lint.profiles": Room(("toolchain.lint.profiles",)),
    "toolchain.packages": Room(
        ("toolchain.packages",), ("ground", "toolchain", "toolchain.lint.bundle")
    ),
    "toolchain.lint": Room(
        ("toolchain.lint",),
        (
            *("ground", "toolchain", "toolchain.servers", "toolchain.packages"),
            *("toolchain.lint.across_files", "toolchain.lint.profiles"),
        ),
    ),
    "toolchain.sharing": Room(
        ("toolchain.sharing",),
        ("ground", "toolchain", "toolchain.servers", "toolchain.typecheck", "toolchain.lint"),
    ),
    "workspace": Room(("workspace",), ("ground", "toolchain")),
    "generation.reading": Room(("generation.reading",), ("ground",)),
    # What crosses the seam, in nobody's words.
    "generation.provider": Room(
        ("generation.provider", "generation.usage", "generation.json_fields"), ("ground",)
    ),
    # Stores of format 1 are Anthropic's.
    "generation.anthropic.words": Room(
        ("generation.anthropic.words",), ("ground", "generation.provider")
    ),
    "generation": Room(
        ("generation",),
        ("ground", "generation.reading", "generation.provider", "generation.anthropic.words"),
    ),
    "generation.ahead": Room(
        ("generation.ahead",), ("ground", "generation.provider", "generation")
    ),
    "generation.vendor": Room(
        ("generation.vendor", "generation.model_choice"),
        ("ground", "generation.provider", "generation", "generation.ahead"),
    ),
    # Light: options are read before there is a case.
    "generation.answers.source": Room(("generation.answers.source",), ("ground",)),
    "generation.answers": Room(
        ("generation.answers",),
        (
            *("ground", "workspace", "generation.provider", "generation", "generation.reading"),
            "generation.answers.source",
        ),
    ),
    "generation.anthropic": Room(
        ("generation.anthropic",),
        (
            *("ground", "generation.provider", "generation", "generation.reading"),
            *("generation.ahead", "generation.vendor", "generation.anthropic.words"),
        ),
    ),
    "generation.openai": Room(
        ("generation.openai",),
        (
            *("ground", "generation.provider", "generation", "generation.reading"),
            "generation.vendor",
        ),
    ),
    # The one place that knows our vendors by name.
    "generation.built_in": Room(
        ("generation.built_in",),
        ("generation.vendor", "generation.anthropic", "generation.openai"),
    ),
    "stages": Room(
        ("stages",),
        (
            *(
                "ground",
                "stages.table",
                "deployment",
                "expectations",
                "behaviour",
                "workspace",
                "toolchain",
            ),
            *("toolchain.packages", "toolchain.typecheck", "toolchain.sharing"),
            *("toolchain.lint", "toolchain.lint.profiles"),
        ),
    ),
    "xdist": Room(("xdist",), ("ground",), knows_pytest=True),
    "runs": Room(("runs",), ("ground", "stages.table", "xdist"), knows_pytest=True),
    "comparison": Room(("comparison",), ("ground", "statistics", "runs")),
    "comparison.gating": Room(
        ("comparison.gating",), ("ground", "runs", "comparison", "xdist"), knows_pytest=True
    ),
    "cases.plan": Room(
        ("cases.plan", "cases.model", "cases.loader", "cases.source", "cases.schema"),
        ("ground", "stages.table", "expectations", "behaviour"),
    ),
    "cases": Room(("cases",), ("ground", "cases.plan", "runs", "xdist"), knows_pytest=True),
    "options": Room(
        ("options",),
        (
            *("ground", "deployment", "generation", "generation.vendor", "generation.built_in"),
            "generation.answers.source",
            "stages.table",
            "toolchain.lint.profiles",
        ),
        knows_pytest=True,
    ),
    "evaluation": Room(
        ("evaluation",),
        (
            *("ground", "deployment", "behaviour", "cases.plan", "stages", "runs", "options"),
            *("generation.provider", "generation", "generation.reading", "generation.ahead"),
            "generation.vendor",
            *("generation.answers", "generation.answers.source"),
            *("toolchain", "toolchain.packages", "toolchain.lint", "toolchain.sharing"),
        ),
    ),
    "runs.manifest": Room(
        ("runs.manifest",), ("ground", "runs", "options", "generation", "stages"), knows_pytest=True
    ),
    "session": Room(
        ("session",),
        (
            *("ground", "cases", "cases.plan", "runs", "runs.manifest", "options", "evaluation"),
            "comparison.gating",
            *("generation", "generation.ahead", "generation.vendor", "generation.built_in"),
            *("stages", "stages.table", "xdist", "toolchain", "toolchain.sharing"),
        ),
        knows_pytest=True,
    ),
    "hookspecs": Room(("hookspecs",), ("generation.vendor", "stages"), knows_pytest=True),
    "plugin": Room(
        ("plugin",),
        (
            *("ground", "stages.table", "xdist", "comparison.gating", "cases", "runs"),
            *("options", "session", "hookspecs"),
        ),
        knows_pytest=True,
    ),
    "check": Room(
        ("check",),
        (
            *("ground", "deployment", "expectations", "workspace", "stages", "evaluation", "runs"),
            *("toolchain", "toolchain.packages", "toolchain.lint.profiles", "stages.table"),
        ),
    ),
    "cli": Room(
        ("cli",),
        (
            *("ground", "cases", "cases.plan", "deployment", "generation", "generation.built_in"),
            "toolchain.packages",
            *("runs", "check", "comparison", "generation.answers"),
        ),
    ),
}
"""The rooms of the package."""

SERVER: Mapping[str, Room] = {
    "errors": Room(("errors.ts", "protocol.ts")),
    "requests": Room(("http/http.ts", "admin_key.ts"), ("errors",)),
    "values": Room(("values",), ("errors",)),
    # What an isolate can read: it knows nothing else.
    "inside": Room(("inside",), ("values", "errors")),
    "database": Room(("database",), ("errors", "values")),
    "isolates": Room(("isolates",), ("errors", "inside", "database")),
    "push": Room(("push",), ("errors", "values", "database", "isolates")),
    "persistence": Room(("persistence",), ("errors", "values", "database", "push")),
    "running": Room(
        ("running",),
        ("errors", "values", "database", "push", "isolates", "inside", "persistence"),
    ),
    "transfer": Room(("transfer",), ("errors", "values", "database", "push", "running")),
    "deployment": Room(
        ("deployment.ts",),
        (
            *("errors", "values", "database", "push", "isolates", "running", "persistence"),
            "transfer",
        ),
    ),
    "api": Room(
        ("api",),
        (
            *(
                "errors",
                "requests",
                "values",
                "database",
                "push",
                "running",
                "persistence",
                "transfer",
            ),
            "deployment",
        ),
    ),
    "http": Room(
        ("http",),
        ("errors", "requests", "database", "push", "running", "transfer", "deployment", "api"),
    ),
    "sync": Room(
        ("sync",),
        (
            "errors",
            "requests",
            "values",
            "database",
            "push",
            "running",
            "deployment",
            "api",
            "persistence",
        ),
    ),
    "server": Room(
        ("server.ts",),
        (
            *(
                "errors",
                "requests",
                "deployment",
                "isolates",
                "http",
                "sync",
                "persistence",
                "push",
            ),
            "running",
        ),
    ),
}
"""The rooms of the server, by its folders and files."""


def python_faults(root: Path, rooms: Mapping[str, Room]) -> Iterator[str]:
    """Each import below `root`, the package's folder, that the table does not allow, as
    `path:line: what`."""
    modules = {_module(root, path) for path in root.rglob("*.py")}
    for path in sorted(root.rglob("*.py")):
        me = _module(root, path)
        room = room_of(me, rooms, ".")
        place = path.relative_to(root)
        if room is None:
            yield f"{place}: is in no room of the table"
            continue
        for line, name in _imported(ast.parse(path.read_text("utf-8")), me, path, modules):
            if name.partition(".")[0] in ("pytest", "_pytest"):
                if not rooms[room].knows_pytest:
                    yield f"{place}:{line}: {room} must not know pytest"
                continue
            other = room_of(name, rooms, ".")
            if other not in (room, *rooms[room].may):
                yield f"{place}:{line}: {room} must not know {other} ({name or PACKAGE})"


def script_faults(root: Path, rooms: Mapping[str, Room]) -> Iterator[str]:
    """The same for the TypeScript below `root`, imports of types included."""
    for path in sorted(root.rglob("*.ts")):
        me = path.relative_to(root).as_posix()
        room = room_of(me, rooms, "/")
        if room is None:
            yield f"{me}: is in no room of the table"
            continue
        text = path.read_text("utf-8")
        for found in _SCRIPT_IMPORT.finditer(text):
            to = found["from"] or found["bare"] or found["called"]
            target = (path.parent / to).resolve()
            line = text.count("\n", 0, found.start()) + 1
            if not target.is_relative_to(root.resolve()):
                yield f"{me}:{line}: imports from outside of the server ({to})"
                continue
            other = room_of(target.relative_to(root.resolve()).as_posix(), rooms, "/")
            if other not in (room, *rooms[room].may):
                yield f"{me}:{line}: {room} must not know {other} ({to})"


def circles(rooms: Mapping[str, Room]) -> Iterator[str]:
    """Each room of the table that may know one which is not above it: where there is none, there is
    no circle."""
    above: set[str] = set()
    for name, room in rooms.items():
        for other in room.may:
            if other not in above:
                yield f"{name} may know {other}, which is not above it"
        above.add(name)


def room_of(name: str, rooms: Mapping[str, Room], dot: str) -> str | None:
    """The room that holds the module or file `name`; None where none does."""
    best: tuple[int, str] | None = None
    for room, content in rooms.items():
        for held in content.holds:
            if name == held or (held and name.startswith(held + dot)):
                best = max(best or (-1, ""), (len(held), room))
    return None if best is None else best[1]


def _module(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(
    tree: ast.Module, me: str, path: Path, modules: set[str]
) -> Iterator[tuple[int, str]]:
    """Line and name of what is imported: ours without the package's name, others as they are."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=base, names=names, level=level):
                package = _base(me, path, base, level)
                found = [_longest(f"{package}.{alias.name}", modules) for alias in names]
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found = [name]
            case _:
                continue
        for name in found:
            if name == PACKAGE or name.startswith(PACKAGE + "."):
                yield node.lineno, name.removeprefix(PACKAGE).removeprefix(".")
            elif name.partition(".")[0] in ("pytest", "_pytest"):
                yield node.lineno, name


def _base(me: str, path: Path, base: str | None, level: int) -> str:
    if not level:
        return base or ""
    parts = [PACKAGE, *(me.split(".") if me else [])]
    if path.name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - (level - 1)]
    return ".".join([*parts, *([base] if base else [])])


def _longest(name: str, modules: set[str]) -> str:
    """`name` where it is a module of the package, else what it is imported from."""
    own = name.removeprefix(PACKAGE).removeprefix(".")
    return name if not name.startswith(PACKAGE) or own in modules else name.rpartition(".")[0]
