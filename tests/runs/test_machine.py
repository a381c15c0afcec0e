"""What a run ran on, as far as the system tells."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pytest_convex_eval.runs.machine import Machine, this_machine


def test_this_machine_is_told(tmp_path: Path) -> None:
    made = this_machine(4, tmp_path)
    assert made.cores is not None
    assert 1 <= made.cores <= (psutil.cpu_count() or 1)
    assert made.memory_bytes == psutil.virtual_memory().total
    assert made.load is not None
    assert (made.workers, made.cpu_limit, made.memory_limit_bytes) == (4, None, None)


@pytest.mark.parametrize(
    ("cpu", "memory", "cores", "size"),
    [
        ("150000 100000\n", "1073741824\n", 1.5, 2**30),
        ("max 100000\n", "max\n", None, None),
        ("100 0", "-1", None, None),
        ("", "\xff", None, None),
    ],
)
def test_limits_are_those_of_the_control_group(
    tmp_path: Path, cpu: str, memory: str, cores: float | None, size: int | None
) -> None:
    (tmp_path / "cpu.max").write_bytes(cpu.encode())
    (tmp_path / "memory.max").write_bytes(memory.encode("latin-1"))
    made = this_machine(None, tmp_path)
    assert (made.cpu_limit, made.memory_limit_bytes) == (cores, size)


def test_what_a_later_version_tells_is_passed_over() -> None:
    assert Machine.from_json({"cores": 2, "moon": "full"}) == Machine(cores=2)
