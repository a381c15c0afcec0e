"""A project's functions, and what they import, laid out where tools may write.

Everything lies where it lies in the project, relative to everything else, in a fresh folder: so no
tool can write into the project, its settings act on none, and imports lead where they lead there.
Only the functions folder has another name where the project calls it otherwise than `convex`.
Packages are linked to, not copied.
"""

from __future__ import annotations

import json
import os
import os.path
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from pytest_convex_eval.check.imports import files_for, specifiers
from pytest_convex_eval.check.project import DEFAULT_FUNCTIONS, NotCheckableError, Project
from pytest_convex_eval.check.tsconfig import Configuration
from pytest_convex_eval.outcomes import Files, Finding, InfrastructureError
from pytest_convex_eval.toolchain.generated import convex_tsconfig, generated_files
from pytest_convex_eval.toolchain.suppressions import is_source, neutralise
from pytest_convex_eval.workspace.layout import Workspace

MOST_FILES = 5_000
MOST_BYTES = 64 * 1024 * 1024
MOST_FILE_BYTES = 8 * 1024 * 1024
"""Of what is copied: some ten times of the largest app's. What has more is no functions folder."""

# In a functions folder, these are written by tools and for them.
_LEFT_OUT_FOLDERS = frozenset({"_generated", "node_modules"})
_LEFT_OUT_FILES = re.compile(r"tsconfig(\..*)?\.json|jsconfig\.json|\.env(\..*)?")
# What of `convex.json` changes what is pushed.
_KEPT_CONFIGURATION = ("node", "bundler")


@dataclass(frozen=True, slots=True)
class Sources:
    """What is checked: the text of each file by its absolute path, those of the functions folder
    first."""

    functions: Mapping[Path, str]
    imported: Mapping[Path, str]


def read_sources(project: Project, configuration: Configuration) -> Sources:
    """The files of the functions folder, and those that they import from beside it.

    Raises NotCheckableError where they are too many or too large, or can't be read.
    """
    budget = _Budget()
    functions: dict[Path, str] = {}
    for path in _walk(project.functions):
        functions[path] = budget.read(path)
    imported: dict[Path, str] = {}
    waiting = list(functions.items())
    while waiting:
        importer, text = waiting.pop()
        if not is_source(importer.name):
            continue
        for specifier in specifiers(text):
            for path in files_for(specifier, importer, configuration.aliases):
                known = path in functions or path in imported
                if known or not _is_ours(path, project):
                    continue
                imported[path] = budget.read(path)
                waiting.append((path, imported[path]))
    return Sources(functions, dict(sorted(imported.items())))


def _walk(folder: Path) -> Iterator[Path]:
    """Regular files, in order; no folder is entered through a link."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _LEFT_OUT_FOLDERS:
                yield from _walk(path)
        elif entry.is_file() and not _LEFT_OUT_FILES.fullmatch(entry.name):
            yield path


def _is_ours(path: Path, project: Project) -> bool:
    """Whether an imported file belongs to the project, and to no package or tool of it."""
    if not path.is_relative_to(project.base):
        return False
    return not _LEFT_OUT_FOLDERS.intersection(path.relative_to(project.base).parts[:-1]) and not (
        _LEFT_OUT_FILES.fullmatch(path.name)
    )


class _Budget:
    """What may be read of one project."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def read(self, path: Path) -> str:
        try:
            with path.open("rb") as stream:
                data = stream.read(MOST_FILE_BYTES + 1)
        except OSError as error:
            raise NotCheckableError(f"{path} can't be read: {error.strerror}") from error
        self._files += 1
        self._bytes += len(data)
        if len(data) > MOST_FILE_BYTES:
            raise NotCheckableError(f"{path} is larger than {MOST_FILE_BYTES // 2**20} MiB")
        if self._files > MOST_FILES or self._bytes > MOST_BYTES:
            raise NotCheckableError(
                f"the functions and what they import are more than {MOST_FILES} files or "
                f"{MOST_BYTES // 2**20} MiB, at {path}"
            )
        return data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A project laid out. `root` is the parent of its functions, at `folder` plus where that lies
    below `project.base`."""

    project: Project
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / self.project.functions.parent.relative_to(self.project.base)

    @property
    def functions(self) -> Path:
        return self.root / DEFAULT_FUNCTIONS

    def place_of(self, path: Path) -> Path:
        """Where a file of the project is laid out."""
        if path.is_relative_to(self.project.functions):
            return self.functions / path.relative_to(self.project.functions)
        return self.folder / path.relative_to(self.project.base)

    def name_of(self, path: Path) -> str:
        """A file of the project as the tools name it: relative to `root`, POSIX."""
        return Path(os.path.relpath(self.place_of(path), self.root)).as_posix()

    def origin_of(self, name: str) -> Path:
        """The file of the project that a tool calls `name`."""
        path = Path(os.path.normpath(self.root / name))
        if path == self.root / "package.json":
            return self.project.package_json
        if path.is_relative_to(self.functions):
            return self.project.functions / path.relative_to(self.functions)
        if path.is_relative_to(self.folder):
            return self.project.base / path.relative_to(self.folder)
        return path

    def is_of_the_project(self, path: Path) -> bool:
        """Whether `path`, as `origin_of` gives it, is code of the project and of no package."""
        base = self.project.base
        return path.is_relative_to(base) and "node_modules" not in path.relative_to(base).parts

    def told(self, finding: Finding, shown: Shown) -> Finding:
        """A tool's finding as one about the project."""
        message = finding.message
        for ours in (self.root, self.folder):
            message = message.replace(f"{ours}/", "")
        path = None if finding.path is None else shown(self.origin_of(finding.path))
        return replace(finding, path=path, message=message)


