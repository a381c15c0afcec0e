"""What a run ran on: limits of time and memory are a condition of what was measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

_CONTROL_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory is in bytes; `cpu_limit` is in cores; `load` is the average of the last minute at the
    start; `workers` are xdist's. None is what could not be told, or has no limit.
    """

    cores: int | None = None
    cpu_limit: float | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    load: float | None = None
    workers: int | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Machine:
        """Of what a manifest says; what this version does not know is passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


def this_machine(workers: int | None, control_group: Path = _CONTROL_GROUP) -> Machine:
    """This one, now. Linux tells limits in the folder `control_group` (cgroup v2)."""
    return Machine(
        cores=_cores(),
        cpu_limit=_cpu_limit(_read(control_group / "cpu.max")),
        memory_bytes=_memory_bytes(),
        memory_limit_bytes=_number(_read(control_group / "memory.max")),
        load=_load(),
        workers=workers,
    )


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _cpu_limit(text: str) -> float | None:
    quota, _, period = text.partition(" ")
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return round(int(quota) / int(period), 2)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
