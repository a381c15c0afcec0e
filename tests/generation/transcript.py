"""Prints what a run of our suite looks like when a model answers it: the README's example.

    python -m tests.generation.transcript [-n 8] [any other argument of pytest]

The model is the local Messages API, which answers with the cases' own references.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_convex_eval.cases.loader import load_case
from pytest_convex_eval.generation.reading.tags import render_files
from tests.generation.messages_server import KEY, MessagesServer, Script

ROOT = Path(__file__).parents[2]
MODEL = "claude-sonnet-5-5"
_CHARACTERS_PER_TOKEN = 3


def references(folder: Path) -> list[Script]:
    """The reference of each case below `folder`, as the reply to its prompt."""
    scripts = []
    for path in sorted(folder.rglob("*.yaml")):
        if path.parent.name not in ("easy", "medium", "hard"):
            continue
        case = load_case(path, path.name).case
        text = render_files(case.reference)
        tokens = len(text) // _CHARACTERS_PER_TOKEN
        scripts.append(
            Script(text=text, contains=case.prompt.strip(), output_tokens=tokens, latency=1.0)
        )
    return scripts


def main(arguments: list[str]) -> int:
    """Runs pytest; returns its exit code."""
    with MessagesServer() as server, tempfile.TemporaryDirectory() as left:
        server.rules = references(ROOT / "cases")
        server.caching = True
        command = ["pytest", "cases/", *(arguments or ["-n", "8"]), "--convex-model", MODEL]
        print("$ " + " ".join(command), flush=True)
        kept = [f"--convex-store={left}/generations", f"--convex-runs={left}/runs"]
        return subprocess.run(
            [sys.executable, "-m", *command, *kept, "-p", "no:cacheprovider"],
            cwd=ROOT,
            env={**os.environ, "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
