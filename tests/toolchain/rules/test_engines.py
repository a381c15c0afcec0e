"""The plugin in ESLint: the same words at the same places as in oxlint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain import rules
from pytest_convex_eval.toolchain.dependencies import DependencyStore
from pytest_convex_eval.toolchain.lint_rules import OURS, RULES
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.toolchain.rules.facts import RULE as FACTS

if TYPE_CHECKING:
    from tests.toolchain.rules.conftest import Linter, Snippet

SCRIPT = Path(__file__).with_name("eslint.mjs")


@pytest.fixture(scope="session")
def eslint(store: DependencyStore) -> DependencySet:
    """ESLint and the parser it needs for TypeScript."""
    return store.get(
        {
            "convex": "1.48.0",
            "eslint": "10.15.0",
            "@typescript-eslint/parser": "8.73.0",
            "typescript": "6.0.3",
        }
    )


def test_eslint_and_oxlint_agree_on_every_snippet(
    linter: Linter, snippets: Sequence[Snippet], eslint: DependencySet, tmp_path: Path
) -> None:
    paths = []
    for number, snippet in enumerate(snippets):
        for path, text in snippet.files.items():
            target = tmp_path / f"p{number}" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            paths.append(f"p{number}/{path}")
    done = run(
        [linter.toolchain.node, SCRIPT, eslint.node_modules, linter.toolchain.rules_plugin],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(wall_seconds=60),
        stdin=json.dumps(paths),
    )
    assert done.ok, done.stderr
    names = [rule.name for rule in RULES if rule.code.startswith(OURS) and rule.in_plugin]
    report = linter.oxlint(paths, dict.fromkeys([*names, FACTS], "error"), tmp_path)
    said = {
        (diagnostic["filename"], str(diagnostic["code"]), diagnostic["message"])
        for diagnostic in report
    }
    eslint_said = {
        (path, f"convex-eval({str(rule).removeprefix(OURS)})", message)
        for path, rule, _, _, message in json.loads(done.stdout)
    }
    assert eslint_said == said
    assert len(said) > len(paths)


def test_the_types_in_the_plugins_comments_hold(linter: Linter, tmp_path: Path) -> None:
    index = Path(rules.__file__).with_name("index.mjs")
    options = "--noEmit --allowJs --checkJs --strict --target es2024 --lib es2024 --module nodenext"
    done = run(
        [linter.toolchain.tsc, *options.split(), "--types", "", index],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(wall_seconds=30),
    )
    assert done.ok, done.stdout
