"""How many requests a process has in flight, and how fast it makes new ones.

One limiter serves all threads of a process, for all models. What it does, and why:

* the number in flight follows the provider: it doubles until the first refusal, shrinks once for
  each episode of refusals (they come in bursts), and grows again by a little for each round of
  answers. Trouble that is not for the rate stops the growth and no more: an overload is nobody's
  quota;
* a refusal's Retry-After holds for everybody;
* providers limit requests and tokens a minute, and not what is in flight, so that a number in
  flight alone swings between idleness and refusals. What was accepted during the last minute is
  therefore taken for the rate, and requests are spaced by it;
* the first request of a prefix goes alone until its reply begins: before that, every other one
  with this prefix would pay for writing it to the prompt cache again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pytest_convex_eval.generation.provider import AttemptEnd, GenerationCancelledError, Request

_Prefix: TypeAlias = tuple[str, str]
"""The model and the system text: what the provider's prompt cache goes by."""


@dataclass(frozen=True, slots=True)
class LimiterPolicy:
    """Times in seconds. An episode of refusals lasts `cooldown` from its first refusal, and at
    least as long as the pause the provider asks for. `window` is the span over which the provider
    counts. After an episode, the rate is `headroom` of what was accepted in the last window, where
    that were at least `evidence` requests; it grows by `growth` for each window without refusal,
    and faster after `patience` of them."""

    start: int = 20
    shrink: float = 0.8
    growth: float = 1.05
    fast_growth: float = 1.5
    patience: int = 5
    headroom: float = 0.9
    evidence: int = 3
    cooldown: float = 15.0
    window: float = 60.0
    longest_pause: float = 60.0
    unknown_pause: float = 2.0


@dataclass(frozen=True, slots=True)
class LimiterState:
    """A snapshot for people; `per_window` is None while requests are not spaced."""

    in_flight: int
    limit: int
    per_window: float | None
    refused: int
    paused_seconds: float


