"""Two deployments: a real one with a real app, and one that answers what a test says."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import pytest
from pydantic import JsonValue, TypeAdapter

from pytest_convex_eval.behaviour.interpreter import BlockFailure, run_blocks
from pytest_convex_eval.behaviour.steps import Block
from pytest_convex_eval.cache import default_cache
from pytest_convex_eval.deployment.contract import Deployment
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import (
    Deployed,
    FunctionResult,
    HttpAnswer,
)
from pytest_convex_eval.deployment.push import push
from pytest_convex_eval.toolchain.packages.dependencies import DependencyStore
from pytest_convex_eval.toolchain.packages.install import install_toolchain
from pytest_convex_eval.workspace.layout import lay_out
from tests.patience import HANG_SECONDS

APP = Path(__file__).with_name("app")
ENVIRONMENT = {"GREETING": "hello"}

_BLOCKS: TypeAdapter[tuple[Block, ...]] = TypeAdapter(tuple[Block, ...])
T = TypeVar("T")
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
            deadline_seconds=HANG_SECONDS,
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


@dataclass
class ScriptedDeployment:
    """Answers what a test says, and remembers in `done` what was asked of it, in order.

    It has the methods that steps use, and no others.
    """

    results: dict[str, list[FunctionResult]] = field(default_factory=dict)
    """Of each function, one after another; the last one again and again."""
    answers: list[HttpAnswer] = field(default_factory=list)
    tables: dict[str, list[dict[str, JsonValue]]] = field(default_factory=dict)
    schema: Deployed = field(default_factory=Deployed)
    url: str = "http://127.0.0.1:1"
    site_url: str = "http://127.0.0.1:2"
    scheduled: list[str] = field(default_factory=list)
    """The errors of scheduled functions, told by the next `advance`."""
    raises: dict[str, Exception] = field(default_factory=dict)
    """By the method, or by the function that is called."""
    living: bool = True
    on_call: Callable[[], None] | None = None
    """What happens while a function runs."""
    done: list[tuple[object, ...]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def named(self, *names: str) -> list[tuple[object, ...]]:
        """What was done by these methods."""
        return [each for each in self.done if each[0] in names]

    def _do(self, name: str, *given: object) -> None:
        self.done.append((name, *given))
        if name in self.raises:
            raise self.raises[name]

    def _next(self, scripted: list[T]) -> T:
        with self._lock:
            return scripted[0] if len(scripted) == 1 else scripted.pop(0)

    def alive(self) -> bool:
        return self.living

    def deployed(self) -> Deployed:
        return self.schema

    def reset_data(self, now: float | None = None) -> None:
        self._do("reset_data", now)

    def allow_origins(self, origins: Sequence[str]) -> None:
        self._do("allow_origins", list(origins))

    def set_environment(self, changes: Mapping[str, str | None]) -> None:
        self._do("set_environment", dict(changes))

    def call(
        self,
        kind: str,
        path: str,
        args: Mapping[str, JsonValue],
        *,
        identity: Mapping[str, JsonValue] | None = None,
        admin: bool = False,
    ) -> FunctionResult:
        self._do("call", kind, path, dict(args), identity, admin)
        if path in self.raises:
            raise self.raises[path]
        if self.on_call is not None:
            self.on_call()
        return self._next(self.results.get(path, [FunctionResult()]))

    def http(
        self, method: str, path: str, headers: Mapping[str, str], body: str | bytes | None
    ) -> HttpAnswer:
        self._do("http", method, path, dict(headers), body)
        return self._next(self.answers)

    def fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: str | bytes | None
    ) -> HttpAnswer:
        self._do("fetch", method, url, dict(headers), body)
        return self._next(self.answers)

    def insert(self, table: str, documents: Sequence[Mapping[str, JsonValue]]) -> list[str]:
        self._do("insert", table, list(documents))
        return [f"{table}{number}" for number in range(len(documents))]

    def delete(self, ids: Sequence[str]) -> None:
        self._do("delete", list(ids))

    def documents(self, table: str) -> list[dict[str, JsonValue]]:
        self._do("documents", table)
        return self.tables.get(table, [])

    def advance(self, seconds: float) -> list[str]:
        self._do("advance", seconds)
        return self.scheduled


@pytest.fixture
def scripted() -> ScriptedDeployment:
    return ScriptedDeployment()


TakeScripted: TypeAlias = Callable[[object], list[BlockFailure]]


@pytest.fixture
def take_scripted(scripted: ScriptedDeployment) -> TakeScripted:
    """Takes blocks, or the steps of one, on the scripted deployment, without a limit on time."""

    def run(data: object) -> list[BlockFailure]:
        assert isinstance(data, list)
        if "steps" not in data[0] or "name" not in data[0]:
            data = [{"name": "a block", "steps": data}]
        blocks = _BLOCKS.validate_python(data)
        return list(run_blocks(cast(Deployment, scripted), blocks, ENVIRONMENT, 1e9))

    return run
