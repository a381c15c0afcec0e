"""An answer on disk, ready to be checked: its own files, ours, and a link to its dependencies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import Files, InfrastructureError
from pytest_convex_eval.toolchain.app_config import Undecided
from pytest_convex_eval.toolchain.generated import convex_tsconfig, generated_files
from pytest_convex_eval.toolchain.suppressions import is_source, neutralise
from pytest_convex_eval.workspace.paths import problem_with


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder an answer is checked in; paths are POSIX and relative to `root`.

    `undecided` names what of the generated code only a deployment can tell: where there is any, the
    typecheck has to wait for the CLI's own output.
    """

    root: Path
    files: tuple[str, ...]
    """The answer's files that are here."""
    harness_files: tuple[str, ...]
    undecided: tuple[Undecided, ...] = ()


def lay_out(root: Path, files: Files, *, node_modules: Path, templates: Path) -> Workspace:
    """Writes an answer into the new folder `root`.

    `files` are those that `admit` lets through (checked again here). Suppression comments are
    neutralised everywhere: positions stay, and no tool needs to be told. `root` must not lie
    inside of a project, since modules are looked for upwards, nor be used twice, since tools cache
    by path. Raises InfrastructureError for a path that should not have come here, and where
    writing fails.
    """
    for path in files:
        problem = problem_with(path)
        if problem is not None:
            raise InfrastructureError(f"a path was not checked before: {problem.message}")
    generated = generated_files(files, templates, node_modules=node_modules)
    ours = {"convex/tsconfig.json": convex_tsconfig(), **generated.files}
    try:
        root.mkdir(parents=True)
        # Tools resolve links, and would then name the files otherwise than we do.
        root = root.resolve()
        for path, text in files.items():
            _write(root, path, _as_checked(path, text))
        for path, text in ours.items():
            _write(root, path, text)
        (root / "node_modules").symlink_to(node_modules.resolve(), target_is_directory=True)
    except OSError as error:
        raise InfrastructureError(f"a workspace could not be written: {error}") from error
    return Workspace(root, tuple(files), tuple(ours), generated.undecided)


def _as_checked(path: str, text: str) -> str:
    """`text` without what must not act, and without the byte order mark that some tools count."""
    return neutralise(path, text.removeprefix("\ufeff")) if is_source(path) else text


def _write(root: Path, path: str, text: str) -> None:
    target = root.joinpath(*path.split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Exclusive: never through a link, never over a file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(target, flags, 0o644), "wb") as stream:
        stream.write(text.encode())
