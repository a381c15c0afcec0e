"""Where a Convex project is: its folder, its functions, and what lies around it.

The rules are those of the official CLI (https://docs.convex.dev/production/project-configuration):
`convex.json` lies beside `package.json` and may name another functions folder than `convex/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from pydantic import JsonValue

from pytest_convex_eval.check import jsonc
from pytest_convex_eval.outcomes import ConfigurationError

DEFAULT_FUNCTIONS = "convex"
MOST_BYTES = 1024 * 1024
"""Of a configuration file."""

_MOST_PACKAGES = 1000
"""Of a workspace: more are not looked at."""


class NotCheckableError(ConfigurationError):
    """There is no project that can be checked at the path that was given; nobody's code is to
    blame."""


@dataclass(frozen=True, slots=True)
class Project:
    """A Convex project; all paths are absolute and resolved.

    `functions` is the folder of its functions, inside of `root`. `base` is the outermost folder
    that belongs to it: that of its workspace or its repository; what its functions import lies
    below. `configuration` is what `convex.json` says.
    """

    root: Path
    functions: Path
    base: Path
    configuration: Mapping[str, JsonValue]

    @property
    def package_json(self) -> Path:
        return self.root / "package.json"

    @property
    def folders(self) -> Iterator[Path]:
        """From the functions' parent outwards to `base`: where `node_modules` are looked for."""
        folder = self.functions.parent
        yield folder
        while folder != self.base:
            folder = folder.parent
            yield folder


def find_project(path: Path) -> Project:
    """The project at `path`: of the folder itself, of one above it, or else the only one among the
    packages of the workspace that it is the root of.

    Raises NotCheckableError where there is none, where there are several, and where `convex.json`
    can't be used.
    """
    start = path.resolve()
    if not start.exists():
        raise NotCheckableError(f"{path} does not exist")
    if not start.is_dir():
        start = start.parent
    for folder in (start, *start.parents):
        if (project := _project_of(folder)) is not None:
            return project
        if (folder / ".git").exists():
            break
    below = [
        found for member in workspace_packages(start).values() if (found := _project_of(member))
    ]
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(sorted(str(one.root.relative_to(start)) for one in below))
        raise NotCheckableError(f"{path} holds several Convex projects; name one: {names}")
    raise NotCheckableError(
        f"there is no Convex project at {path}: no package.json beside a folder "
        f"{DEFAULT_FUNCTIONS}/ or a convex.json"
    )


def _project_of(folder: Path) -> Project | None:
    file = folder / "convex.json"
    if not file.is_file():
        functions = folder / DEFAULT_FUNCTIONS
        if not (folder / "package.json").is_file() or not functions.is_dir():
            return None
        return Project(folder, functions.resolve(), base_of(folder), {})
    try:
        # The CLI reads it with comments too.
        configuration = jsonc.parse_object(read_text(file))
    except (OSError, ValueError) as error:
        raise NotCheckableError(f"{file} can't be read: {error}") from error
    named = configuration.get("functions", f"{DEFAULT_FUNCTIONS}/")
    if not isinstance(named, str):
        raise NotCheckableError(f"{file}: 'functions' must be the path of a folder")
    functions = (folder / PurePosixPath(named)).resolve()
    if functions == folder or not functions.is_relative_to(folder):
        raise NotCheckableError(f"{file}: the functions folder {named!r} must be below it")
    if not functions.is_dir():
        raise NotCheckableError(f"{file}: there is no functions folder {named!r}")
    return Project(folder, functions, base_of(folder), configuration)


def base_of(root: Path) -> Path:
    """The outermost folder that a project in `root` belongs to: its repository's, or else the
    outermost one of a workspace or with installed packages."""
    base = root
    for folder in (root, *root.parents):
        if folder == folder.parent:
            break
        if (folder / ".git").exists():
            return folder
        if _is_workspace(folder) or (folder / "node_modules").is_dir():
            base = folder
    return base


def workspace_packages(folder: Path) -> Mapping[str, Path]:
    """The packages of the workspace whose root is `folder`, by name; none where it is no root."""
    found: dict[str, Path] = {}
    patterns = _workspace_patterns(folder)
    left_out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for pattern in patterns:
        if pattern.startswith(("!", "/")) or ".." in pattern.split("/"):
            continue
        for file in sorted(folder.glob(f"{pattern.strip('/')}/package.json")):
            member = file.parent.resolve()
            inside = member.is_relative_to(folder) and "node_modules" not in member.parts
            if not inside or len(found) >= _MOST_PACKAGES:
                continue
            if any(member.relative_to(folder).match(one.strip("/")) for one in left_out):
                continue
            name = _package(file).get("name")
            found[name if isinstance(name, str) else str(member)] = member
    return found


def read_text(path: Path) -> str:
    """The text of a small regular file. Raises OSError and ValueError."""
    if not path.is_file():
        raise OSError(f"{path} is no regular file")
    with path.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES} bytes")
    return data.decode("utf-8-sig")


def _is_workspace(folder: Path) -> bool:
    return bool(_workspace_patterns(folder))


def _workspace_patterns(folder: Path) -> list[str]:
    """npm, Yarn and Bun name them in package.json, pnpm in a file of its own."""
    listed: object = _package(folder / "package.json").get("workspaces")
    if isinstance(listed, dict):
        listed = listed.get("packages")
    if not listed and (folder / "pnpm-workspace.yaml").is_file():
        try:
            data = yaml.safe_load(read_text(folder / "pnpm-workspace.yaml"))
        except (OSError, ValueError, yaml.YAMLError):
            data = None
        listed = data.get("packages") if isinstance(data, dict) else None
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _package(file: Path) -> Mapping[str, JsonValue]:
    try:
        data = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