class Shown:
    """How a person who stands in `here` would type a path."""

    def __init__(self, here: Path) -> None:
        self._here = here.resolve()

    def __call__(self, path: Path) -> str:
        inside = path.is_relative_to(self._here)
        return (path.relative_to(self._here) if inside else path).as_posix()


def lay_out_project(
    mirror: Mirror,
    sources: Sources,
    configuration: Configuration,
    *,
    package_json: str,
    node_modules: Mapping[Path, Path],
    templates: Path,
    obey_suppressions: bool,
) -> tuple[Workspace, Files]:
    """Writes the new folder of `mirror`; gives it as the stages know it, and the texts in it.

    `node_modules`: what to link to, by folder of the project. Raises InfrastructureError where
    something has no place there, or writing fails.
    """
    project = mirror.project
    renamed = project.functions.name != DEFAULT_FUNCTIONS
    texts: dict[str, str] = {}
    for path, text in (*sources.functions.items(), *sources.imported.items()):
        place = mirror.place_of(path)
        if renamed and path in sources.imported and place.is_relative_to(mirror.functions):
            raise InfrastructureError(
                f"{path} lies in a folder {DEFAULT_FUNCTIONS}/ that is not the functions folder"
            )
        plain = text.removeprefix("\ufeff")
        as_checked = plain if obey_suppressions else neutralise(path.name, plain)
        texts[mirror.name_of(path)] = as_checked if is_source(path.name) else text
    generated = generated_files(
        {name: text for name, text in texts.items() if name.startswith("convex/")},
        templates,
        node_modules=next(iter(node_modules.values()), None),
    )
    ours = {
        "convex/tsconfig.json": _tsconfig(mirror, configuration),
        "convex.json": json.dumps(_kept(project.configuration)),
        **generated.files,
    }
    try:
        mirror.functions.mkdir(parents=True)
        for name, text in {**texts, **ours}.items():
            _write(mirror.root / name, text)
        _write(mirror.root / "package.json", package_json)
        for folder, modules in node_modules.items():
            place = mirror.folder / folder.relative_to(project.base)
            place.mkdir(parents=True, exist_ok=True)
            (place / "node_modules").symlink_to(modules, target_is_directory=True)
        if renamed:
            # What imports the functions names their folder as the project does.
            link = mirror.root / project.functions.name
            link.symlink_to(DEFAULT_FUNCTIONS, target_is_directory=True)
    except OSError as error:
        raise InfrastructureError(f"the project could not be laid out: {error}") from error
    # As they were written: what is found in them is told as it is in the project.
    read = {
        mirror.name_of(path): text
        for path, text in (*sources.functions.items(), *sources.imported.items())
    }
    return Workspace(mirror.root, tuple(texts), tuple(ours), generated.undecided), read


def _tsconfig(mirror: Mirror, configuration: Configuration) -> str:
    """Ours, with where the project's imports lead."""
    config: dict[str, dict[str, JsonValue]] = json.loads(convex_tsconfig())
    options = config["compilerOptions"]
    options |= configuration.options
    paths: dict[str, JsonValue] = {}
    for pattern, targets in configuration.aliases.paths.items():
        paths[pattern] = [_target(mirror, target) for target in targets]
    if paths:
        options["paths"] = paths
    return json.dumps(config, indent=2) + "\n"


def _target(mirror: Mirror, target: str) -> str:
    path = Path(os.path.normpath(target))
    base = mirror.project.base
    if not path.is_relative_to(base):
        return path.as_posix()
    return (
        Path(os.path.relpath(mirror.place_of(path), mirror.functions)).as_posix().join(("./", ""))
    )


def _kept(configuration: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: configuration[name] for name in _KEPT_CONFIGURATION if name in configuration}


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Exclusive: never through a link, never over a file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(target, flags, 0o644), "wb") as stream:
        stream.write(text.encode("utf-8", "replace"))
