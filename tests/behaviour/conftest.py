"""One real deployment with one real app, on which all steps of these tests are taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from pydantic import TypeAdapter

from pytest_convex_eval.behaviour.interpreter import BlockFailure, run_blocks
from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.toolchain.dependencies import DependencyStore
from pytest_convex_eval.toolchain.install import default_cache, install_toolchain
from pytest_convex_eval.workspace.layout import lay_out

APP = Path(__file__).with_name("app")
ENVIRONMENT = {"GREETING": "hello"}

_BLOCKS: TypeAdapter[tuple[Block, ...]] = TypeAdapter(tuple[Block, ...])
Take: TypeAlias = Callable[[object], list[BlockFailure]]


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDeployment]:
    """The app in `app/`, pushed by the official CLI."""
    cache = default_cache()
    toolchain = install_toolchain(cache)
    dependencies = DependencyStore(cache, toolchain).default_set()
    folder = tmp_path_factory.mktemp("app")
    files = {
        path.relative_to(APP).as_posix(): path.read_text()
        for path in APP.rglob("*")
        if path.is_file()
    }
    workspace = lay_out(
        folder / "workspace",
        files,
        node_modules=dependencies.node_modules,
        templates=dependencies.templates,
    )
    with EmbeddedDeployment(toolchain.node) as running:
        running.set_environment(ENVIRONMENT)
        pushed = push(
            running,
            node=toolchain.node,
            cli=dependencies.convex_cli,
            project=workspace.root,
            deadline_seconds=120,
            compile_cache=tmp_path_factory.mktemp("compile-cache"),
        )
        assert not pushed.findings, pushed.findings
        yield running


@pytest.fixture
def take(deployment: EmbeddedDeployment) -> Take:
    """Takes a list of blocks, or of the steps of one, as YAML would give them."""

    def run(data: object) -> list[BlockFailure]:
        assert isinstance(data, list)
        if "steps" not in data[0] or "name" not in data[0]:
            data = [{"name": "a block", "steps": data}]
        return list(run_blocks(deployment, _BLOCKS.validate_python(data), ENVIRONMENT, 60))

    return run


@pytest.fixture
def told() -> Callable[[BlockFailure], str]:
    """A failure as people read it, with what differs from run to run masked."""

    def tell(failure: BlockFailure) -> str:
        first = f"{failure.error.code}: {failure.step}: {failure.error.summary}"
        text = "\n".join([first, *failure.error.lines])
        text = re.sub(r"\b[a-z0-9]{31,32}\b", "<id>", text)
        text = re.sub(r'("_creationTime": )[0-9.]+', r"\1<time>", text)
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)

    return tell
