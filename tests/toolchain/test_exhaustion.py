from __future__ import annotations

import signal

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Completed, Ending
from pytest_convex_eval.toolchain.exhaustion import CPU_SECONDS, ran_out


def ended(ending: Ending, number: int, cpu_seconds: float) -> Completed:
    return Completed(("tsc",), -number, "", "", 60.0, cpu_seconds, ending)


def test_who_was_killed_near_the_limit_has_run_into_it() -> None:
    # As measured on a busy machine: what counts against the limit is sampled.
    assert ran_out(ended("signal", signal.SIGKILL, 2.6), 60.0, 3)
    assert ran_out(ended("signal", signal.SIGKILL, 26.0), 60.0)


def test_who_was_killed_long_before_the_limit_was_killed_by_somebody_else() -> None:
    assert not ran_out(ended("signal", signal.SIGKILL, 0.3 * CPU_SECONDS), 60.0)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGXCPU])
def test_an_overflow_is_what_the_code_asked_for(number: signal.Signals) -> None:
    assert ran_out(ended("signal", number, 0.1), 60.0)


def test_a_deadline_that_came_to_who_hardly_ran_says_nothing() -> None:
    with pytest.raises(InfrastructureError):
        ran_out(ended("timeout", signal.SIGTERM, 2.0), 60.0)
    assert ran_out(ended("timeout", signal.SIGTERM, 20.0), 60.0)
