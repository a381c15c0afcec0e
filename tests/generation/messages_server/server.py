"""The server as a test sees it: what it answers, and what it got."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from tests import patience

from .accounts import PromptCache, RateLimit, Reply, Sums, usage_of
from .batches import Batch
from .events import output_tokens
from .handler import Handler
from .script import Received, Script


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # Many clients begin at once, and a refused connection costs a second.
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that is killed is no trouble of the server's."""


class MessagesServer:
    """The server; `requests` holds what it got, `queue`, `rules` and `default` what it answers.

    `rate` are requests per seconds; `batch_polls` is how often a batch is asked for before it has
    ended.
    """

    handler: type[Handler] = Handler

    def __init__(self) -> None:
        self.queue: list[Script] = []
        self.rules: list[Script] = []
        self.default = Script()
        self.rate: tuple[int, float] | None = None
        self.caching = False
        self.batch_polls = 1
        self.requests: list[Received] = []
        self.batches: dict[str, Batch] = {}
        self.sums = Sums()
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._started = time.monotonic()
        self._limit: RateLimit | None = None
        self._cache = PromptCache()
        self._used: Counter[int] = Counter()
        bound = type("Bound", (self.handler,), {"messages": self})
        self._http = _Http(("127.0.0.1", 0), bound)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> MessagesServer:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def now(self) -> float:
        """Seconds since the server's start."""
        return time.monotonic() - self._started

    def answer(self, received: Received) -> Script:
        """Notes the request and picks what to answer."""
        with self.lock:
            self.requests.append(received)
            return self._refusal() or self.pick(received)

    def pick(self, received: Received) -> Script:
        """What the script says for a request."""
        with self.lock:
            if self.queue:
                return self.queue.pop(0)
            for number, rule in enumerate(self.rules):
                used = self._used[number]
                left = rule.times is None or used < rule.times
                if left and rule.contains is not None and rule.contains in received.user:
                    self._used[number] += 1
                    return rule
            return self.default

    def _refusal(self) -> Script | None:
        now = self.now
        self.sums.arrivals.append(now)
        if self.rate is None:
            return None
        if self._limit is None:
            self._limit = RateLimit(*self.rate)
        wait = self._limit.wait(now)
        if wait is None:
            return None
        self.sums.refusals.append(now)
        return Script(
            status=429, error_type="rate_limit_error", headers={"retry-after": str(round(wait, 3))}
        )

    def usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """The usage of a reply that begins now, with one output token."""
        with self.lock:
            cached = not self.caching or self._cache.holds(body)
            self.sums.cache_writes += not cached
        return usage_of(body, cached=cached)

    def begin(self, script: Script, body: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """A reply begins: its prefix is cached from now on. Returns what is billed for it, whoever
        hears the end of it."""
        billed = {**usage, "output_tokens": output_tokens(script)}
        with self.lock:
            self._cache.keep(body)
            self.sums.charge(billed, batch=billed["service_tier"] == "batch")
        return billed

    def enter(self) -> float:
        """A request is in flight from now on; returns the time."""
        with self.lock:
            self.sums.in_flight += 1
            self.sums.most_in_flight = max(self.sums.most_in_flight, self.sums.in_flight)
        return self.now

    def leave(self) -> None:
        with self.lock:
            self.sums.in_flight -= 1

    def until_asked(self, number: int = 1) -> None:
        """Waits until as many requests have come."""
        self.until(lambda: len(self.requests) >= number)

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something is so."""
        patience.until(condition)

    def told(self, user: str, began: float) -> None:
        """A reply is told to the end."""
        with self.lock:
            self.sums.replies.append(Reply(user, began, self.now))
