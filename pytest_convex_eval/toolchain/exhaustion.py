"""The limits of the programs that check code, and how it is known that one ran into them.

Code can exhaust whoever reads it: four lines of types make the compiler ask for 12 GB, ten thousand
brackets overflow a parser's stack. That is the code's fault, and must cost nobody else anything.
"""

from __future__ import annotations

import re
import signal

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Completed, Limits

ADDRESS_SPACE_BYTES = 2_000_000_000
"""Twice of what good code needs."""

CPU_SECONDS = 30
"""Some hundred times of what good code needs."""

GO_SETTINGS = {"GOGC": "off", "GOMEMLIMIT": "500MiB", "GOMAXPROCS": "1"}
"""Environment of a native checker, for one process a workspace and more workspaces than cores.

A check ends before garbage is worth collecting: without collection below 500 MiB, a typecheck took
150 ms of CPU instead of 225, and lint 355 instead of 459; on one thread, lint took 279.
"""

# The first words of Go's runtime when it can't have memory or stack. It then ends with status 2,
# which type errors have as well; a defect of the program itself says `panic:`. Nothing else tells
# them apart, and what the checked code says comes on the other stream.
_GAVE_UP = re.compile(r"^(?:fatal error: |runtime: out of memory)", re.MULTILINE)

# Not SIGKILL: that is the system out of memory, or somebody who ends us.
_OVERFLOWS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGXCPU})


def limits(deadline_seconds: float) -> Limits:
    """What a native checker may use."""
    return Limits(
        wall_seconds=deadline_seconds,
        cpu_seconds=CPU_SECONDS,
        address_space_bytes=ADDRESS_SPACE_BYTES,
    )


def ran_out(done: Completed, deadline_seconds: float, cpu_seconds: float | None = None) -> bool:
    """Whether a checker ended because the code it read took all it may have.

    `cpu_seconds` is the limit that it ran under, `CPU_SECONDS` where it is not said.

    Raises InfrastructureError when the deadline came while it had hardly run: then the machine was
    busy, and nothing is known about the code.
    """
    cpu_seconds = CPU_SECONDS if cpu_seconds is None else cpu_seconds
    if done.ending == "timeout" and done.cpu_seconds < min(deadline_seconds, cpu_seconds) / 2:
        raise InfrastructureError(
            f"{done.args[0]} got {done.cpu_seconds:.1f} s of CPU in {done.wall_seconds:.0f} s",
            detail=done.stderr,
        )
    if done.ending == "signal":
        return -done.returncode in _OVERFLOWS or done.out_of_cpu(cpu_seconds)
    return done.ending != "exit" or gave_up(done.returncode, done.stderr)


def gave_up(status: int, stderr: str) -> bool:
    """Whether a Go program ended for want of something; `status` is as a shell tells it."""
    return status - 128 in _OVERFLOWS or (status != 0 and bool(_GAVE_UP.search(stderr)))
