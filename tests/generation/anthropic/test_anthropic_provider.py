"""The real SDK against a local Messages API."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.provider import (
    AttemptEnd,
    Gate,
    Generation,
    GenerationCancelledError,
    ProviderError,
    Request,
    Turn,
)
from pytest_convex_eval.generation.retries import RetryPolicy
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]


def ask(provider: AnthropicProvider, request: Request, seconds: float = 600.0) -> Generation:
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
    assert generation.stop == Stop("stop", "end_turn")
    assert generation.answered_by == "claude-sonnet-5-5"
    assert generation.request_id == "req_stream"
    assert generation.sdk_version == f"anthropic {importlib.metadata.version('anthropic')}"
    assert generation.usage.told["input_tokens"] == 25
    assert generation.usage.told["cache_read_input_tokens"] == 1000
    assert generation.usage.told["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 0,
    }
    assert generation.usage.told["output_tokens"] == 4
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
    assert (generation.text, generation.stop.told) == ("", reason)
    assert generation.stop.category == (details or {}).get("category")
    assert len(server.requests) == 1


def test_a_refusal_without_any_output_is_no_trouble(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    server.queue = [script(text="", stop_reason="refusal", output_tokens=0)]
    assert ask(provider, make_request()).stop.reason == "refusal"


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
    sdk: None, server: MessagesServer, script: MakeScript, make_request: MakeRequest
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


class Clock:
    """Moves on by the pauses of a provider, and when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patient(
    sdk: None, server: MessagesServer, clock: Clock
) -> Iterator[Callable[..., AnthropicProvider]]:
    """Makes a provider that lives by the clock, from the fields of its policy."""
    made: list[AnthropicProvider] = []

    def make(*gates: Gate, **policy: Any) -> AnthropicProvider:
        made.append(
            AnthropicProvider(
                "key", base_url=server.url, policy=RetryPolicy(**policy), gates=gates,
                sleep=clock.sleep, clock=clock,
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for provider in made:
        provider.close()


def test_nothing_but_refusals_for_a_time_is_a_quota_that_is_used_up(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    server.default = script(
        status=429, error_type="rate_limit_error", message="come tomorrow",
        headers={"retry-after": "10"},
    )  # fmt: skip
    with pytest.raises(ProviderError, match="come tomorrow") as caught:
        ask(patient(attempts=2, refused=60.0), make_request(), seconds=6000)
    assert clock.pauses == [10.0] * 6
    assert len(caught.value.attempts) == 7


def test_an_answer_of_another_kind_ends_a_row_of_refusals(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    refusal = script(status=429, error_type="rate_limit_error", headers={"retry-after": "10"})
    server.queue = [*[refusal] * 6, script(status=500), *[refusal] * 6]
    generation = ask(patient(attempts=2, refused=60.0), make_request(), seconds=6000)
    assert generation.text == "hello"
    assert len(generation.attempts) == 14
    assert clock.pauses[:6] == clock.pauses[7:] == [10.0] * 6


def test_a_pause_grows_with_each_attempt_to_its_longest(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.75

    monkeypatch.setattr("random.uniform", uniform)
    server.default = script(status=500)
    with pytest.raises(ProviderError):
        ask(patient(attempts=6, first_pause=2.0, longest_pause=20.0), make_request())
    assert clock.pauses == [1.5, 3.0, 6.0, 12.0, 15.0]
    assert set(drawn) == {(0.5, 1.0)}


def test_a_pause_that_would_outlast_the_deadline_is_not_waited_for(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    server.default = script(
        status=429, error_type="rate_limit_error", headers={"retry-after": "30"}
    )
    with pytest.raises(ProviderError, match=r"in 2 attempts within 60 s: scripted") as caught:
        ask(patient(), make_request(), seconds=60)
    assert clock.pauses == [30.0]
    assert [attempt.waited_seconds for attempt in caught.value.attempts] == [30.0, 0.0]


class Told:
    """A gate that notes what it is told; something may happen when a reply begins."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.noted: list[str | AttemptEnd] = []
        self._then = then

    def enter(self, request: Request, *, deadline: float) -> Told:
        self.noted.append(f"enter {request.user} by {deadline:g}")
        return self

    def sleep(self, seconds: float) -> None:
        self.noted.append("sleep")

    def answering(self) -> None:
        self.noted.append("answering")
        self._then()

    def leave(self, end: AttemptEnd) -> None:
        self.noted.append(end)


def test_a_stream_that_only_pings_ends_at_the_deadline(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    server.default = script(text="some longer text", ending="pings")
    gate = Told(then=lambda: clock.sleep(60.0))
    with pytest.raises(ProviderError, match="took too long") as caught:
        ask(patient(gate), make_request(), seconds=60)
    assert [(one.outcome, one.seconds) for one in caught.value.attempts] == [("deadline", 60.0)]
    assert len(server.requests) == 1


def test_the_time_of_an_attempt_is_its_own(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    server.queue = [script(ending="cut", text="a long text", headers={"retry-after": "7"})]
    gate = Told(then=lambda: clock.sleep(2.5))
    generation = ask(patient(gate), make_request(), seconds=60)
    assert [(one.seconds, one.waited_seconds) for one in generation.attempts] == [
        (2.5, 7.0), (2.5, 0.0),
    ]  # fmt: skip
    assert generation.seconds == 2.5
    assert generation.started == generation.attempts[1].started >= generation.attempts[0].started
    assert generation.finished >= generation.started


@pytest.mark.parametrize("policy", [{"read": 0.2}, {}])
def test_a_silent_stream_ends_after_the_longest_silence_or_at_the_deadline(
    policy: dict[str, float], sdk: None, server: MessagesServer, script: MakeScript,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    server.default = script(text="some longer text", ending="stall")
    patience = RetryPolicy(attempts=1, **policy)
    with (
        AnthropicProvider("key", base_url=server.url, policy=patience) as provider,
        pytest.raises(ProviderError) as caught,
    ):
        ask(provider, make_request(), seconds=600 if policy else 0.2)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["timeout"]


def test_the_gates_are_told_of_every_attempt(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest, clock: Clock,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    server.queue = [
        script(status=429, error_type="rate_limit_error", headers={"retry-after": "7"}),
        script(status=500),
        script(ending="cut", text="a long text"),
        script(output_tokens=9),
    ]
    outer, inner = Told(), Told()
    generation = ask(patient(outer, inner, first_pause=1e-9), make_request(), seconds=60)
    assert outer.noted == inner.noted
    assert [note for note in outer.noted if isinstance(note, AttemptEnd)] == [
        AttemptEnd("refused", retry_after=7.0),
        AttemptEnd("trouble"),
        AttemptEnd("trouble", billed=True),
        AttemptEnd(
            "answered", billed=True, answered_by="claude-sonnet-5-5", usage=generation.usage
        ),
    ]
    assert [note if isinstance(note, str) else "leave" for note in outer.noted] == [
        *["enter a task by 1060", "leave"] * 2,
        *["enter a task by 1060", "answering", "leave"] * 2,
    ]


def test_what_only_a_person_can_change_is_told_to_the_gates_as_final(
    server: MessagesServer, script: MakeScript, make_request: MakeRequest,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    server.default = script(status=401, error_type="authentication_error")
    gate = Told()
    with pytest.raises(
        ConfigurationError,
        match=r"^claude-sonnet-5-5 can't be asked: scripted trouble "
        r"\(authentication_error, HTTP 401, request req_error\)$",
    ):
        ask(patient(gate), make_request())
    assert gate.noted[-1] == AttemptEnd("trouble", final=True)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (TimeoutError("no room"), ProviderError),
        (GenerationCancelledError("the run was interrupted"), GenerationCancelledError),
    ],
)
def test_a_gate_that_lets_nobody_pass_is_left_by_those_who_had_passed_others(
    error: Exception, raised: type[Exception], server: MessagesServer, make_request: MakeRequest,
    patient: Callable[..., AnthropicProvider],
) -> None:  # fmt: skip
    class Closed(Told):
        def enter(self, request: Request, *, deadline: float) -> Told:
            raise error

    gate = Told()
    with pytest.raises(raised) as caught:
        ask(patient(gate, Closed()), make_request(), seconds=60)
    assert gate.noted == ["enter a task by 1060", AttemptEnd("trouble")]
    attempts = caught.value.attempts if isinstance(caught.value, ProviderError) else ()
    assert [(one.outcome, one.message) for one in attempts] == (
        [("deadline", "waited for its turn: no room")] if raised is ProviderError else []
    )
    assert server.requests == []


def test_pauses_are_the_last_gates_unless_told_otherwise(
    sdk: None, server: MessagesServer, script: MakeScript, make_request: MakeRequest
) -> None:
    server.queue = [script(status=500)]
    outer, inner = Told(), Told()
    with AnthropicProvider("key", base_url=server.url, gates=[outer, inner]) as provider:
        ask(provider, make_request())
    assert "sleep" in inner.noted
    assert "sleep" not in outer.noted


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


def test_an_unreachable_provider_is_a_provider_error(sdk: None, make_request: MakeRequest) -> None:
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


def test_lone_surrogates_of_a_reply_are_kept_and_halves_that_meet_are_one_character(
    server: MessagesServer,
    provider: AnthropicProvider,
    script: MakeScript,
    make_request: MakeRequest,
) -> None:
    # The server sends four pieces, so the pair comes in two.
    server.queue = [script(text="ab\ud800cd\ud83e\udd80!")]
    assert ask(provider, make_request()).text == "ab\ud800cd🦀!"


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
        "import sys; from pytest_convex_eval.generation.anthropic.provider import "
        "AnthropicProvider; AnthropicProvider('k'); print('anthropic' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "False"
