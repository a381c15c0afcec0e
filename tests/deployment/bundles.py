"""Bundling as the CLI does it, with its own esbuild and its options, in a tenth of the time."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_convex_eval import processes
from tests.deployment.fixtures import NEWEST, Files, Request
from tests.patience import HANG_SECONDS


def start_push_request(project: Path, files: Files) -> Request:
    """The start_push request for a project that holds these files."""
    entries = [path for path in files if path.startswith("convex/") and path.endswith(".ts")]
    alone = {"convex/schema.ts", "convex/auth.config.ts"}
    uses_node = [path for path in entries if files[path].startswith('"use node"')]
    rest = [path for path in entries if path not in alone and path not in uses_node]
    modules = []
    if rest:
        modules += _esbuild(project, rest, node=False, splitting=True)
    if uses_node:
        modules += _esbuild(project, uses_node, node=True, splitting=True)
    if "convex/auth.config.ts" in entries:
        modules += _esbuild(project, ["convex/auth.config.ts"], node=False, splitting=False)
    schema = None
    if "convex/schema.ts" in entries:
        (schema,) = _esbuild(project, ["convex/schema.ts"], node=False, splitting=False)
    return {
        "adminKey": "",
        "dryRun": False,
        "functions": "convex/",
        "appDefinition": {
            "definition": None,
            "dependencies": [],
            "schema": schema,
            "changedModules": modules,
            "unchangedModuleHashes": [],
            "udfServerVersion": NEWEST,
        },
        "componentDefinitions": [],
        "nodeDependencies": [],
    }


def _esbuild(project: Path, entries: list[str], *, node: bool, splitting: bool) -> list[Request]:
    out = project / "out"
    shutil.rmtree(out, ignore_errors=True)
    binary = next((project / "node_modules" / "@esbuild").glob("*/bin/esbuild"))
    flags = [
        *("--bundle", "--format=esm", "--target=esnext", "--conditions=convex,module"),
        *("--minify-syntax", "--minify-identifiers", "--keep-names", "--tree-shaking=true"),
        *("--jsx=automatic", '--define:process.env.NODE_ENV="production"', "--tsconfig-raw={}"),
        *("--sourcemap=linked", "--sources-content=false", "--log-level=error", "--outdir=out"),
        "--outbase=convex",
        *(["--splitting"] if splitting else []),
        "--platform=node" if node else "--platform=browser",
        "--chunk-names=_deps/node/[hash]" if node else "--chunk-names=_deps/[hash]",
    ]
    done = processes.run(
        [binary, *entries, *flags],
        cwd=project,
        env=processes.environment(home=project),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stderr
    return [
        {
            "path": path.relative_to(out).as_posix(),
            "source": path.read_text("utf-8"),
            "sourceMap": Path(f"{path}.map").read_text("utf-8"),
            "environment": "node" if node else "isolate",
        }
        for path in sorted(out.rglob("*.js"))
    ]
