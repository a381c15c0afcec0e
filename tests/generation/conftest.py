"""The real provider, for the local Messages API, and a request to ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.provider import Gate, Request
from pytest_convex_eval.generation.retries import RetryPolicy

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer


@pytest.fixture(scope="session")
def sdk() -> None:
    """The SDK is imported: that takes a second or ten, which are no deadline's."""
    for module in ("anthropic", "anthropic.types", "anthropic.types.messages"):
        import_module(module)


@pytest.fixture
def provider(sdk: None, server: MessagesServer) -> Iterator[AnthropicProvider]:
    """The real provider, asking the local server, with pauses too short to notice."""
    policy = RetryPolicy(attempts=3, first_pause=0.01, longest_pause=0.02)
    with AnthropicProvider("sk-ant-test-key", base_url=server.url, policy=policy) as made:
        yield made


@pytest.fixture
def gated(sdk: None, server: MessagesServer) -> Iterator[Callable[..., AnthropicProvider]]:
    """Makes providers that ask the local server through the gates given."""
    made: list[AnthropicProvider] = []

    def make(*gates: Gate, attempts: int = 6, refused: float = 600.0) -> AnthropicProvider:
        policy = RetryPolicy(attempts, first_pause=0.01, longest_pause=0.05, refused=refused)
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
