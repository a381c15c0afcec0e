"""The limiter: what it decides, by a clock of the tests, and under real providers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.ahead.limiter import Limiter, LimiterPolicy, LimiterState
from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.provider import (
    AttemptEnd,
    Generation,
    GenerationCancelledError,
    Passage,
    ProviderError,
    Request,
)
from tests.patience import HANG_SECONDS, until

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]

ANSWERED = AttemptEnd("answered")
REFUSED = AttemptEnd("refused", retry_after=0.0)
TROUBLE = AttemptEnd("trouble")
LONG = HANG_SECONDS
"""Seconds that only a broken limiter takes."""

_TICK = 1e-6


class Clock:
    """Moves on when a test says so, and by next to nothing when it is looked at."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += _TICK
        return self.now


class Asking:
    """Requests to a limiter under a clock, without a system text unless one is given."""

    def __init__(self, most: int = 100, policy: LimiterPolicy | None = None) -> None:
        self.clock = Clock()
        self.limiter = Limiter(most, policy, clock=self.clock)

    def passes(self, system: str = "", model: str = "m") -> Passage | None:
        """The passage of a request that may be made now."""
        try:
            return self.limiter.enter(
                Request(model, system, "task", 1), deadline=self.clock.now + 3 * _TICK
            )
        except TimeoutError:
            return None

    def enter(self, count: int = 1) -> list[Passage]:
        """As many requests at once, all of which may be made."""
        passages = [self.passes() for _ in range(count)]
        assert None not in passages
        return [passage for passage in passages if passage is not None]

    def end(self, *ends: AttemptEnd) -> LimiterState:
        """As many requests at once, ended in this way."""
        for passage, end in zip(self.enter(len(ends)), ends, strict=True):
            passage.leave(end)
        return self.state

    @property
    def state(self) -> LimiterState:
        return self.limiter.state()

    def pause(self) -> float:
        """Seconds until the next request may be made, which then is answered."""
        before = self.clock.now
        while (passage := self.passes()) is None:
            self.clock.now += 0.1
            assert self.clock.now < before + LONG
        passage.leave(ANSWERED)
        return self.clock.now - before


def refused(seconds: float | None = 0.0) -> AttemptEnd:
    return AttemptEnd("refused", retry_after=seconds)


def ask_all(
    provider: AnthropicProvider, requests: Sequence[Request], threads: int
) -> list[Generation]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda one: provider.generate(one, deadline_seconds=LONG), requests))


def far() -> float:
    return time.monotonic() + LONG


