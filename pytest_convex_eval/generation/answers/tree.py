"""The files of one answer in a folder, read within limits.

The folder comes from elsewhere, and may hold anything: links are not followed, nothing but regular
files is opened, and no more is read than any answer can have.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pytest_convex_eval.outcomes import Files, InfrastructureError

MOST_ENTRIES = 5_000
MOST_DEPTH = 50
MOST_BYTES = 16 * 1024 * 1024
"""Of one answer, or one reply; the largest that the stages take is half of it."""

# What tools put beside an answer, and no answer holds.
_LEFT_OUT = frozenset({"node_modules", ".git"})
_SOURCES = frozenset(
    {".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json", ".md", ".txt"}
)


def read_tree(folder: Path) -> Files:
    """The texts below `folder` by POSIX path, in order. Pictures and other binaries are left out.

    Raises InfrastructureError for what can't be an answer: links, pipes, devices, source files that
    are no UTF-8, and more than the limits.
    """
    files: dict[str, str] = {}
    left = MOST_BYTES
    entries = 0
    for path, status in _walk(folder, 0):
        entries += 1
        if entries > MOST_ENTRIES:
            raise InfrastructureError(f"{folder} is no answer: more than {MOST_ENTRIES} entries")
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise InfrastructureError(f"{path} is {_kind(status)}, and no file")
        data = read_bytes(path, left)
        left -= len(data)
        name = path.relative_to(folder).as_posix()
        try:
            files[name] = data.decode("utf-8")
        except UnicodeDecodeError as error:
            if PurePosixPath(name).suffix in _SOURCES:
                raise InfrastructureError(f"{path} is no UTF-8: {error}") from error
    return files


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file whole, of at most `most` bytes. Raises InfrastructureError."""
    # Neither through a link nor waiting for whoever writes into a pipe.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InfrastructureError(f"{path} is no regular file")
            data = stream.read(most + 1)
    except OSError as error:
        raise InfrastructureError(f"{path} can't be read: {error.strerror}") from error
    if len(data) > most:
        raise InfrastructureError(
            f"{path} is no part of an answer: together more than {MOST_BYTES // 2**20} MiB"
        )
    return data


def _walk(folder: Path, depth: int) -> Iterator[tuple[Path, os.stat_result]]:
    if depth > MOST_DEPTH:
        raise InfrastructureError(f"{folder} is nested more than {MOST_DEPTH} deep")
    try:
        with os.scandir(folder) as found:
            # One more than may be: what is beyond is not even listed.
            listed = [entry for entry, _ in zip(found, range(MOST_ENTRIES + 1), strict=False)]
        for entry in sorted(listed, key=lambda one: one.name):
            if entry.name in _LEFT_OUT:
                continue
            path, status = Path(entry.path), entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(path, depth + 1)
    except OSError as error:
        raise InfrastructureError(f"{folder} can't be read: {error.strerror}") from error


def _kind(status: os.stat_result) -> str:
    kinds = {
        "a link": stat.S_ISLNK,
        "a pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
    }
    return next((kind for kind, is_it in kinds.items() if is_it(status.st_mode)), "a device")
