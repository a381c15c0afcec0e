"""The bundle of Convex's lint plugin: whole, and the same every time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.processes import Limits, environment, run
from pytest_convex_eval.toolchain.lint.bundle import PLUGIN, build
from pytest_convex_eval.toolchain.lint.catalogue import RULES
from pytest_convex_eval.toolchain.model import Toolchain
from tests.patience import HANG_SECONDS

DESCRIBE = """
const { default: plugin } = await import(process.argv[1]);
const rules = Object.entries(plugin.rules).map(([name, rule]) => [name, rule.meta.messages]);
console.log(JSON.stringify({ name: plugin.meta.name, rules: Object.fromEntries(rules) }));
"""


@pytest.fixture
def plugin_alone(toolchain: Toolchain, tmp_path: Path) -> Path:
    """A node_modules folder with the plugin and nothing else."""
    node_modules = tmp_path / "alone" / "node_modules"
    shutil.copytree(toolchain.root / "node_modules" / PLUGIN, node_modules / PLUGIN)
    return node_modules


def test_it_holds_every_rule_that_we_use(
    toolchain: Toolchain, plugin_alone: Path, tmp_path: Path
) -> None:
    target = tmp_path / "plugin.mjs"
    build(toolchain.esbuild, plugin_alone, target)
    done = run(
        [toolchain.node, "--input-type=module", "--eval", DESCRIBE, target],
        cwd=tmp_path,
        env=environment(home=tmp_path),
        limits=Limits(wall_seconds=HANG_SECONDS),
    )
    assert done.ok, done.stderr
    plugin = json.loads(done.stdout)
    assert plugin["name"] == PLUGIN
    ours = {rule.name.removeprefix("@convex-dev/") for rule in RULES if rule.name.startswith("@")}
    assert ours <= set(plugin["rules"])
    for messages in plugin["rules"].values():
        for message_id, text in messages.items():
            assert text.startswith(f"[{message_id}] ")
            assert "Note: type-aware" not in text
            assert "eslint-disable" not in text
            assert len(text) > len(message_id) + 20


def test_the_message_that_a_rule_is_split_by_exists(
    toolchain: Toolchain, plugin_alone: Path, tmp_path: Path
) -> None:
    target = tmp_path / "plugin.mjs"
    build(toolchain.esbuild, plugin_alone, target)
    text = target.read_text()
    assert {rule.message_id for rule in RULES if rule.message_id} == {"prefix-index"}
    assert '"prefix-index"' in text


def test_the_same_plugin_gives_the_same_bytes_wherever_it_lies(
    toolchain: Toolchain, plugin_alone: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.mjs", tmp_path / "elsewhere" / "second.mjs"
    second.parent.mkdir()
    build(toolchain.esbuild, plugin_alone, first)
    build(toolchain.esbuild, toolchain.root / "node_modules", second)
    assert first.read_bytes() == second.read_bytes() == toolchain.lint_plugin.read_bytes()


def test_a_missing_plugin_is_an_infrastructure_error(toolchain: Toolchain, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="eslint-plugin"):
        build(toolchain.esbuild, tmp_path / "node_modules", tmp_path / "plugin.mjs")
    with pytest.raises(InfrastructureError, match="esbuild"):
        build(tmp_path / "missing", tmp_path / "node_modules", tmp_path / "plugin.mjs")