def joined(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(HANG_SECONDS)
        assert not thread.is_alive()


# How many, and how fast


def test_with_a_limit_a_minute_nothing_is_given_up_and_little_is_refused(
    messages_api: ModuleType,
) -> None:
    """Sixty requests, each answered in six seconds, of a provider that allows ten a minute."""
    asking = Asking(most=16)
    clock, window = asking.clock, 60.0
    limit = messages_api.RateLimit(10, window)
    began = clock.now
    on_their_way: list[tuple[float, Passage]] = []
    arrivals: list[float] = []
    refusals: list[float] = []
    answered = 0
    while answered < 60:
        clock.now += 0.25
        for ends, passage in [one for one in on_their_way if one[0] <= clock.now]:
            passage.leave(ANSWERED)
            on_their_way.remove((ends, passage))
            answered += 1
        while answered + len(on_their_way) < 60 and (entered := asking.passes()) is not None:
            arrivals.append(clock.now)
            wait = limit.wait(clock.now)
            if wait is None:
                on_their_way.append((clock.now + 6.0, entered))
            else:
                refusals.append(clock.now)
                entered.leave(refused(wait))
        assert clock.now - began < 60 * window
    later = [one for one in arrivals if one - began > window]
    assert len(later) > 35
    assert refusals
    assert len([one for one in refusals if one - began > window]) <= 0.05 * len(later)
    # As fast as the limit allows: ten at once and ten a minute, with some room below it.
    assert arrivals[-1] - began < 5 * window * 1.4


def test_one_request_may_always_be_made() -> None:
    asking = Asking(most=0)
    assert asking.state.limit == 1
    asking.enter()
    assert asking.passes() is None


def test_a_process_begins_with_what_the_policy_says_and_no_more_than_the_most() -> None:
    assert Asking(most=100).state == LimiterState(0, 20, None, 0, 0.0)
    asking = Asking(most=3)
    passages = asking.enter(3)
    assert asking.state == LimiterState(3, 3, None, 0, 0.0)
    assert asking.passes() is None
    passages[1].leave(TROUBLE)
    assert asking.state.in_flight == 2
    asking.enter()
    assert asking.passes() is None


def test_the_number_in_flight_doubles_until_a_refusal_and_then_grows_slowly() -> None:
    asking = Asking(64, LimiterPolicy(start=2, evidence=1000, cooldown=0.0))

    def round_trip(*ends: AttemptEnd) -> int:
        limit = asking.end(*ends).limit
        asking.clock.now += 1.0
        return limit

    assert [round_trip(*[ANSWERED] * 2), round_trip(*[ANSWERED] * 4)] == [4, 8]
    # Trouble that is no refusal: no growth, no shrinking.
    assert round_trip(*[ANSWERED] * 7, TROUBLE) == 8
    # What was answered before a refusal counts for nothing either.
    assert round_trip(*[ANSWERED] * 7, REFUSED) == 6
    assert [round_trip(*[ANSWERED] * 6), round_trip(*[ANSWERED] * 6)] == [6, 7]
    assert [round_trip(REFUSED) for _ in range(9)] == [5, 4, 3, 2, 2, 1, 1, 1, 1]
    # Never below one, so that it can grow again: 1.05 ** 15 is more than two.
    assert [round_trip(ANSWERED) for _ in range(15)] == [1] * 14 + [2]


def test_the_number_in_flight_never_exceeds_the_most() -> None:
    asking = Asking(7, LimiterPolicy(start=4))
    assert asking.end(*[ANSWERED] * 4).limit == 7
    assert asking.end(*[ANSWERED] * 7).limit == 7


# Refusals


@pytest.mark.parametrize(
    ("asked", "waited"), [(0.0, 0.0), (0.3, 0.3), (59.0, 59.0), (86_400.0, 60.0), (None, 2.0)]
)
def test_a_refusals_pause_holds_for_everybody_and_is_capped(
    asked: float | None, waited: float
) -> None:
    asking = Asking()
    asking.end(refused(asked))
    assert asking.state.paused_seconds == pytest.approx(waited, abs=0.001)
    assert asking.pause() == pytest.approx(waited, abs=0.11)
    assert asking.state.paused_seconds == 0.0
    assert asking.state.refused == 1


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    asking = Asking()
    one, two = asking.enter(2)
    one.leave(refused(30.0))
    two.leave(refused(1.0))
    assert asking.pause() == pytest.approx(30.0, abs=0.11)


def test_a_burst_of_refusals_is_one_episode() -> None:
    asking = Asking(10)
    state = asking.end(*[REFUSED] * 10)
    assert (state.limit, state.refused, state.in_flight) == (8, 10, 0)
    # Nothing was accepted, and so nothing is known of the rate.
    assert state.per_window is None


@pytest.mark.parametrize(
    ("pause", "later", "limit"),
    [(0.0, 14.9, 80), (0.0, 15.1, 64), (40.0, 40.1, 64), (40.0, 39.9, 80)],
)
def test_an_episode_lasts_as_long_as_its_cooldown_and_its_pause(
    pause: float, later: float, limit: int
) -> None:
    asking = Asking(100, LimiterPolicy(start=100))
    one, two = asking.enter(2)
    one.leave(refused(pause))
    asking.clock.now += later
    two.leave(REFUSED)
    assert asking.state.limit == limit


def test_refusals_late_in_an_episode_do_not_prolong_it() -> None:
    asking = Asking(100, LimiterPolicy(start=100))
    one, two, three = asking.enter(3)
    for passage in (one, two, three):
        passage.leave(REFUSED)
        asking.clock.now += 10.0
    assert asking.state.limit == 64


# The pace


def test_without_a_refusal_requests_are_not_spaced() -> None:
    asking = Asking()
    asking.end(*[ANSWERED] * 20)
    assert asking.state.per_window is None
    assert asking.pause() == pytest.approx(0.0, abs=0.001)


def test_what_was_accepted_is_taken_for_the_rate() -> None:
    asking = Asking()
    state = asking.end(*[REFUSED] * 6, *[ANSWERED] * 10)
    assert state.per_window == pytest.approx(9.0)
    # A minute for nine, and the next one as long after that.
    assert asking.pause() == pytest.approx(60 / 9, abs=0.11)
    assert asking.pause() == pytest.approx(60 / 9, abs=0.11)


@pytest.mark.parametrize(("accepted", "per_window"), [(2, None), (3, 2.7)])
def test_few_accepted_ones_say_nothing_of_the_rate(accepted: int, per_window: float | None) -> None:
    state = Asking().end(*[ANSWERED] * accepted, REFUSED)
    assert state.per_window == (None if per_window is None else pytest.approx(per_window))


def test_where_nothing_is_known_of_the_rate_it_shrinks_once_an_episode() -> None:
    asking = Asking()
    passages = asking.enter(14)
    for passage in passages[:4]:
        passage.leave(REFUSED)
    assert asking.state.per_window == pytest.approx(9.0)
    # Long after, when all that is known is forgotten.
    asking.clock.now += 100.0
    for passage in passages[4:]:
        passage.leave(REFUSED)
    assert asking.state.per_window == pytest.approx(9.0 * 0.8)


def test_what_is_older_than_the_window_is_no_part_of_the_rate() -> None:
    asking = Asking()
    asking.enter(5)
    asking.clock.now += 30.0
    passages = asking.enter(10)
    asking.clock.now += 30.1
    passages[0].leave(REFUSED)
    assert asking.state.per_window == pytest.approx(0.9 * 9)


def paced(asking: Asking, seconds: float, pause: float = 0.0) -> None:
    """Answers as many as the pace allows for so long, or one after each `pause`."""
    until = asking.clock.now + seconds
    while asking.clock.now < until:
        asking.pause()
        asking.clock.now += pause


def test_the_rate_grows_for_each_window_without_refusal_and_faster_after_some() -> None:
    policy = LimiterPolicy(window=60.0, growth=1.1, fast_growth=2.0, patience=2)
    asking = Asking(100, policy)
    asking.end(*[ANSWERED] * 19, REFUSED)
    rates = [asking.state.per_window]
    while len(rates) < 5:
        paced(asking, 1.0)
        if asking.state.per_window != rates[-1]:
            rates.append(asking.state.per_window)
    assert rates == pytest.approx([17.1, 17.1 * 1.1, 17.1 * 1.21, 17.1 * 2.42, 17.1 * 4.84])
    assert asking.clock.now == pytest.approx(1000 + 4 * 60, rel=0.02)
    # Another refusal, and patience is needed again.
    asking.clock.now += 20.0
    before = asking.end(REFUSED).per_window
    assert before is not None
    while asking.state.per_window == before:
        paced(asking, 1.0)
    assert asking.state.per_window == pytest.approx(before * 1.1)


def test_a_rate_that_is_not_made_use_of_does_not_grow() -> None:
    asking = Asking()
    asking.end(*[ANSWERED] * 19, REFUSED)
    paced(asking, 400.0, pause=5.0)
    assert asking.state.per_window == pytest.approx(17.1)


# Prefixes


def test_the_first_request_of_a_prefix_goes_alone_until_its_reply_begins() -> None:
    asking = Asking()
    first = asking.passes("rules")
    assert first is not None
    assert asking.passes("rules") is None
    # Others, and those without a prefix, have nothing to wait for.
    assert asking.passes("other rules") is not None
    assert asking.passes("rules", model="n") is not None
    assert asking.passes("") is not None
    assert asking.passes("") is not None
    first.answering()
    assert asking.passes("rules") is not None
    assert asking.passes("rules") is not None
    assert asking.passes("other rules") is None


@pytest.mark.parametrize("end", [REFUSED, TROUBLE])
def test_a_first_request_without_an_answer_lets_one_other_go_first(end: AttemptEnd) -> None:
    asking = Asking()
    first = asking.passes("rules")
    assert first is not None
    first.leave(end)
    assert asking.passes("rules") is not None
    assert asking.passes("rules") is None


def test_a_prefix_that_was_answered_once_is_warm_whatever_follows() -> None:
    asking = Asking()
    first = asking.passes("rules")
    assert first is not None
    first.leave(ANSWERED)
    second, third = asking.passes("rules"), asking.passes("rules")
    assert second is not None
    assert third is not None
    second.leave(TROUBLE)
    assert asking.passes("rules") is not None


# Waiting


def waiting(limiter: Limiter, *requests: Request) -> tuple[list[threading.Thread], list[str]]:
    """Threads that wait for their turn, in this order, and who had it."""
    had: list[str] = []

    def wait(request: Request) -> None:
        try:
            limiter.enter(request, deadline=far()).answering()
            had.append(request.user)
        except GenerationCancelledError as error:
            had.append(str(error))

    def queue(request: Request) -> threading.Thread:
        queued = len(limiter._tickets)
        thread = threading.Thread(target=wait, args=(request,), daemon=True)
        thread.start()
        until(lambda: len(limiter._tickets) != queued, "its ticket")
        return thread

    return [queue(request) for request in requests], had


def test_first_come_first_served_but_for_those_whose_prefix_is_being_warmed() -> None:
    limiter = Limiter(2)
    warming = limiter.enter(Request("m", "rules", "", 1), deadline=far())
    other = limiter.enter(Request("m", "", "", 1), deadline=far())
    threads, had = waiting(
        limiter,
        Request("m", "rules", "second of its prefix", 1),
        Request("m", "", "first without", 1),
        Request("m", "", "second without", 1),
    )
    other.leave(ANSWERED)
    joined(threads[1:2])
    assert had == ["first without"]
    warming.leave(ANSWERED)
    joined(threads[:1])
    assert had == ["first without", "second of its prefix"]
    limiter.cancel()
    joined(threads)


def test_cancelling_ends_waits_and_pauses_at_once_and_for_ever() -> None:
    limiter = Limiter(1)
    limiter.enter(Request("m", "", "", 1), deadline=far())
    threads, had = waiting(limiter, *[Request("m", "", f"{number}", 1) for number in range(2)])
    assert not limiter.cancelled
    limiter.cancel()
    joined(threads)
    assert had == ["the run was interrupted"] * 2
    assert limiter.cancelled
    with pytest.raises(GenerationCancelledError, match=r"^the run was interrupted$"):
        limiter.sleep(LONG)
    with pytest.raises(GenerationCancelledError):
        limiter.enter(Request("m", "", "", 1), deadline=far())


def test_a_pause_takes_its_time() -> None:
    began = time.monotonic()
    Limiter(1).sleep(0.05)
    assert time.monotonic() - began >= 0.05


def test_who_waits_longer_than_the_deadline_leaves_the_queue() -> None:
    asking = Asking(1)
    (passage,) = asking.enter()
    with pytest.raises(TimeoutError, match=r"^the provider's limits left no room for it$"):
        asking.limiter.enter(Request("m", "", "", 1), deadline=asking.clock.now + _TICK)
    passage.leave(ANSWERED)
    assert asking.passes() is not None


def test_nobody_asks_after_a_request_that_only_a_person_can_give_a_chance() -> None:
    limiter = Limiter(1)
    passage = limiter.enter(Request("m", "", "", 1), deadline=far())
    threads, had = waiting(limiter, Request("m", "", "", 1))
    passage.leave(AttemptEnd("trouble", final=True))
    joined(threads)
    assert had == ["the run was interrupted"]
    assert limiter.cancelled


# Under real providers


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
    reads = [generation.usage.told["cache_read_input_tokens"] for generation in generations]
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
                provider.generate(
                    make_request(user=f"{number}"), deadline_seconds=HANG_SECONDS
                ).text
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


def test_requests_are_refused_for_the_rate_until_the_deadline_and_not_counted(
    server: MessagesServer, gated: Gated, script: MakeScript, make_request: MakeRequest
) -> None:
    refusal = script(status=429, error_type="rate_limit_error", headers={"retry-after": "0.01"})
    server.queue = [refusal] * 10
    limiter = Limiter(4, LimiterPolicy(window=0.01))
    generation = gated(limiter, attempts=2).generate(make_request(), deadline_seconds=HANG_SECONDS)
    assert [attempt.outcome for attempt in generation.attempts] == ["rate_limit_error"] * 10 + [
        "ok"
    ]
