"""What a version of `convex` can ask of a deployment that ours does not know.

`python -m tests.deployment.newer [VERSION]` (without one: the newest of the shipped list; `latest`:
npm's) installs its package and asks the embedded deployment. It ends with 1 where something is
unknown.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pydantic import JsonValue

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.toolchain.packages.features import features_of
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm
from pytest_convex_eval.toolchain.packages.published import convex_snapshot


def unknown(package: Path, deployment: EmbeddedDeployment) -> list[str]:
    """What the package in a folder can ask for and the deployment does not know, a line each."""
    features = features_of(package)
    asked: dict[str, JsonValue] = {
        "validators": [*sorted(features.validators)],
        "operations": [*sorted(features.operations)],
        "routes": [*sorted(features.routes)],
    }
    told = deployment.unknown_of(asked)
    assert isinstance(told, dict)
    lines = []
    for kind, names in told.items():
        assert isinstance(names, list)
        lines += [f"{kind.removesuffix('s')} {name}" for name in names]
    return lines


def main(version: str) -> int:
    """Says what is unknown of a version or tag."""
    runtime = node_runtime()
    with tempfile.TemporaryDirectory(prefix="convex-eval-newer-") as scratch:
        root = Path(scratch)
        Npm(runtime).install({"convex": version}, root)
        with EmbeddedDeployment(runtime.node, cache=default_cache()) as deployment:
            found = unknown(root / "node_modules" / "convex", deployment)
    for line in found:
        print(f"unknown: {line}")
    print(f"convex {version}: {len(found)} unknown")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else convex_snapshot().newest))
