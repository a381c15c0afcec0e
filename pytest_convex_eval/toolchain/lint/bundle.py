"""Convex's lint plugin and ours, each as one small ES module that oxlint loads.

A module is one plugin to oxlint, and names its rules: so there are two.

Loaded as published, Convex's costs each lint process 130 ms for a parser that it does not use
under oxlint; bundled against `shim.mjs`, about nothing, with the same reports.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Limits, environment, run

PLUGIN = "@convex-dev/eslint-plugin"
DEADLINE_SECONDS = 30.0

_SHIM = Path(__file__).with_name("shim.mjs")
_RULES = Path(__file__).with_name("plugin") / "index.mjs"
_SHIMMED = ("@typescript-eslint/utils", "@typescript-eslint/types")


def build(esbuild: Path, node_modules: Path, target: Path) -> None:
    """Bundles the plugin installed in `node_modules` to the file `target`.

    What the shim stands in for need not be installed. Raises InfrastructureError when the plugin is
    not there or does not bundle.
    """
    entry = node_modules / PLUGIN / "dist" / "esm" / "index.js"
    _bundle(
        esbuild,
        entry,
        target,
        # oxlint defines `require` for plugins, by which this one takes itself for CommonJS and
        # fails.
        "--define:require=undefined",
        *(f"--alias:{name}={_SHIM}" for name in _SHIMMED),
        what=PLUGIN,
    )


def build_ours(esbuild: Path, target: Path) -> None:
    """Bundles our own rules to the file `target`. Raises InfrastructureError when it can't."""
    _bundle(esbuild, _RULES, target, what="our lint plugin")


def _bundle(esbuild: Path, entry: Path, target: Path, *options: str, what: str) -> None:
    args: list[str | Path] = [
        esbuild,
        entry,
        "--bundle",
        "--format=esm",
        "--platform=node",
        # Also drops the comments that name the folder it was built in: same input, same bytes.
        "--minify-whitespace",
        f"--outfile={target}",
        "--log-level=error",
        "--color=false",
        *options,
    ]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = run(
                args,
                cwd=Path(scratch),
                env=environment(home=Path(scratch)),
                limits=Limits(wall_seconds=DEADLINE_SECONDS),
            )
        except OSError as error:
            raise InfrastructureError(f"esbuild could not be started: {error}") from error
    if not done.ok or not target.is_file():
        raise InfrastructureError(f"{what} could not be bundled", detail=done.stdout + done.stderr)
