"""How long `convex-eval check` takes on an app of five files, from its start to its exit code.

The whole command, in a process of its own each time; the first run is left out, in which tools are
installed and code caches are filled.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ name: v.string() }).index("by_name", ["name"]),
  notes: defineTable({ author: v.id("users"), text: v.string() }).index("by_author", ["author"]),
});
"""
NOTES = """\
import { query, mutation } from "./_generated/server";
import { v } from "convex/values";
import { trimmed } from "./text";

export const byAuthor = query({
  args: { author: v.id("users") },
  handler: async (ctx, { author }) =>
    await ctx.db
      .query("notes")
      .withIndex("by_author", (q) => q.eq("author", author))
      .take(100),
});

export const add = mutation({
  args: { author: v.id("users"), text: v.string() },
  handler: async (ctx, { author, text }) =>
    await ctx.db.insert("notes", { author, text: trimmed(text) }),
});
"""
APP: Mapping[str, str] = {
    "package.json": '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n',
    "convex/schema.ts": SCHEMA,
    "convex/notes.ts": NOTES,
    "convex/text.ts": "export const trimmed = (text: string): string => text.trim();\n",
    "convex/users.ts": NOTES.replace("notes", "users")
    .replace("by_author", "by_name")
    .replace('v.id("users")', "v.string()")
    .replace("author, text: trimmed(text)", "name: trimmed(`${author} ${text}`)")
    .replace('"author"', '"name"'),
    "convex/crons.ts": 'import { cronJobs } from "convex/server";\nexport default cronJobs();\n',
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path, text in APP.items():
            file = Path(folder, path)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        checked(folder, ())
        for stages in (("--stages", "package,syntax,typecheck,lint"), ()):
            runs = [checked(folder, stages) for _ in range(options.runs)]
            seconds = [run[0] for run in runs]
            print(
                f"{' '.join(stages) or 'all stages'}: "
                f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, "
                f"{options.runs} runs); of the last one: {runs[-1][1]}"
            )


def checked(folder: str, stages: Sequence[str]) -> tuple[float, str]:
    """Seconds of one check, and those of its stages."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest_convex_eval.cli", "check", folder, "--format=json", *stages],
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - started
    if done.returncode != 0:
        raise SystemExit(f"the app does not pass: {done.stdout}{done.stderr}")
    results = json.loads(done.stdout)["stages"]
    return seconds, ", ".join(f"{one['stage']} {one['seconds']:.2f} s" for one in results)


if __name__ == "__main__":
    main()