class Limiter:
    """A gate that lets at most `most` requests be in flight; may be used by any number of threads.

    There is one for a process: in a run, the controller's, which makes all the requests.
    `clock` is what deadlines are told by.
    """

    def __init__(
        self,
        most: int,
        policy: LimiterPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy or LimiterPolicy()
        self._clock = clock
        self._condition = threading.Condition()
        self._cancelled = threading.Event()
        self._tickets: list[_Ticket] = []
        self._width = _Width(self._policy, max(most, 1))
        self._pace = _Pace(self._policy)
        self._in_flight = 0
        self._refused = 0
        self._paused_until = 0.0
        self._episode_until = 0.0
        self._warming: dict[_Prefix, _Passage] = {}
        self._warm: set[_Prefix] = set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ends every wait and pause, now and later, by GenerationCancelledError."""
        self._cancelled.set()
        with self._condition:
            self._condition.notify_all()

    def state(self) -> LimiterState:
        with self._condition:
            paused = max(self._paused_until - self._clock(), 0.0)
            return LimiterState(
                self._in_flight,
                int(self._width.limit),
                self._pace.per_window,
                self._refused,
                paused,
            )

    def sleep(self, seconds: float) -> None:
        """See `Gate.sleep`."""
        if self._cancelled.wait(seconds):
            raise GenerationCancelledError("the run was interrupted")

    def enter(self, request: Request, *, deadline: float) -> _Passage:
        """See `Gate.enter`. First come, first served, but for those whose prefix is being warmed.

        Raises GenerationCancelledError when the limiter is cancelled.
        """
        ticket = _Ticket((request.model, request.system))
        with self._condition:
            self._tickets.append(ticket)
            try:
                while True:
                    if self._cancelled.is_set():
                        raise GenerationCancelledError("the run was interrupted")
                    now = self._clock()
                    if now >= deadline:
                        raise TimeoutError("the provider's limits left no room for it")
                    wait = self._wait(ticket, now)
                    if wait <= 0:
                        return self._let_pass(ticket.prefix, now)
                    self._condition.wait(min(wait, deadline - now, threading.TIMEOUT_MAX))
            finally:
                self._tickets.remove(ticket)
                self._condition.notify_all()

    def _wait(self, ticket: _Ticket, now: float) -> float:
        """Seconds until `ticket` may pass; infinity where another request has to move first."""
        first = next((one for one in self._tickets if one.prefix not in self._warming), None)
        if first is not ticket or self._in_flight >= int(self._width.limit):
            return float("inf")
        return max(self._paused_until, self._pace.next_start) - now

    def _let_pass(self, prefix: _Prefix, now: float) -> _Passage:
        passage = _Passage(self, prefix, now)
        self._in_flight += 1
        self._pace.started(now)
        if prefix[1] and prefix not in self._warm:
            self._warming[prefix] = passage
        return passage

    def _answering(self, passage: _Passage) -> None:
        with self._condition:
            self._warm.add(passage.prefix)
            self._end_warming(passage)

    def _leave(self, passage: _Passage, end: AttemptEnd) -> None:
        with self._condition:
            now = self._clock()
            self._in_flight -= 1
            if end.final:
                # Before anybody who waits for this one to leave can ask in vain too.
                self._cancelled.set()
            if end.outcome == "answered":
                self._warm.add(passage.prefix)
                self._width.answered()
            elif end.outcome == "refused":
                self._refuse(passage, now, end.retry_after)
            else:
                self._width.troubled()
            self._end_warming(passage)
            self._condition.notify_all()

    def _refuse(self, passage: _Passage, now: float, retry_after: float | None) -> None:
        policy = self._policy
        pause = policy.unknown_pause if retry_after is None else retry_after
        until = now + min(pause, policy.longest_pause)
        self._refused += 1
        self._paused_until = max(self._paused_until, until)
        first = now >= self._episode_until
        self._pace.refused(passage.started, now, first=first)
        if first:
            self._width.refused()
            self._episode_until = now + policy.cooldown
        self._episode_until = max(self._episode_until, until)

    def _end_warming(self, passage: _Passage) -> None:
        if self._warming.get(passage.prefix) is passage:
            del self._warming[passage.prefix]
            self._condition.notify_all()


class _Width:
    """The number of requests that may be in flight."""

    def __init__(self, policy: LimiterPolicy, most: int) -> None:
        self._policy = policy
        self._most = most
        self.limit = float(min(policy.start, most))
        self._doubling = True
        self._clean = 0

    def answered(self) -> None:
        self._clean += 1
        if self._clean >= int(self.limit):
            factor = 2.0 if self._doubling else self._policy.growth
            self.limit = min(self.limit * factor, float(self._most))
            self._clean = 0

    def refused(self) -> None:
        self._doubling = False
        self._clean = 0
        self.limit = max(self.limit * self._policy.shrink, 1.0)

    def troubled(self) -> None:
        self._clean = 0


class _Pace:
    """The time between two starts; none until the first refusal."""

    def __init__(self, policy: LimiterPolicy) -> None:
        self._policy = policy
        self._interval = 0.0
        self._before = 0.0
        self._changed = 0.0
        self._clean_windows = 0
        self._starts: deque[float] = deque()
        """When the requests of the last window were made, without those that were refused."""
        self.next_start = 0.0

    @property
    def per_window(self) -> float | None:
        return self._policy.window / self._interval if self._interval else None

    def started(self, now: float) -> None:
        self._forget(now)
        self._starts.append(now)
        if not self._interval:
            return
        self.next_start = now + self._interval
        if now - self._changed < self._policy.window:
            return
        # A pace that was not made use of says nothing about a faster one.
        if len(self._starts) >= 0.8 * self._policy.window / self._interval:
            self._clean_windows += 1
            fast = self._clean_windows > self._policy.patience
            self._interval /= self._policy.fast_growth if fast else self._policy.growth
        self._changed = now

    def refused(self, started: float, now: float, *, first: bool) -> None:
        """A request is refused; the `first` of an episode or a later one."""
        self._forget(now)
        if first:
            self._before = self._interval
        if started in self._starts:
            self._starts.remove(started)
        if len(self._starts) >= self._policy.evidence:
            self._interval = self._policy.window / (len(self._starts) * self._policy.headroom)
        else:
            self._interval = self._before / self._policy.shrink
        self.next_start = now + self._interval
        self._changed = now
        self._clean_windows = 0

    def _forget(self, now: float) -> None:
        while self._starts and self._starts[0] < now - self._policy.window:
            self._starts.popleft()


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """A place in the queue; compared by identity."""

    prefix: _Prefix


@dataclass(frozen=True, slots=True, eq=False)
class _Passage:
    """See `Passage`; of one request that the limiter let pass."""

    limiter: Limiter
    prefix: _Prefix
    started: float

    def answering(self) -> None:
        self.limiter._answering(self)

    def leave(self, end: AttemptEnd) -> None:
        self.limiter._leave(self, end)
