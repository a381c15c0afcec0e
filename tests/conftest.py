"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from pytest_convex_eval.toolchain.install import CACHE_VARIABLE, default_cache

# Two cores and many workers: how long an example takes says nothing.
hypothesis.settings.register_profile("local", deadline=None)
# A red run of CI must mean a changed behaviour; new examples are looked for by developers.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "local")


@pytest.fixture(scope="session", autouse=True)
def one_toolchain() -> Iterator[None]:
    """pytester moves HOME; the tests still share the machine's one toolchain."""
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(default_cache())
    yield
    if before is None:
        del os.environ[CACHE_VARIABLE]
