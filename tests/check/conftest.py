"""Projects on disk, and the real tools to check them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_convex_eval.check.mirror import Shown
from pytest_convex_eval.check.project import find_project
from pytest_convex_eval.check.run import Checked, CheckOptions, check_project
from pytest_convex_eval.check.tooling import Tooling
from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.stages.protocol import Tools
from pytest_convex_eval.toolchain.model import DependencySet

PACKAGE = '{"name": "app", "dependencies": {"convex": "^1.48.0"}}\n'
SCHEMA = """\
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({ author: v.string(), text: v.string() }).index("by_author", ["author"]),
});
"""
NOTES = """\
import { query } from "./_generated/server";
import { v } from "convex/values";

export const byAuthor = query({
  args: { author: v.string() },
  handler: async (ctx, { author }) =>
    await ctx.db
      .query("notes")
      .withIndex("by_author", (q) => q.eq("author", author))
      .take(100),
});
"""
APP = {"package.json": PACKAGE, "convex/schema.ts": SCHEMA, "convex/notes.ts": NOTES}
"""A project in which nothing is wrong."""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Writes `files` below `folder`, which it returns."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """All that is in a folder, to see that it stays so."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def errors(checked: Checked) -> list[Finding]:
    return [finding for stage in checked.results for finding in stage.errors]


def told(checked: Checked) -> list[tuple[str, str, str | None, int | None]]:
    """Stage, code, path and line of each error."""
    return [
        (stage.stage, finding.code, finding.path, finding.line)
        for stage in checked.results
        for finding in stage.errors
    ]


@pytest.fixture(scope="session")
def tooling() -> Iterator[Tooling]:
    with Tooling("recommended", progress=lambda _: None) as tooling:
        yield tooling


@pytest.fixture(scope="session")
def tools(tooling: Tooling) -> Tools:
    return tooling.tools(deploys=True)


@pytest.fixture(scope="session")
def installed(tools: Tools) -> DependencySet:
    """Packages as a package manager leaves them."""
    return tools.dependencies.default_set()


Check = Callable[..., Checked]


@pytest.fixture
def check(tools: Tools, tooling: Tooling, tmp_path: Path) -> Check:
    """Checks the project at `path` as somebody who stands in `tmp_path` does."""

    def run(path: Path, options: CheckOptions | None = None) -> Checked:
        return check_project(
            find_project(path),
            tools,
            options or CheckOptions(),
            Shown(tmp_path),
            deployments=tooling.deployments,
        )

    return run
