"""A pytest plugin that notes which test executes which lines, in this process and in those that it
starts: `-p tests.mutation.recording`, with `MUTATION_DATA` set to a folder.

coverage.py's own start-up file measures Python's child processes; each is told by its environment
for which test it runs.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

DATA = "MUTATION_DATA"
_TEST = "MUTATION_TEST"

_CONFIG = """\
[run]
parallel = true
data_file = {folder}/coverage
source = pytest_convex_eval
context = ${{MUTATION_TEST-}}
sigterm = true
"""


def _begin() -> coverage.Coverage:
    folder = Path(os.environ[DATA])
    config = folder / "coveragerc"
    config.write_text(_CONFIG.format(folder=folder))
    os.environ["COVERAGE_PROCESS_START"] = str(config)
    measured = coverage.Coverage(
        data_file=str(folder / "coverage"),
        data_suffix=True,
        source_pkgs=["pytest_convex_eval"],
        config_file=False,
    )
    measured.start()
    return measured


_MEASURED = _begin()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Attributes what is executed to the test; to the first that needs it, where more share it."""
    _MEASURED.switch_context(item.nodeid)
    os.environ[_TEST] = item.nodeid
    try:
        return (yield)
    finally:
        _MEASURED.switch_context("")
        os.environ.pop(_TEST, None)


def pytest_unconfigure() -> None:
    """Saves what was measured here."""
    _MEASURED.stop()
    _MEASURED.save()
