"""When to check again: after a project's files have changed, and come to rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from pytest_convex_eval.check.project import NotCheckableError, Project

_NOT_SOURCES = frozenset({"node_modules", "_generated", "dist", "build", "out", "coverage"})
_REST_MILLISECONDS = 200
_LOOK_MILLISECONDS = 1000
"""How often files are looked at where nothing tells of a change."""
_CONFIGURATION = frozenset({"package.json", "convex.json", "tsconfig.json", "pnpm-workspace.yaml"})

_Seen: TypeAlias = Mapping[Path, tuple[int, int]]
"""When each file was changed, in nanoseconds since 1970, and its bytes."""


def changes(project: Callable[[], Project], read: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Once at the start, and then each time that files of the project have changed.

    `read` gives the files that the last check read beside the functions folder. What changes while
    a check runs counts as well: it is the files that decide, and what tells of their changes only
    says when to look. Ends by KeyboardInterrupt alone. Raises NotCheckableError where watching is
    not installed.
    """
    try:
        from watchfiles import watch
    except ImportError as error:
        raise NotCheckableError(
            "--watch needs watchfiles: pip install 'pytest-convex-eval[watch]'"
        ) from error
    first = project()
    seen, began = look(first, ()), time.time_ns()
    yield None
    for _ in watch(
        first.root,
        *_outside(first, read()),
        watch_filter=None,
        step=_REST_MILLISECONDS,
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
        raise_interrupt=True,
    ):
        others = {*read()}
        now = look(first, others)
        if _changed(seen, now, others, began):
            seen, began = now, time.time_ns()
            yield None


def look(project: Project, read: Iterable[Path]) -> _Seen:
    """The files that can change what a check says, as they are: the functions folder's, the
    configuration, and `read`."""
    files = [project.root / name for name in _CONFIGURATION]
    for folder, folders, names in os.walk(project.functions):
        folders[:] = [name for name in folders if name not in _NOT_SOURCES]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    found = {}
    for file in {*files, *read}:
        try:
            status = file.stat()
        except OSError:
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _changed(seen: _Seen, now: _Seen, others: Collection[Path], began: int) -> bool:
    """Whether a file is another than before the last check, which `began` at a time. Which `others`
    beside the project's own it reads is known after it alone: of those their own time tells."""
    return bool(seen.keys() - now.keys()) or any(
        status[0] >= began if file in others and file not in seen else seen.get(file) != status
        for file, status in now.items()
    )


def _outside(project: Project, read: Iterable[Path]) -> set[Path]:
    """The folders of files that were read outside of the project's own."""
    return {path.parent for path in read if not path.is_relative_to(project.root)}
