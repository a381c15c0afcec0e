"""The hooks by which other plugins add to this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_convex_eval.generation.vendor import Vendor
    from pytest_convex_eval.stages.protocol import Stage


@pytest.hookspec
def pytest_convex_eval_provider(config: pytest.Config) -> Vendor | Sequence[Vendor]:
    """Adds vendors of models: returns one, or several.

    Called once in each process (the controller's and each worker's), before anything is collected,
    so that nothing slow or large may be imported or made here. The names of a vendor's models begin
    with its prefix; of two vendors that take a name, ours comes first, and then the plugin that was
    registered last. `generation/vendor.py` has the class to derive from, and
    `generation/retries.py` a provider that makes attempts as ours do.
    """
    raise NotImplementedError


@pytest.hookspec
def pytest_convex_eval_stage(config: pytest.Config) -> Stage | Sequence[Stage]:
    """Adds stages, which run for every item: returns one, or several.

    Called once in each process (the controller's and each worker's) when pytest is configured: a
    plugin or the conftest.py of the folder where pytest starts can implement it, and none that is
    found later. `stages/protocol.py` has the class to derive from; where a stage runs, how long it
    may take and what it needs stand on its class.
    """
    raise NotImplementedError
