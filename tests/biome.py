"""`python -m tests.biome`: whether our TypeScript and JavaScript are written as `biome.jsonc` says;
with `--write`, they are."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import Npm

BIOME = {"@biomejs/biome": "2.6.8"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.biome", description=__doc__)
    parser.add_argument("--write", action="store_true", help="mend what can be mended")
    given = parser.parse_args()
    runtime = node_runtime()
    with tempfile.TemporaryDirectory(prefix="convex-eval-biome-") as folder:
        Npm(runtime).install(BIOME, Path(folder))
        program = Path(folder) / "node_modules" / "@biomejs" / "biome" / "bin" / "biome"
        asked = ["check", "--write"] if given.write else ["ci"]
        return subprocess.call(
            [runtime.node, program, *asked, "--error-on-warnings", "."],
            cwd=Path(__file__).parents[1],
        )


if __name__ == "__main__":
    sys.exit(main())
