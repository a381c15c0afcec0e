"""The suite, warm, beside the same answers through cold command lines; ratios from one run.

Warm: `pytest cases/ -n 8` as the README says, with the tools installed. Cold: for each of a few
references, in a folder of its own, what people do by hand: `npm install`, `convex dev --once`
(against a deployment of ours), `tsc --noEmit` and `eslint`, one after another. Seconds of CPU are
those of whole process trees.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.cases.loader import LoadedCase, load_case
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.toolchain.generated import convex_tsconfig
from pytest_convex_eval.toolchain.node import node_runtime

ROOT = Path(__file__).parents[1]

# The usual setup of a Convex project that lints with types: the last TypeScript that
# typescript-eslint supports, and Convex's own rules.
COLD_PACKAGES = {
    "typescript": "6.0.3",
    "eslint": "10.15.0",
    "typescript-eslint": "8.73.0",
    "@convex-dev/eslint-plugin": "5.0.0",
    "@types/node": "^24",
}
ESLINT_CONFIG = """\
import tseslint from "typescript-eslint";
import convex from "@convex-dev/eslint-plugin";

export default tseslint.config(
  { ignores: ["convex/_generated/**"] },
  ...tseslint.configs.recommendedTypeChecked,
  ...convex.configs.recommended,
  { languageOptions: { parserOptions: { project: "./convex/tsconfig.json" } } },
);
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU and of wall time."""

    cpu: float
    wall: float


def measured(args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[Cost, int, str]:
    """Runs `args`; the cost of its whole process tree, its exit code and what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        child = subprocess.Popen(
            args, cwd=cwd, env=dict(env), stdout=output, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        cost = Cost(usage.ru_utime + usage.ru_stime, wall)
        return cost, child.returncode, output.read()


def warm(folder: Path) -> tuple[Cost, int, dict[str, float], dict[str, float]]:
    """The whole command, the number of items, and CPU and wall seconds of each stage per item."""
    # Where Python may not keep its bytecode, each worker compiles every module anew.
    unwanted = ("ANTHROPIC_API_KEY", "PYTHONDONTWRITEBYTECODE")
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    command = [sys.executable, "-m", "pytest", "cases/", "-n", "8", "-q"]
    command += ["-p", "no:cacheprovider", f"--convex-runs={folder}"]
    cost, code, output = measured(command, ROOT, env)
    if code != 0:
        raise SystemExit(output)
    (run,) = folder.iterdir()
    items = [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]
    cpu: dict[str, float] = defaultdict(float)
    wall: dict[str, float] = defaultdict(float)
    for item in items:
        for stage in item["stages"]:
            cpu[stage["stage"]] += stage["cpu_seconds"] / len(items)
            wall[stage["stage"]] += stage["seconds"] / len(items)
    return cost, len(items), dict(cpu), dict(wall)


def cold(loaded: LoadedCase, folder: Path, deployment: EmbeddedDeployment) -> dict[str, Cost]:
    """What each command line cost for one reference."""
    for path, text in {**loaded.case.files, **loaded.case.reference}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    package = json.loads((folder / "package.json").read_text())
    package["devDependencies"] = {**package.get("devDependencies", {}), **COLD_PACKAGES}
    package["type"] = "module"
    (folder / "package.json").write_text(json.dumps(package))
    (folder / "convex/tsconfig.json").write_text(convex_tsconfig())
    (folder / "eslint.config.js").write_text(ESLINT_CONFIG)
    runtime = node_runtime()
    shims = folder / ".shims"
    shims.mkdir()
    (shims / "node").symlink_to(runtime.node)
    path = f"{shims}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "CI": "1", "NO_COLOR": "1"}
    bin_folder = "node_modules/.bin"
    where = ["--url", deployment.url, "--admin-key", deployment.admin_key]
    commands = {
        "npm install": [str(runtime.node), str(runtime.npm), "install", "--no-audit", "--no-fund"],
        "convex dev": [f"{bin_folder}/convex", "dev", "--once", "--typecheck", "disable",
                       "--tail-logs", "disable", *where],
        "tsc": [f"{bin_folder}/tsc", "--noEmit", "-p", "convex"],
        "eslint": [f"{bin_folder}/eslint", "convex"],
    }  # fmt: skip
    costs = {}
    for name, command in commands.items():
        costs[name], code, output = measured(command, folder, env)
        # eslint exits with 1 where it has findings, which some references have by its defaults.
        if code != 0 and name != "eslint":
            raise SystemExit(f"{loaded.name}: {name} failed:\n{output}")
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cold-cases", type=int, default=6, help="references taken the cold way")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="convex-eval-benchmark-"))
    try:
        warm(scratch / "first")
        cost, count, stage_cpu, stage_wall = warm(scratch / "second")
        paths = sorted((ROOT / "cases").rglob("*.yaml"))
        step = max(len(paths) // options.cold_cases, 1)
        chosen = [load_case(path, path.name) for path in paths[::step][: options.cold_cases]]
        costs: dict[str, list[Cost]] = defaultdict(list)
        with EmbeddedDeployment(node_runtime().node) as deployment:
            for number, loaded in enumerate(chosen):
                deployment.reset()
                for name, one in cold(loaded, scratch / f"cold-{number}", deployment).items():
                    costs[name].append(one)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

    print(f"warm: pytest cases/ -n 8, {count} items, {os.cpu_count()} cores")
    for stage, cpu in stage_cpu.items():
        print(f"  {stage:<12} {cpu:6.3f} s CPU  {stage_wall[stage]:6.3f} s wall, 8 workers at once")
    print(f"  {'all':<12} {sum(stage_cpu.values()):6.3f} s CPU a case in the tools")
    print(f"  whole run    {cost.cpu:6.1f} s CPU  {cost.wall:6.1f} s wall")
    warm_cpu, warm_wall = cost.cpu / count, cost.wall / count
    print(f"  a case       {warm_cpu:6.3f} s CPU  {warm_wall:6.3f} s wall, pytest included")
    print(f"cold: {len(chosen)} references, one command after another, npm's cache warm")
    cold_cpu = cold_wall = 0.0
    for name, some in costs.items():
        cpu, wall = (sum(c.cpu for c in some) / len(some), sum(c.wall for c in some) / len(some))
        cold_cpu, cold_wall = cold_cpu + cpu, cold_wall + wall
        print(f"  {name:<12} {cpu:6.3f} s CPU  {wall:6.3f} s wall")
    print(f"  a case       {cold_cpu:6.3f} s CPU  {cold_wall:6.3f} s wall")
    print(f"cold/warm: {cold_cpu / warm_cpu:.1f} in CPU, {cold_wall / warm_wall:.1f} in wall time")


if __name__ == "__main__":
    main()
