"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_convex_eval.toolchain.install import CACHE_VARIABLE, default_cache


@pytest.fixture(scope="session", autouse=True)
def one_toolchain() -> Iterator[None]:
    """pytester moves HOME; the tests still share the machine's one toolchain."""
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(default_cache())
    yield
    if before is None:
        del os.environ[CACHE_VARIABLE]
