"""The type-aware linter behind a script that limits it and notes how it ended.

oxlint starts whatever program it is told to, reports any failure of it as text, and can't bear the
limits itself.
"""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.toolchain import exhaustion
from pytest_convex_eval.toolchain.exhaustion import ADDRESS_SPACE_BYTES


@dataclass(frozen=True, slots=True)
class Tsgolint:
    """The program, which may use `cpu_seconds`; script and notes lie in `scratch`."""

    program: Path
    scratch: Path
    cpu_seconds: int

    @property
    def _status(self) -> Path:
        return self.scratch / "tsgolint.status"

    @property
    def _stderr(self) -> Path:
        return self.scratch / "tsgolint.stderr"

    def script(self) -> Path:
        """Writes the script."""
        self.forget()
        script = self.scratch / "tsgolint.sh"
        script.write_text(
            "#!/bin/sh\n"
            # Not every system can limit address space.
            f"ulimit -v {ADDRESS_SPACE_BYTES // 1024} 2>/dev/null\n"
            f"ulimit -t {self.cpu_seconds}\n"
            f'{shlex.quote(str(self.program))} "$@" 2>{shlex.quote(str(self._stderr))}\n'
            "status=$?\n"
            f'echo "$status" >{shlex.quote(str(self._status))}\n'
            'exit "$status"\n'
        )
        script.chmod(0o700)
        return script

    def forget(self) -> None:
        """Removes a former run's notes."""
        self._status.unlink(missing_ok=True)

    def gave_up(self, cpu_seconds: float) -> bool:
        """Whether it ran into its limits; oxlint and it took `cpu_seconds` together."""
        try:
            status = int(self._status.read_text())
            stderr = self._stderr.read_text("utf-8", "replace")
        except (OSError, ValueError):
            return False
        # See `Completed.out_of_cpu`.
        killed = status == 128 + signal.SIGKILL and cpu_seconds >= self.cpu_seconds * 0.75
        return killed or exhaustion.gave_up(status, stderr)
