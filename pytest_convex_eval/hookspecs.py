"""The hooks by which other plugins add to this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_convex_eval.generation.vendor import Vendor


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
