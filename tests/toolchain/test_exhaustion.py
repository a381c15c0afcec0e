from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Completed, Ending
from pytest_convex_eval.toolchain.exhaustion import (
    ADDRESS_SPACE_BYTES,
    CPU_SECONDS,
    gave_up,
    limits,
    ran_out,
)


def ended(ending: Ending, number: int, cpu_seconds: float) -> Completed:
    return Completed(("tsc",), -number, "", "", 60.0, cpu_seconds, ending)


def test_who_was_killed_near_the_limit_has_run_into_it() -> None:
    # As measured on a busy machine: what counts against the limit is sampled.
    assert ran_out(ended("signal", signal.SIGKILL, 2.6), 60.0, 3)
    assert ran_out(ended("signal", signal.SIGKILL, 26.0), 60.0)


def test_who_was_killed_long_before_the_limit_was_killed_by_somebody_else() -> None:
    assert not ran_out(ended("signal", signal.SIGKILL, 0.3 * CPU_SECONDS), 60.0)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGXCPU])
def test_an_overflow_is_what_the_code_asked_for(number: signal.Signals) -> None:
    assert ran_out(ended("signal", number, 0.1), 60.0)


@pytest.mark.parametrize(("deadline", "half"), [(60.0, CPU_SECONDS / 2), (10.0, 5.0)])
def test_a_deadline_that_came_to_who_hardly_ran_says_nothing(deadline: float, half: float) -> None:
    with pytest.raises(InfrastructureError, match=r"tsc got .* s of CPU in 60 s"):
        ran_out(ended("timeout", signal.SIGTERM, half - 0.1), deadline)
    assert ran_out(ended("timeout", signal.SIGTERM, half), deadline)


def test_the_limit_that_it_ran_under_decides_whether_it_hardly_ran() -> None:
    assert ran_out(ended("timeout", signal.SIGTERM, 2.0), 60.0, 4)
    with pytest.raises(InfrastructureError):
        ran_out(ended("timeout", signal.SIGTERM, 2.0), 60.0, 5)


def test_more_output_than_is_allowed_is_what_the_code_asked_for() -> None:
    assert ran_out(ended("output", signal.SIGTERM, 0.1), 60.0)


def test_who_ended_by_itself_ran_out_only_where_it_says_so() -> None:
    plain = Completed(("tsc",), 2, "", "", 1.0, 1.0, "exit")
    assert not ran_out(plain, 60.0)
    assert ran_out(replace(plain, stderr="fatal error: stack overflow\n"), 60.0)
    # What the code makes it print says nothing.
    assert not ran_out(replace(plain, stdout="fatal error: stack overflow\n"), 60.0)


@pytest.mark.parametrize(
    ("status", "stderr", "expected"),
    [
        (2, "fatal error: out of memory\n", True),
        (2, "one line\nfatal error: stack overflow\n", True),
        (2, "runtime: out of memory: cannot allocate\n", True),
        (2, "panic: a defect\n", False),
        (2, "of a fatal error: something\n", False),
        (0, "fatal error: out of memory\n", False),
        (1, "", False),
        (128 + signal.SIGSEGV, "", True),
        (128 + signal.SIGABRT, "", True),
        (128 + signal.SIGKILL, "", False),
    ],
)
def test_a_go_program_says_that_it_gave_up(status: int, stderr: str, expected: bool) -> None:
    assert gave_up(status, stderr) is expected


def test_a_checker_is_limited_in_time_cpu_and_memory() -> None:
    allowed = limits(7.0)
    assert (allowed.wall_seconds, allowed.cpu_seconds) == (7.0, CPU_SECONDS)
    assert allowed.address_space_bytes == ADDRESS_SPACE_BYTES
