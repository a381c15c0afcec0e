"""The suite, warm, beside the same answers through cold command lines; ratios from one run.

Warm: `pytest cases/ -n 8` as the README says, and with fewer workers, with the tools installed and
nothing from the verdict cache; the memory is the most that all processes had together, looked at
twice a second (a page that several share counts once). Cold: for each of a few
references, in a folder of its own, what people do by hand: `npm install`, `npx convex codegen`,
`npx convex dev --once` (both against a deployment of ours, with the typecheck that they do), `tsc
--noEmit` and `eslint` with types, one after another. Seconds of CPU are those of whole process
trees.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_convex_eval.cases.loader import LoadedCase, load_case
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.stages.protocol import StaticStage
from pytest_convex_eval.stages.registry import built_in
from pytest_convex_eval.toolchain.generated import convex_tsconfig
from pytest_convex_eval.toolchain.packages.node import node_runtime

ROOT = Path(__file__).parents[1]

_LOOK_SECONDS = 0.5

# The usual setup of a Convex project that lints with types, and Convex's own rules.
COLD_PACKAGES = {
    "typescript": "5.9.3",
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


@dataclass(frozen=True)
class Warm:
    """One run of the suite: the whole command, and CPU and wall seconds of each stage an item."""

    workers: int
    cost: Cost
    items: int
    memory: Memory
    stage_cpu: Mapping[str, float]
    stage_wall: Mapping[str, float]


# Programs by what stands in their command lines; the first that does.
PROGRAMS = {
    "oxlint_server.mjs": "oxlint",
    "server.ts": "deployments",
    "program.mjs": "functions",
    "evaluator.mjs": "functions",
    "convex/bin/main.js": "convex CLI",
    "esbuild": "esbuild",
    "tsgolint": "tsgolint",
    "tsc": "TypeScript",
    "python": "Python",
}


class Memory:
    """The most bytes that this process and all below it had together, while the block ran, and
    which programs had them then."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.programs: Mapping[str, int] = {}
        self._root = os.getpid()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            programs = self._together()
            if sum(programs.values()) > self.peak_bytes:
                self.peak_bytes, self.programs = sum(programs.values()), programs

    def _together(self) -> Mapping[str, int]:
        children: dict[int, list[int]] = defaultdict(list)
        for entry in Path("/proc").glob("[0-9]*"):
            # It may end while it is looked at.
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children[int(fields[1])].append(int(entry.name))
        found: dict[str, int] = defaultdict(int)
        below = list(children[self._root])
        while below:
            pid = below.pop()
            below += children[pid]
            # The proportional set size: of a page that n processes share, an n-th.
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text()
                program = next((name for part, name in PROGRAMS.items() if part in command), "else")
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                found[program] += sum(int(x.split()[1]) * 1024 for x in lines if x[:4] == "Pss:")
        return found


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


