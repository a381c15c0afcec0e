"""Files that other processes read at any moment: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """Writes `text` beside `path` and moves it into place; a reader sees the old file or the new.

    `durable`: it is on the disk before this returns, for what must survive a power cut. Lone
    surrogates are kept. What a killed writer leaves is called `.<something>.tmp`. Raises OSError.
    """
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp's 0600 is wrong for a file that is to be shared.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
