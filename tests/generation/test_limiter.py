"""The limiter, under real providers that ask a server with limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider
from pytest_convex_eval.generation.limiter import Limiter, LimiterPolicy
from pytest_convex_eval.generation.provider import (
    AttemptEnd,
    Generation,
    GenerationCancelledError,
    ProviderError,
    Request,
)

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]

ANSWERED = AttemptEnd("answered")
REFUSED = AttemptEnd("refused", retry_after=0.0)
TROUBLE = AttemptEnd("trouble")


def ask_all(
    provider: AnthropicProvider, requests: Sequence[Request], threads: int
) -> list[Generation]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda one: provider.generate(one, deadline_seconds=60), requests))


def far() -> float:
    return time.monotonic() + 60


def test_with_a_limit_a_minute_nothing_is_given_up_and_little_is_refused(
    server: MessagesServer, gated: Gated, script: MakeScript, make_request: MakeRequest
) -> None:
    # A minute of the provider is three seconds here, and it allows ten requests.
    window = 3.0
    server.rate = (10, window)
    server.default = script(latency=0.3)
    limiter = Limiter(16, LimiterPolicy(window=window, cooldown=0.75, unknown_pause=0.3))
    requests = [make_request(user=f"task {number}") for number in range(60)]
    generations = ask_all(gated(limiter), requests, 16)
    assert len(generations) == 60
    sums = server.sums
    began = sums.arrivals[0]
    later = [one for one in sums.arrivals if one - began > window]
    refused = [one for one in sums.refusals if one - began > window]
    assert len(later) > 35
    assert len(refused) <= 0.05 * len(later)
    # As fast as the limit allows: ten at once and ten a minute, with some room below it.
    assert sums.arrivals[-1] - began < 5 * window * 1.4


def test_a_refusals_pause_holds_for_everybody(make_request: MakeRequest) -> None:
    limiter = Limiter(8, LimiterPolicy(window=0.05))
    for user in ("warm", "refused"):
        passage = limiter.enter(make_request(user=user), deadline=far())
        end = ANSWERED if user == "warm" else AttemptEnd("refused", retry_after=0.3)
        passage.leave(end)
    began = time.monotonic()
    limiter.enter(make_request(), deadline=far()).leave(ANSWERED)
    assert 0.25 < time.monotonic() - began < 2.0
    assert limiter.state().refused == 1


def test_a_pause_is_capped(make_request: MakeRequest) -> None:
    limiter = Limiter(8, LimiterPolicy(window=0.05, longest_pause=0.1))
    passage = limiter.enter(make_request(), deadline=far())
    passage.leave(AttemptEnd("refused", retry_after=86_400.0))
    began = time.monotonic()
    limiter.enter(make_request(), deadline=far()).leave(ANSWERED)
    assert time.monotonic() - began < 2.0


def test_a_burst_of_refusals_is_one_episode(make_request: MakeRequest) -> None:
    limiter = Limiter(10)
    passages = [limiter.enter(make_request(system=""), deadline=far()) for _ in range(10)]
    for passage in passages:
        passage.leave(REFUSED)
    assert limiter.state().limit == 8
    assert limiter.state().refused == 10
    # Nothing was accepted, and so nothing is known of the rate.
    assert limiter.state().per_window is None


def test_what_was_accepted_is_taken_for_the_rate(make_request: MakeRequest) -> None:
    limiter = Limiter(16)
    passages = [limiter.enter(make_request(system=""), deadline=far()) for _ in range(16)]
    for passage in passages[:6]:
        passage.leave(REFUSED)
    assert limiter.state().per_window == pytest.approx(9.0)


def test_the_number_in_flight_doubles_until_a_refusal_and_then_grows_slowly(
    make_request: MakeRequest,
) -> None:
    policy = LimiterPolicy(start=2, window=0.001, cooldown=0.0)
    limiter = Limiter(64, policy)

    def round_trip(ends: Sequence[AttemptEnd]) -> int:
        passages = [limiter.enter(make_request(system=""), deadline=far()) for _ in ends]
        for passage, end in zip(passages, ends, strict=True):
            passage.leave(end)
        return limiter.state().limit

    assert [round_trip([ANSWERED] * 2), round_trip([ANSWERED] * 4)] == [4, 8]
    # Trouble that is no refusal: no growth, no shrinking.
    assert round_trip([ANSWERED] * 7 + [TROUBLE]) == 8
    assert round_trip([REFUSED]) == 6
    assert round_trip([ANSWERED] * 6) == 6
    assert round_trip([ANSWERED] * 6) == 7


def test_no_more_than_the_most_are_in_flight(
    server: MessagesServer, gated: Gated, script: MakeScript, make_request: MakeRequest
) -> None:
    server.default = script(latency=0.05)
    requests = [make_request(user=f"task {number}") for number in range(12)]
    ask_all(gated(Limiter(3)), requests, 12)
    assert server.sums.most_in_flight == 3


def test_one_request_of_each_prefix_goes_first_so_that_the_others_find_it_cached(
    server: MessagesServer, gated: Gated, script: MakeScript, make_request: MakeRequest
) -> None:
    server.caching = True
    server.default = script(latency=0.1, pause=0.05)
    requests = [
        make_request(user=f"task {number}", system=f"rules {arm}", model=model)
        for number in range(3)
        for arm in "ab"
        for model in ("claude-opus-5-5", "claude-sonnet-5-5")
    ]
    generations = ask_all(gated(Limiter(16)), requests, 16)
    assert server.sums.cache_writes == 4
    reads = [generation.usage["cache_read_input_tokens"] for generation in generations]
    assert sorted(map(str, reads)) == ["0"] * 4 + ["1000"] * 8
    # The others went on when the first began to answer, not when it ended.
    assert server.sums.most_in_flight > 8


def test_a_first_request_that_fails_lets_the_next_go_first(
    server: MessagesServer, gated: Gated, script: MakeScript, make_request: MakeRequest
) -> None:
    server.caching = True
    server.queue = [script(status=500)]
    provider = gated(Limiter(16), attempts=1)
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            outcomes.append(
                provider.generate(make_request(user=f"{number}"), deadline_seconds=9).text
            )
        except ProviderError:
            outcomes.append("failed")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["failed", "hello", "hello", "hello"]
    assert server.sums.cache_writes == 1


def test_who_can_not_pass_in_time_has_a_provider_error_with_the_reason(
    gated: Gated, make_request: MakeRequest
) -> None:
    limiter = Limiter(1)
    limiter.enter(make_request(), deadline=far())
    with pytest.raises(ProviderError, match="waited for its turn") as caught:
        gated(limiter).generate(make_request(), deadline_seconds=0.1)
    assert caught.value.attempts[-1].outcome == "deadline"


def test_cancelling_ends_waits_and_pauses_at_once(make_request: MakeRequest) -> None:
    limiter = Limiter(1)
    limiter.enter(make_request(), deadline=far())
    ended: list[float] = []

    def wait(action: Callable[[], object]) -> None:
        with pytest.raises(GenerationCancelledError):
            action()
        ended.append(time.monotonic())

    threads = [
        threading.Thread(target=wait, args=(lambda: limiter.sleep(60),)),
        threading.Thread(
            target=wait, args=(lambda: limiter.enter(make_request(), deadline=far()),)
        ),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    began = time.monotonic()
    limiter.cancel()
    for thread in threads:
        thread.join()
    assert max(ended) - began < 0.5
    with pytest.raises(GenerationCancelledError):
        limiter.enter(make_request(), deadline=far())


def test_requests_are_refused_for_the_rate_until_the_deadline_and_not_counted(
    server: MessagesServer, gated: Gated, script: MakeScript, make_request: MakeRequest
) -> None:
    refusal = script(status=429, error_type="rate_limit_error", headers={"retry-after": "0.01"})
    server.queue = [refusal] * 10
    limiter = Limiter(4, LimiterPolicy(window=0.01))
    generation = gated(limiter, attempts=2).generate(make_request(), deadline_seconds=30)
    assert [attempt.outcome for attempt in generation.attempts] == ["rate_limit_error"] * 10 + [
        "ok"
    ]


def test_nobody_asks_after_a_request_that_only_a_person_can_give_a_chance(
    make_request: MakeRequest,
) -> None:
    limiter = Limiter(1)
    passage = limiter.enter(make_request(), deadline=far())
    passage.leave(AttemptEnd("trouble", final=True))
    with pytest.raises(GenerationCancelledError):
        limiter.enter(make_request(), deadline=far())
