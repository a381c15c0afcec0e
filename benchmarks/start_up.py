"""What the plugin adds to the start of pytest in a project without cases; from one run.

Runs `pytest` on one trivial test with and without the plugin, alternating, and compares medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15


def seconds(folder: Path, *args: str) -> float:
    """Wall seconds of one pytest run."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    # Where Python may not keep its bytecode, every start compiles every module anew.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    # Only the plugin makes the difference, whatever else is installed.
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_one.py").write_text("def test_one(): pass\n")
        plugin = ("-p", "pytest_convex_eval.plugin")
        seconds(folder, *plugin)
        without, with_plugin = [], []
        for _ in range(RUNS):
            without.append(seconds(folder))
            with_plugin.append(seconds(folder, *plugin))
    base, loaded = statistics.median(without), statistics.median(with_plugin)
    print(f"without the plugin {base * 1000:6.1f} ms, with it {loaded * 1000:6.1f} ms")
    print(f"added: {(loaded - base) * 1000:.1f} ms, ratio {loaded / base:.3f}")


if __name__ == "__main__":
    main()
