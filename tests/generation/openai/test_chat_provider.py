"""The real SDK against a local endpoint of Chat Completions."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.openai.chat_api import Dialect
from pytest_convex_eval.generation.openai.provider import ChatProvider
from pytest_convex_eval.generation.provider import Generation, ProviderError, Request
from pytest_convex_eval.generation.usage import Stop, Tokens
from pytest_convex_eval.outcomes import ConfigurationError

if TYPE_CHECKING:
    from tests.generation.messages_server import ChatServer, Script

MakeScript = Callable[..., "Script"]
AskWith = Callable[..., ChatProvider]
REQUEST = Request("openai/m", "rules", "a task", 900, model_id="m")
LONG = "a text of some length, so that it breaks off in the middle"
PAGE = "<html><body>Bad gateway: try again later.</body></html>"


def ask(provider: ChatProvider, seconds: float = 600.0) -> Generation:
    return provider.generate(REQUEST, deadline_seconds=seconds)


def test_a_reply_is_kept_with_its_text_its_counts_and_who_gave_it(
    chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    chat_server.queue = [script(text="naïve 🦀 text\r\n", thinking="hm", output_tokens=4)]
    generation = ask(ask_with())
    assert generation.text == "naïve 🦀 text\r\n"
    assert generation.stop == Stop("stop", "stop")
    assert generation.answered_by == "openai/m", "as prices name it"
    assert generation.request_id == "req_stream"
    assert generation.sdk_version == f"openai {importlib.metadata.version('openai')}"
    assert generation.usage.tokens == Tokens(25, 0, 0, 1000, 4)
    assert generation.usage.usd is None
    assert [attempt.outcome for attempt in generation.attempts] == ["ok"]
    (received,) = chat_server.requests
    assert received.headers["authorization"] == "Bearer sk-test-key"
    assert received.body["model"] == "m"


def test_a_router_is_asked_what_a_reply_cost(
    chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    chat_server.queue = [script(output_tokens=75)]
    generation = ask(ask_with(Dialect(reasoning=True, tells_cost=True)))
    assert generation.usage.usd == pytest.approx(2.5e-6 * 1100)


def test_an_endpoint_that_counts_nothing_leaves_it_unknown(
    chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    chat_server.queue = [script(counts=False)]
    generation = ask(ask_with())
    assert (generation.text, generation.usage.tokens, generation.usage.usd) == ("hello", None, None)


def test_organizations_and_keys_of_the_environment_are_for_openai_alone(
    chat_server: ChatServer, ask_with: AskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    ask(ask_with(key=""))
    (received,) = chat_server.requests
    assert "secret" not in str(received.headers)
    assert received.headers["authorization"] == "Bearer none"


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        ({"status": 408, "error_type": "timeout"}, "timeout"),
        ({"status": 409, "error_type": "conflict"}, "conflict"),
        ({"status": 429, "error_type": "rate_limit_exceeded"}, "rate_limit_exceeded"),
        ({"status": 429, "error_code": 429, "error_type": None}, "http_429"),
        ({"status": 500, "error_type": "server_error"}, "server_error"),
        ({"status": 502, "error_code": 502, "error_type": None}, "http_502"),
        ({"status": 503, "error_type": None}, "http_503"),
        ({"status": 504, "raw": PAGE}, "http_504"),
        ({"status": 529, "error_type": "overloaded"}, "overloaded"),
        ({"raw": PAGE}, "truncated"),
        ({"ending": "error", "error_type": "server_error"}, "server_error"),
        ({"ending": "error", "error_code": 502, "error_type": None}, "http_502"),
        ({"ending": "error", "error_code": "429", "error_type": None}, "429"),
        ({"ending": "drop"}, "connection"),
        ({"ending": "noise"}, "connection"),
        ({"ending": "hangup"}, "connection"),
        ({"ending": "cut"}, "truncated"),
        ({"ending": "garbage"}, "protocol"),
        ({"stop_reason": "error"}, "error"),
        ({"text": "", "output_tokens": 0}, "empty"),
        ({"text": "", "counts": False}, "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_trouble_of_the_endpoint_is_recorded_and_asked_over(
    trouble: dict[str, object], outcome: str, chat_server: ChatServer, ask_with: AskWith,
    script: MakeScript,
) -> None:  # fmt: skip
    chat_server.queue = [script(**{"text": LONG} | trouble)]
    generation = ask(ask_with())
    assert generation.text == "hello"
    assert [attempt.outcome for attempt in generation.attempts] == [outcome, "ok"]
    assert generation.attempts[0].waited_seconds > 0


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 400, "error_type": "invalid_request_error"},
        {"status": 401, "error_type": "invalid_request_error", "error_code": "invalid_api_key"},
        {"status": 402, "error_code": 402, "error_type": None},
        {"status": 403, "error_type": "permission_error"},
        {"status": 404, "error_type": "invalid_request_error", "error_code": "model_not_found"},
        {"status": 405, "raw": PAGE},
        {"status": 422, "error_type": None},
        {"status": 429, "error_type": "insufficient_quota", "error_code": "insufficient_quota"},
        {"status": 429, "error_type": "requests", "error_code": "billing_hard_limit_reached"},
        {"ending": "error", "error_type": "authentication_error"},
        {"ending": "error", "error_code": 402, "error_type": None},
        {"ending": "error", "error_code": "insufficient_quota"},
    ],
    ids=str,
)
def test_what_only_a_person_can_change_stops_at_the_first_attempt(
    trouble: dict[str, object], chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    words = "Bad gateway" if "raw" in trouble else "the endpoint's own words"
    chat_server.default = script(message="the endpoint's own words", **{"text": LONG} | trouble)
    with pytest.raises(ConfigurationError, match=f"^openai/m can't be asked: .*{words}"):
        ask(ask_with())
    assert len(chat_server.requests) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 413, "error_type": "too_large"},
        {"status": 400, "error_type": "invalid_request_error",
         "error_code": "context_length_exceeded"},
        {"status": 400, "error_type": "invalid_request_error", "error_code": "invalid_prompt"},
        {"status": 400, "error_type": None, "error_code": "content_filter"},
        {"status": 403, "error_code": 403, "error_type": None,
         "error_metadata": {"reasons": ["violence"], "flagged_input": "…"}},
        {"ending": "error", "error_code": "context_length_exceeded"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_of_one_prompt_ends_neither_the_run_nor_blames_the_model(
    trouble: dict[str, object], chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    chat_server.default = script(**{"text": LONG} | trouble)
    with pytest.raises(ProviderError, match="in 1 attempt"):
        ask(ask_with())
    assert len(chat_server.requests) == 1


@pytest.mark.parametrize(
    ("end", "stop"),
    [
        ({"stop_reason": "length"}, Stop("max_tokens", "length")),
        ({"text": "", "thinking": LONG, "stop_reason": "length", "output_tokens": 9},
         Stop("max_tokens", "length")),
        ({"text": "", "stop_reason": "content_filter", "output_tokens": 0},
         Stop("refusal", "content_filter", "content_filter")),
        ({"text": "", "refusal": "No.", "output_tokens": 2}, Stop("refusal", "stop")),
        ({"stop_reason": "tool_calls"}, Stop("unfinished", "tool_calls")),
        ({"stop_reason": "made_up"}, Stop("unknown", "made_up")),
        ({"text": "", "output_tokens": 3}, Stop("stop", "stop")),
    ],
)  # fmt: skip
def test_a_whole_reply_is_a_generation_whatever_it_is_worth(
    end: dict[str, object], stop: Stop, chat_server: ChatServer, ask_with: AskWith,
    script: MakeScript,
) -> None:  # fmt: skip
    chat_server.queue = [script(**end)]
    generation = ask(ask_with())
    assert generation.stop == stop
    assert len(chat_server.requests) == 1


def test_a_stream_that_is_only_kept_alive_ends_at_the_deadline(
    chat_server: ChatServer, chat_sdk: None, script: MakeScript
) -> None:
    chat_server.default = script(text=LONG, ending="pings")
    now = 1000.0

    class Begun:
        """Time passes when the reply begins."""

        def enter(self, request: Request, *, deadline: float) -> Begun:
            return self

        def sleep(self, seconds: float) -> None: ...

        def answering(self) -> None:
            nonlocal now
            now += 60.0

        def leave(self, end: object) -> None: ...

    with (
        ChatProvider(
            "sk-test-key", base_url=chat_server.url, gates=[Begun()], clock=lambda: now
        ) as provider,
        pytest.raises(ProviderError, match="took too long") as caught,
    ):
        ask(provider, 60.0)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["deadline"]
    assert len(chat_server.requests) == 1


def test_a_silent_stream_ends_after_the_longest_silence(
    chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    chat_server.default = script(text=LONG, ending="stall")
    with pytest.raises(ProviderError) as caught:
        ask(ask_with(attempts=1, read=0.2))
    assert [attempt.outcome for attempt in caught.value.attempts] == ["timeout"]


def test_an_unreachable_endpoint_is_a_provider_error(ask_with: AskWith) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ProviderError) as caught:
            ask(ask_with(url=url, attempts=2))
    assert [attempt.outcome for attempt in caught.value.attempts] == ["connection", "connection"]


def test_the_key_never_stands_in_a_message(
    chat_server: ChatServer, ask_with: AskWith, script: MakeScript
) -> None:
    chat_server.queue = [script(status=500, message="you sent sk-test-key")]
    generation = ask(ask_with())
    assert generation.attempts[0].message == "you sent [redacted]"


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from pytest_convex_eval.generation.openai.provider import ChatProvider; "
        "import pytest_convex_eval.plugin; ChatProvider('k'); print('openai' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "False"
