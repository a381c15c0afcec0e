"""The server as a program of its own, for what stands in for the official backend's."""

from __future__ import annotations

import shlex
from pathlib import Path

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.embedded import server_command, server_variables


def server_words(node: Path) -> str:
    """The words of a shell that start the server as the package does; its flags follow."""
    cache = default_cache()
    variables = [f"{name}={value}" for name, value in server_variables(cache).items()]
    return shlex.join(["env", *variables, *map(str, server_command(node, cache))])
