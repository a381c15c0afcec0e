"""The real SDK for the local Chat Completions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.openai.chat_api import Dialect
from pytest_convex_eval.generation.openai.provider import ChatProvider
from pytest_convex_eval.generation.retries import RetryPolicy

if TYPE_CHECKING:
    from tests.generation.messages_server import ChatServer


@pytest.fixture(scope="session")
def chat_sdk() -> None:
    """The SDK is imported: that takes a second or ten, which are no deadline's."""
    for module in ("openai", "openai.types.chat", "openai.resources.chat"):
        import_module(module)


@pytest.fixture
def chat_server(messages_api: ModuleType) -> Iterator[ChatServer]:
    """A running local endpoint of Chat Completions."""
    with messages_api.ChatServer() as running:
        yield running


@pytest.fixture
def ask_with(chat_sdk: None, chat_server: ChatServer) -> Iterator[Callable[..., ChatProvider]]:
    """Makes providers that ask the local server, with pauses too short to notice."""
    made: list[ChatProvider] = []

    def make(
        dialect: Dialect | None = None, *, key: str = "sk-test-key", prefix: str = "openai/",
        url: str | None = None, **policy: float,
    ) -> ChatProvider:  # fmt: skip
        chosen = RetryPolicy(
            **{"attempts": 3, "first_pause": 0.01, "longest_pause": 0.02, **policy}  # type: ignore[arg-type]
        )
        made.append(
            ChatProvider(
                key, base_url=url or chat_server.url, dialect=dialect, prefix=prefix, policy=chosen
            )
        )
        return made[-1]

    yield make
    for provider in made:
        provider.close()
