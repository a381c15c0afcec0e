"""The rules in a user's own ESLint and oxlint, configured as the README prints it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain.lint import bundle
from pytest_convex_eval.toolchain.lint.catalogue import OURS, RULES
from pytest_convex_eval.toolchain.lint.eslint import install_eslint
from pytest_convex_eval.toolchain.model import Toolchain
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from tests.patience import HANG_SECONDS

README = (Path(__file__).parents[3] / "docs" / "rules" / "README.md").read_text("utf-8")
CODE = """\
import { query } from "./_generated/server";

export const list = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("notes").filter((q) => q.eq(q.field("a"), 1)).first(),
});
"""
PLACE = (5, 55)
"""Of the filter."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "convex").mkdir()
    (tmp_path / "convex" / "notes.ts").write_text(CODE)
    return tmp_path


def printed(language: str) -> str:
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)
    (block,) = blocks
    packages = Path(bundle.__file__).parents[3]
    return block.replace("<site-packages>", packages.as_posix())


def eslints(toolchain: Toolchain, store: DependencyStore) -> dict[str, Path]:
    """A folder of packages for each version of ESLint that is promised."""
    convex = store.default_set().convex_version
    nine = {"eslint": "^9.39.0", "@typescript-eslint/parser": "^8.46.0", "typescript": "^5.9.0"}
    return {
        "9": store.get({"convex": convex, **nine}).node_modules,
        "10": install_eslint(default_cache(), toolchain).root / "node_modules",
    }


@pytest.mark.parametrize("version", ["9", "10"])
def test_eslint_takes_the_configuration_as_printed(
    toolchain: Toolchain, store: DependencyStore, project: Path, version: str
) -> None:
    node_modules = eslints(toolchain, store)[version]
    (project / "node_modules").symlink_to(node_modules, target_is_directory=True)
    (project / "eslint.config.mjs").write_text(printed("js"))
    manifest = json.loads((node_modules / "eslint" / "package.json").read_text())
    assert manifest["version"].split(".")[0] == version
    done = run(
        [toolchain.node, "node_modules/eslint/bin/eslint.js", "--format=json", "convex"],
        cwd=project,
        env=environment(home=project),
        limits=Limits(wall_seconds=HANG_SECONDS),
    )
    (file,) = json.loads(done.stdout)
    (said,) = file["messages"]
    assert said["ruleId"] == "convex-eval/no-query-filter"
    assert (said["line"], said["column"]) == PLACE


def test_oxlint_takes_the_configuration_as_printed(toolchain: Toolchain, project: Path) -> None:
    (project / ".oxlintrc.json").write_text(printed("json"))
    done = run(
        [toolchain.node, toolchain.oxlint, "--format=json", "convex"],
        cwd=project,
        env=environment(home=project),
        limits=Limits(wall_seconds=HANG_SECONDS),
    )
    said = [
        diagnostic
        for diagnostic in json.loads(done.stdout)["diagnostics"]
        if diagnostic["code"] == "convex-eval(no-query-filter)"
    ]
    (span,) = (label["span"] for diagnostic in said for label in diagnostic["labels"])
    assert (span["line"], span["column"]) == PLACE


def test_every_source_is_named_with_its_place_and_date() -> None:
    _, _, rest = README.partition("## Where they come from")
    section = rest.partition("\n## ")[0]
    sources = {rule.source for rule in RULES if rule.code.startswith(OURS)}
    assert sources
    for source in sources:
        host = source.partition("/")[0] if source.startswith("docs.") else source
        assert host.partition(" for convex")[0] in section, source
