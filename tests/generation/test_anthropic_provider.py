"""The real SDK against a local Messages API."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider, RetryPolicy
from pytest_convex_eval.generation.provider import Generation, ProviderError, Request, Turn
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]


def ask(provider: AnthropicProvider, request: Request, seconds: float = 5.0) -> Generation:
    return provider.generate(request, deadline_seconds=seconds)


def test_a_reply_is_kept_with_its_text_alone_and_its_usage_unchanged(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(text="naïve 🦀 text\r\n", thinking="hm")]
    generation = ask(provider, make_request())
    assert generation.text == "naïve 🦀 text\r\n"
    assert generation.stop_reason == "end_turn"
    assert generation.answered_by == "claude-sonnet-5-5"
    assert generation.request_id == "req_stream"
    assert generation.sdk_version is not None
    assert generation.sdk_version.startswith("anthropic 2.")
    assert generation.usage["input_tokens"] == 25
    assert generation.usage["cache_read_input_tokens"] == 1000
    assert generation.usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 0,
    }
    assert generation.usage["output_tokens"] == 4
    assert [attempt.outcome for attempt in generation.attempts] == ["ok"]


def test_the_request_has_a_cached_system_block_and_nothing_that_the_api_refuses(
    server: MessagesServer, provider: AnthropicProvider
) -> None:
    turns = (Turn("user", "first"), Turn("assistant", "answer"))
    ask(provider, Request("claude-opus-5-5", "rules", "again", 64_000, turns, effort="low"))
    (received,) = server.requests
    assert received.headers["authorization"] == "Bearer sk-ant-test-key"
    assert received.headers["anthropic-version"] == "2026-10-21"
    assert received.body == {
        "model": "claude-opus-5-5",
        "max_tokens": 64_000,
        "stream": True,
        "system": [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": "again"},
        ],
        "output_config": {"effort": "low"},
    }


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
def test_a_refusal_or_a_reply_cut_off_is_a_generation_and_is_not_asked_for_again(
    reason: str,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    details = {"category": "cyber"} if reason == "refusal" else None
    server.queue = [script(text="", stop_reason=reason, stop_details=details, output_tokens=7)]
    generation = ask(provider, make_request())
    assert (generation.text, generation.stop_reason) == ("", reason)
    assert generation.stop_details == details
    assert len(server.requests) == 1


def test_a_refusal_without_any_output_is_no_trouble(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(text="", stop_reason="refusal", output_tokens=0)]
    assert ask(provider, make_request()).stop_reason == "refusal"


def test_a_deprecated_model_warns_nobody(
    server: MessagesServer, provider: AnthropicProvider, make_request: MakeRequest
) -> None:
    assert ask(provider, make_request(model="claude-sonnet-4-5")).text == "hello"


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        ({"status": 408, "error_type": "timeout_error"}, "timeout_error"),
        ({"status": 429, "error_type": "rate_limit_error"}, "rate_limit_error"),
        ({"status": 500}, "api_error"),
        ({"status": 503, "error_type": "api_error"}, "api_error"),
        ({"status": 529, "error_type": "overloaded_error"}, "overloaded_error"),
        ({"ending": "error", "error_type": "overloaded_error"}, "overloaded_error"),
        ({"ending": "drop"}, "connection"),
        ({"ending": "cut"}, "truncated"),
        ({"ending": "stall"}, "timeout"),
        ({"text": "", "output_tokens": 0}, "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_trouble_of_the_provider_is_recorded_and_asked_over(
    trouble: dict[str, object],
    outcome: str,
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(**{"text": "a long text"} | trouble)]
    generation = ask(provider, make_request())
    assert generation.text == "hello"
    assert [attempt.outcome for attempt in generation.attempts] == [outcome, "ok"]
    assert generation.attempts[0].waited_seconds > 0


def test_trouble_that_does_not_pass_is_a_provider_error_with_every_attempt(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(status=529, error_type="overloaded_error", message="Overloaded, sorry")
    with pytest.raises(ProviderError, match="Overloaded, sorry") as caught:
        ask(provider, make_request())
    assert isinstance(caught.value, InfrastructureError)
    assert [attempt.status for attempt in caught.value.attempts] == [529, 529, 529]
    assert caught.value.attempts[-1].request_id == "req_error"
    assert caught.value.detail.count("Overloaded") == 3
    assert len(server.requests) == 3


def test_retry_after_is_obeyed_and_capped(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest
) -> None:
    limited = {"status": 429, "error_type": "rate_limit_error"}
    server.queue = [
        script(**limited, headers={"retry-after": "2"}),
        script(**limited, headers={"retry-after": "86400"}),
        script(**limited, headers={"retry-after-ms": "1500", "retry-after": "9"}),
        script(**limited),
    ]
    pauses: list[float] = []
    policy = RetryPolicy(first_pause=1.0, longest_pause=3.0, longest_retry_after=60.0)
    with AnthropicProvider(
        "key", base_url=server.url, policy=policy, sleep=pauses.append
    ) as provider:
        generation = ask(provider, make_request(), seconds=600)
    assert pauses[:3] == [2.0, 60.0, 1.5]
    assert 1.5 <= pauses[3] <= 3.0
    assert [round(attempt.waited_seconds, 1) for attempt in generation.attempts[:3]] == [2, 60, 1.5]


def test_nothing_but_refusals_for_a_time_is_a_quota_that_is_used_up(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest
) -> None:
    server.default = script(status=429, error_type="rate_limit_error", message="come tomorrow")
    policy = RetryPolicy(attempts=2, first_pause=0.05, longest_pause=0.05, refused=0.3)
    with (
        AnthropicProvider("key", base_url=server.url, policy=policy) as provider,
        pytest.raises(ProviderError, match="come tomorrow") as caught,
    ):
        ask(provider, make_request(), seconds=60)
    assert len(caught.value.attempts) > 3


def test_a_pause_that_would_outlast_the_deadline_is_not_waited_for(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(
        status=429, error_type="rate_limit_error", headers={"retry-after": "30"}
    )
    began = time.monotonic()
    with pytest.raises(ProviderError):
        ask(provider, make_request())
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("ending", ["pings", "stall"])
def test_a_stream_that_goes_on_for_ever_ends_at_the_deadline(
    ending: str,
    server: MessagesServer,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(text="some longer text", ending=ending)
    began = time.monotonic()
    with (
        AnthropicProvider("key", base_url=server.url) as provider,
        pytest.raises(ProviderError) as caught,
    ):
        ask(provider, make_request(), seconds=0.5)
    assert time.monotonic() - began < 2
    assert caught.value.attempts[0].outcome == {"pings": "deadline", "stall": "timeout"}[ending]


def test_a_slow_stream_is_waited_for(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(text="slowly told", pause=0.1)]
    assert ask(provider, make_request()).text == "slowly told"


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 400, "error_type": "invalid_request_error"},
        {"status": 401, "error_type": "authentication_error"},
        {"status": 402, "error_type": "billing_error"},
        {"status": 403, "error_type": "permission_error"},
        {"status": 404, "error_type": "not_found_error"},
        {
            "status": 429,
            "error_type": "rate_limit_error",
            "error_code": "enforced_spend_limit_reached",
        },
        {"ending": "error", "error_type": "authentication_error"},
    ],
    ids=lambda trouble: f"{trouble.get('status', 200)}-{trouble['error_type']}",
)
def test_what_only_a_person_can_change_stops_at_the_first_attempt(
    trouble: dict[str, object],
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(message="the provider's own words", **trouble)
    with pytest.raises(ConfigurationError, match="the provider's own words"):
        ask(provider, make_request())
    assert len(server.requests) == 1


def test_a_request_too_large_blames_neither_the_key_nor_the_network(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.default = script(status=413, error_type="invalid_request_error")
    with pytest.raises(ProviderError):
        ask(provider, make_request())
    assert len(server.requests) == 1


def test_an_unreachable_provider_is_a_provider_error(make_request: MakeRequest) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        policy = RetryPolicy(attempts=2, first_pause=0.01)
        with (
            AnthropicProvider("key", base_url=url, policy=policy) as provider,
            pytest.raises(ProviderError) as caught,
        ):
            ask(provider, make_request())
    assert [attempt.outcome for attempt in caught.value.attempts] == ["connection", "connection"]


def test_the_key_never_stands_in_a_message(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(status=500, message="you sent sk-ant-test-key")]
    generation = ask(provider, make_request())
    assert generation.attempts[0].message == "you sent [redacted]"


def test_lone_surrogates_of_a_reply_are_replaced(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(text="a\ud800b")]
    assert ask(provider, make_request()).text == "a\ufffdb"


def test_threads_share_a_provider(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.rules = [script(contains=f"task {n}.", text=f"reply {n}") for n in range(8)]
    replies: dict[int, str] = {}

    def work(number: int) -> None:
        replies[number] = ask(provider, make_request(user=f"task {number}.")).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == {number: f"reply {number}" for number in range(8)}


def test_a_generation_survives_json(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [
        script(status=529, error_type="overloaded_error"),
        script(text="a\r\n\u2028b\n"),
    ]
    generation = ask(provider, make_request())
    again = Generation.from_json(json.loads(json.dumps(generation.to_json())))
    assert again == generation


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from pytest_convex_eval.generation.anthropic_provider import "
        "AnthropicProvider; AnthropicProvider('k'); print('anthropic' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "False"
