"""Generating ahead of checking: one process asks the models, the others find replies in the store.

The controller owns one `Prefetcher` and gives it the run's jobs in the order in which items will
run. Workers call `wait_for`. What a worker needs that was never planned (a round of repair, say) it
asks for in the same way, so that one limiter and one budget see every request of the run. When the
controller is gone, workers generate for themselves.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError
from pytest_convex_eval.generation.ahead.notices import Asked, Notices
from pytest_convex_eval.generation.provider import (
    Generation,
    GenerationCancelledError,
    Provider,
    Request,
)
from pytest_convex_eval.generation.store import GenerationStore, Retrieval
from pytest_convex_eval.outcomes import ConfigurationError, ConvexEvalError, InfrastructureError

ProviderFor: TypeAlias = Callable[[Request], Provider | None]

_ASKED_EVERY_SECONDS = 0.1
_LAST_SECONDS = 0.7
_FIRST_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """A generation that items will need; `then` makes of it the request that follows, if any."""

    request: Request
    trial: int
    label: str
    then: Callable[[Generation], Request | None] | None = None

    @property
    def key(self) -> str:
        return self.request.key(self.trial)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the prefetch is, in generations. `stored` were there before this run, `made` in it;
    `waiting` are neither begun nor given up."""

    stored: int = 0
    made: int = 0
    failed: int = 0
    unpaid: int = 0
    in_flight: int = 0
    waiting: int = 0

    @property
    def finished(self) -> bool:
        return not self.in_flight and not self.waiting


class Cancellable(Protocol):
    """What requests wait in: their turn, or money."""

    def cancel(self) -> None:
        """Ends every wait in it, now and later, by GenerationCancelledError."""


