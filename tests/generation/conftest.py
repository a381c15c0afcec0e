"""The local Messages API, and a request to ask it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider, RetryPolicy
from pytest_convex_eval.generation.provider import Gate, Request

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script


@pytest.fixture(scope="session")
def messages_api() -> ModuleType:
    """`messages_server.py` as a module: `Script` and `MessagesServer`."""
    path = Path(__file__).with_name("messages_server.py")
    spec = importlib.util.spec_from_file_location("generation_messages_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
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


@pytest.fixture
def provider(server: MessagesServer) -> Iterator[AnthropicProvider]:
    """The real provider, asking the local server, with pauses too short to notice."""
    policy = RetryPolicy(attempts=3, first_pause=0.01, longest_pause=0.02, connect=2.0, read=0.4)
    with AnthropicProvider("sk-ant-test-key", base_url=server.url, policy=policy) as made:
        yield made


@pytest.fixture
def gated(server: MessagesServer) -> Iterator[Callable[..., AnthropicProvider]]:
    """Makes providers that ask the local server through the gates given."""
    made: list[AnthropicProvider] = []

    def make(*gates: Gate, attempts: int = 6, read: float = 5.0) -> AnthropicProvider:
        policy = RetryPolicy(
            attempts=attempts, first_pause=0.01, longest_pause=0.05, connect=2.0, read=read
        )
        made.append(
            AnthropicProvider("sk-ant-test-key", base_url=server.url, policy=policy, gates=gates)
        )
        return made[-1]

    yield make
    for provider in made:
        provider.close()


@pytest.fixture
def make_request() -> Callable[..., Request]:
    """A request; keywords replace its fields."""

    def make(
        model: str = "claude-sonnet-5-5",
        user: str = "a task",
        max_tokens: int = 64_000,
        system: str = "rules",
    ) -> Request:
        return Request(model=model, system=system, user=user, max_tokens=max_tokens)

    return make