def warm(cases: Sequence[Path], workers: int, folder: Path) -> Warm:
    """Evaluates `cases` with `workers` processes."""
    # Where Python may not keep its bytecode, each worker compiles every module anew.
    unwanted = ("ANTHROPIC_API_KEY", "PYTHONDONTWRITEBYTECODE")
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    command = [sys.executable, "-m", "pytest", *map(str, cases), "-n", str(workers), "-q"]
    command += ["-p", "no:cacheprovider", f"--convex-runs={folder}", "--convex-no-cache"]
    with Memory() as memory:
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
    return Warm(workers, cost, len(items), memory, cpu, wall)


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
    tsconfig = json.loads(convex_tsconfig())
    # Asks TypeScript 7 for what 5.9 does unasked, and refuses to be asked for.
    del tsconfig["compilerOptions"]["types"]
    (folder / "convex/tsconfig.json").write_text(json.dumps(tsconfig))
    (folder / "eslint.config.js").write_text(ESLINT_CONFIG)
    runtime = node_runtime()
    shims = folder / ".shims"
    shims.mkdir()
    (shims / "node").symlink_to(runtime.node)
    path = f"{shims}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "CI": "1", "NO_COLOR": "1"}
    bin_folder = "node_modules/.bin"
    where = ["--url", deployment.url, "--admin-key", deployment.admin_key]
    npx = [str(runtime.node), str(runtime.npm.with_name("npx-cli.js"))]
    commands = {
        "npm install": [str(runtime.node), str(runtime.npm), "install", "--no-audit", "--no-fund"],
        "codegen": [*npx, "convex", "codegen", *where],
        "push": [*npx, "convex", "dev", "--once", "--tail-logs", "disable", *where],
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


def show(run: Warm) -> None:
    cpu, wall = run.cost.cpu / run.items, run.cost.wall / run.items
    static_stages = [one.name for one in built_in() if isinstance(one, StaticStage)]
    static = sum(run.stage_cpu[stage] for stage in static_stages)
    print(f"warm: -n {run.workers}, {run.items} items, {os.cpu_count()} cores")
    for stage, seconds in run.stage_cpu.items():
        print(f"  {stage:<12} {seconds:6.3f} s CPU  {run.stage_wall[stage]:6.3f} s wall")
    print(f"  {'static':<12} {static:6.3f} s CPU  ({', '.join(static_stages)})")
    print(f"  {'all':<12} {sum(run.stage_cpu.values()):6.3f} s CPU a case in the tools")
    print(f"  {'a case':<12} {cpu:6.3f} s CPU  {wall:6.3f} s wall, pytest included")
    print(f"  {'whole run':<12} {run.cost.cpu:6.1f} s CPU  {run.cost.wall:6.1f} s wall")
    print(f"  {'memory':<12} {run.memory.peak_bytes / 2**20:6.0f} MiB at most, of which")
    for program, some in sorted(run.memory.programs.items(), key=lambda each: -each[1]):
        print(f"    {program:<12} {some / 2**20:6.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cold-cases", type=int, default=6, help="references taken the cold way")
    parser.add_argument("--cases", type=int, default=None, help="of the suite (default: all)")
    parser.add_argument(
        "--workers", default="1,4,8", help="of the warm runs (default: %(default)s)"
    )
    options = parser.parse_args()
    paths = sorted((ROOT / "cases").rglob("*.yaml"))[: options.cases]
    scratch = Path(tempfile.mkdtemp(prefix="convex-eval-benchmark-"))
    try:
        # What is made once per machine is made here.
        warm(paths, 2, scratch / "first")
        runs: list[Warm] = []
        for workers in map(int, options.workers.split(",")):
            runs.append(warm(paths, workers, scratch / f"warm-{workers}"))
            show(runs[-1])
        step = max(len(paths) // options.cold_cases, 1)
        chosen = [load_case(path, path.name) for path in paths[::step][: options.cold_cases]]
        costs: dict[str, list[Cost]] = defaultdict(list)
        with EmbeddedDeployment(node_runtime().node) as deployment:
            for number, loaded in enumerate(chosen):
                deployment.reset()
                deployment.set_environment(loaded.case.env)
                for name, one in cold(loaded, scratch / f"cold-{number}", deployment).items():
                    costs[name].append(one)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

    print(f"cold: {len(chosen)} references, one command after another, npm's cache warm")
    cold_cpu = cold_wall = 0.0
    for name, some in costs.items():
        cpu, wall = (sum(c.cpu for c in some) / len(some), sum(c.wall for c in some) / len(some))
        cold_cpu, cold_wall = cold_cpu + cpu, cold_wall + wall
        print(f"  {name:<12} {cpu:6.3f} s CPU  {wall:6.3f} s wall")
    print(f"  a case       {cold_cpu:6.3f} s CPU  {cold_wall:6.3f} s wall")
    for run in runs:
        cpu, wall = cold_cpu / run.cost.cpu * run.items, cold_wall / run.cost.wall * run.items
        print(f"cold/warm, -n {run.workers}: {cpu:.1f} in CPU, {wall:.1f} in wall time")


if __name__ == "__main__":
    main()
