"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import hypothesis
import pytest

from pytest_convex_eval.cache import CACHE_VARIABLE, default_cache

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

# Two cores and many workers: how long an example takes says nothing.
hypothesis.settings.register_profile("local", deadline=None)
# A red run of CI must mean a changed behaviour; new examples are looked for by developers.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweeps",
        action="store_true",
        help="run also the tests marked `sweep`: over every reference, mutant and alternative",
    )
    parser.addoption(
        "--official-url",
        help="the deployment that the rows of tests/deployment/official are asked of, which is "
        "emptied for it; without: the embedded one",
    )
    parser.addoption(
        "--official-key",
        help="its admin key (or in the environment, as CONVEX_EVAL_ADMIN_KEY)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Not by `addopts`, whose `-m` is lost where somebody gives another.
    if config.getoption("--sweeps"):
        return
    sweeps = [item for item in items if item.get_closest_marker("sweep")]
    if sweeps:
        config.hook.pytest_deselected(items=sweeps)
        items[:] = [item for item in items if not item.get_closest_marker("sweep")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: some more than there are cores, since most of these tests wait for other
    processes."""
    cores = os.cpu_count() or 1
    told = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ
    return None if told else cores + min(cores, 4)


def pytest_configure(config: pytest.Config) -> None:
    # Unless told otherwise, a worker has tests that lie beside each other, and so share what is
    # made once for a module; one that is done takes from the others until nothing is left.
    if config.getoption("dist", "no") == "load":
        config.option.dist = "worksteal"


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> pytest.Pytester:
    """In the order that the items of inner runs have for users; pytest-randomly mixes ours up."""
    pytester.plugins.append("no:randomly")
    return pytester


@pytest.fixture(scope="session", autouse=True)
def one_toolchain() -> Iterator[None]:
    """pytester moves HOME; the tests still share the machine's one toolchain."""
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(default_cache())
    yield
    if before is None:
        del os.environ[CACHE_VARIABLE]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Tests send SIGINT to themselves and to what they start, where it has to arrive also when the
    shell that started pytest ignores it (`nohup pytest &`, some runners of CI)."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def messages_api() -> ModuleType:
    """The package `generation/messages_server`: `Script` and `MessagesServer`.

    Loaded by its path: where pytest imports by path too, no folder of the tests can be imported
    from.
    """
    folder = Path(__file__).parent / "generation" / "messages_server"
    spec = importlib.util.spec_from_file_location(
        "local_messages_server", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its own modules import each other by this name
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(messages_api: ModuleType) -> Callable[..., Script]:
    """A `Script`, from its fields."""
    make: Callable[..., Script] = messages_api.Script
    return make


@pytest.fixture
def server(messages_api: ModuleType) -> Iterator[MessagesServer]:
    """A running local Messages API."""
    with messages_api.MessagesServer() as running:
        yield running
