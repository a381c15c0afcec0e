"""What hostile code is run by: the real server, with the fixtures of the deployment's tests."""

from __future__ import annotations

from tests.deployment.conftest import (
    ask,
    bundle,
    compile_cache,
    convex_node_modules,
    deployment,
    generated,
    in_server,
    modules_server,
    node,
    npm_install,
    push_once,
    push_over_http,
    server,
    shared_folder,
)

__all__ = [
    "ask",
    "bundle",
    "compile_cache",
    "convex_node_modules",
    "deployment",
    "generated",
    "in_server",
    "modules_server",
    "node",
    "npm_install",
    "push_once",
    "push_over_http",
    "server",
    "shared_folder",
]
