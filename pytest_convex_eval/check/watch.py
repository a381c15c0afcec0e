"""When to check again: after a project's files have changed, and come to rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pytest_convex_eval.check.project import NotCheckableError, Project

_NOT_SOURCES = frozenset({"node_modules", "_generated", "dist", "build", "out", "coverage"})
_REST_MILLISECONDS = 200
_CONFIGURATION = frozenset({"package.json", "convex.json", "tsconfig.json", "pnpm-workspace.yaml"})


def changes(project: Callable[[], Project], read: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Once at the start, and then each time that files of the project have changed.

    `read` gives the files that the last check read beside the functions folder. Ends by
    KeyboardInterrupt alone. Raises NotCheckableError where watching is not installed.
    """
    try:
        from watchfiles import watch
    except ImportError as error:
        raise NotCheckableError(
            "--watch needs watchfiles: pip install 'pytest-convex-eval[watch]'"
        ) from error
    first = project()
    relevant = _Relevant(first)
    yield None
    for batch in watch(
        first.root,
        *_outside(first, read()),
        watch_filter=None,
        step=_REST_MILLISECONDS,
        raise_interrupt=True,
    ):
        if any(relevant(Path(path), read()) for _, path in batch):
            yield None


class _Relevant:
    """Whether a file that changed can change what a check says."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def __call__(self, path: Path, read: Iterable[Path]) -> bool:
        root, functions = self._project.root, self._project.functions
        if path.is_relative_to(functions):
            parts = path.relative_to(functions).parts
            return _NOT_SOURCES.isdisjoint(parts) and not path.name.startswith(".")
        return path in set(read) or (path.parent == root and path.name in _CONFIGURATION)


def _outside(project: Project, read: Iterable[Path]) -> set[Path]:
    """The folders of files that were read outside of the project's own."""
    return {path.parent for path in read if not path.is_relative_to(project.root)}