class Prefetcher:
    """Generates jobs with `concurrency` threads; `start` it once, `close` it always.

    A job that fails concerns its own key: those who wait for it learn the error. A
    ConfigurationError ends all generation: nothing further is asked, and everybody learns it.
    `gates` are those of the providers: closing cancels them, so that nobody stays waiting there.
    `on_progress` is called from threads, one at a time.
    """

    def __init__(
        self,
        store: GenerationStore,
        provider_for: ProviderFor,
        notices: Notices,
        *,
        concurrency: int = 16,
        gates: Sequence[Cancellable] = (),
        deadline_seconds: float = 900.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._store = store
        self._provider_for = provider_for
        self._notices = notices
        self._gates = tuple(gates)
        self._deadline_seconds = deadline_seconds
        self._on_progress = on_progress
        self._condition = threading.Condition()
        self._queue: OrderedDict[str, Job] = OrderedDict()
        self._known: set[str] = set()
        self._progress = Progress()
        self._stopped: ConvexEvalError | None = None
        self._closed = False
        # Daemons: a reply that is still on its way must not keep the process.
        self._threads = [
            threading.Thread(target=self._work, name=f"generation-{number}", daemon=True)
            for number in range(max(concurrency, 1))
        ]
        self._listener = threading.Thread(target=self._listen, name="generation-asks", daemon=True)

    def start(self, jobs: Sequence[Job]) -> None:
        """Begins with `jobs`, in their order; keys that come twice are made once.

        Raises InfrastructureError when another process generates for this run.
        """
        try:
            self._notices.attend()
        except OSError as error:
            raise InfrastructureError(f"the run's folder can't be written: {error}") from error
        with self._condition:
            for job in jobs:
                self._add(job)
        for thread in (*self._threads, self._listener):
            thread.start()

    def progress(self) -> Progress:
        with self._condition:
            return replace(self._progress, waiting=len(self._queue))

    @property
    def stopped(self) -> ConvexEvalError | None:
        """The error that ended all generation; None while it goes on."""
        return self._stopped

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until nothing is left to do, at most `timeout` seconds; whether that is so."""
        with self._condition:
            return self._condition.wait_for(
                lambda: not self._queue and not self._progress.in_flight, timeout
            )

    def close(self) -> None:
        """Ends the prefetch within a second. Whole replies are stored; what was on its way is given
        up, and those who wait for it learn that the run was interrupted."""
        with self._condition:
            self._closed = True
            unfinished = bool(self._queue or self._progress.in_flight)
            self._queue.clear()
            self._condition.notify_all()
        if unfinished and self._stopped is None:
            self._tell_all(GenerationCancelledError("the run was interrupted"))
        for gate in self._gates:
            gate.cancel()
        deadline = time.monotonic() + _LAST_SECONDS
        for thread in (*self._threads, self._listener):
            if thread.is_alive():
                thread.join(max(deadline - time.monotonic(), 0.0))
        self._notices.leave()

    def _add(self, job: Job, *, first: bool = False) -> None:
        """Queues a job; one that is queued already is moved to the front if somebody waits."""
        key = job.key
        if self._closed or self._stopped is not None:
            return
        if key not in self._known:
            self._known.add(key)
            self._queue[key] = job
        if first and key in self._queue:
            self._queue.move_to_end(key, last=False)
        self._condition.notify_all()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                _, job = self._queue.popitem(last=False)
                self._count(in_flight=1)
            self._generate(job)

    def _generate(self, job: Job) -> None:
        """One job to its end, and the one that follows from it."""
        following: Job | None = job
        while following is not None:
            job, following = following, None
            ended: dict[str, int] = {}
            try:
                retrieval = self._store.get(
                    job.request,
                    job.trial,
                    self._provider_for(job.request),
                    label=job.label,
                    deadline_seconds=self._deadline_seconds,
                )
                ended = {"stored" if retrieval.stored else "made": 1}
                if job.then is not None and not self._closed:
                    following = self._following(job, retrieval.generation)
            except ConfigurationError as error:
                self._tell_all(error)
            except GenerationCancelledError:
                # `close` has told everybody.
                pass
            except BudgetExhaustedError as error:
                self._tell(job.key, error)
                ended = {"unpaid": 1}
            except ConvexEvalError as error:
                self._tell(job.key, error)
                ended = {"failed": 1}
            except Exception as error:
                self._tell(job.key, InfrastructureError(f"{type(error).__name__}: {error}"))
                ended = {"failed": 1}
            finally:
                with self._condition:
                    # At once: what has ended is in flight no more. What follows takes its place.
                    self._count(in_flight=0 if following else -1, **ended)
                    self._condition.notify_all()

    def _following(self, job: Job, generation: Generation) -> Job | None:
        assert job.then is not None
        request = job.then(generation)
        if request is None:
            return None
        following = replace(job, request=request, then=None)
        with self._condition:
            if following.key in self._known and following.key not in self._queue:
                return None
            self._queue.pop(following.key, None)
            self._known.add(following.key)
        return following

    def _tell(self, key: str, error: ConvexEvalError) -> None:
        try:
            self._notices.fail(key, error)
        except OSError:
            # Nobody can be told: let them see for themselves.
            self._notices.leave()

    def _tell_all(self, error: ConvexEvalError) -> None:
        with self._condition:
            if self._stopped is not None:
                return
            self._stopped = error
            self._queue.clear()
            self._condition.notify_all()
        # Those whose turn had come wait in it, and would ask all the same.
        for gate in self._gates:
            gate.cancel()
        try:
            self._notices.stop(error)
        except OSError:
            self._notices.leave()

    def _count(self, **changes: int) -> None:
        """Adds to the counts; the caller holds the condition."""
        counts = {name: getattr(self._progress, name) + more for name, more in changes.items()}
        self._progress = replace(self._progress, **counts)
        if self._on_progress is not None:
            self._on_progress(replace(self._progress, waiting=len(self._queue)))

    def _listen(self) -> None:
        """Takes what workers ask for."""
        while not self._closed:
            for asked in self._notices.asked():
                with self._condition:
                    self._add(Job(asked.request, asked.trial, asked.label), first=True)
            time.sleep(_ASKED_EVERY_SECONDS)


def wait_for(
    store: GenerationStore,
    notices: Notices,
    request: Request,
    trial: int,
    provider_for: ProviderFor,
    *,
    label: str,
    deadline_seconds: float = 900.0,
) -> Retrieval:
    """The generation of trial `trial` of `request`, by whichever process it is made.

    Where a process attends to the run's `notices`, it is asked, and its end or failure is waited
    for; otherwise this process generates. `stored` of the result is false for what this run made.
    Raises what `GenerationStore.get` raises, BudgetExhaustedError, and GenerationCancelledError
    when the run was interrupted.
    """
    key = request.key(trial)
    deadline = time.monotonic() + deadline_seconds
    pause = _FIRST_POLL_SECONDS
    asked = False
    provider = provider_for(request)
    while store.mode != "replay" and (provider is None or provider.recordable):
        # Looked at first: who leaves after it has told and stored everything before.
        attended = notices.attended()
        found = store.lookup(request, trial)
        if found is not None:
            return found
        error = notices.failure(key)
        if error is not None:
            raise error
        if not attended:
            break
        if not asked:
            _ask(notices, Asked(request, trial, label))
            asked = True
        if time.monotonic() >= deadline:
            raise InfrastructureError(
                f"{label}: no generation within {deadline_seconds:g} s, though the run's first "
                "process is at it"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
    remaining = max(deadline - time.monotonic(), 1.0)
    return store.get(request, trial, provider, label=label, deadline_seconds=remaining)


def _ask(notices: Notices, asked: Asked) -> None:
    try:
        notices.ask(asked)
    except OSError as error:
        raise InfrastructureError(f"the run's folder can't be written: {error}") from error
