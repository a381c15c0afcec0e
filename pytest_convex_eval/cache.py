"""Where everything is kept that is made once a machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "CONVEX_EVAL_CACHE"


def default_cache() -> Path:
    """The folder of everything installed: $CONVEX_EVAL_CACHE, or the user's cache folder."""
    configured = os.environ.get(CACHE_VARIABLE)
    if configured:
        return Path(configured).expanduser().absolute()
    return platformdirs.user_cache_path("pytest-convex-eval")
