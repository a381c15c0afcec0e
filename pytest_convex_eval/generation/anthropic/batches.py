"""Message Batches: all generations at once, for half the price, within a day.

A batch is paid for when it is sent, so that it must never be sent twice: before it is, a small
file in the store's folder says what will be in it, and afterwards which it is. Whoever runs next
finds it there, whatever became of this process. A batch that was sent by a process which did not
live to note its name is looked for among the account's batches.
"""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pytest_convex_eval.generation.ahead.budget import Budget, BudgetExhaustedError, Reservation
from pytest_convex_eval.generation.ahead.notices import Notices
from pytest_convex_eval.generation.ahead.prefetch import Job
from pytest_convex_eval.generation.anthropic.batch_entries import chunks, entry_generation
from pytest_convex_eval.generation.anthropic.batch_files import BatchFile, BatchFiles
from pytest_convex_eval.generation.anthropic.errors import as_attempt_error
from pytest_convex_eval.generation.anthropic.messages_api import batch_params
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import (
    Attempt,
    GenerationCancelledError,
    ProviderError,
)
from pytest_convex_eval.generation.retries import AttemptError, now, redacted, told_pause
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.vendor import BatchProgress
from pytest_convex_eval.outcomes import ConfigurationError, ConvexEvalError

if TYPE_CHECKING:
    import anthropic
    from anthropic.types.messages import MessageBatch

_T = TypeVar("_T")

_MESSAGE_CHARACTERS = 2000
_CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Times in seconds. A call that fails is made again after `pause`, doubled each time up to
    `poll`, at most `attempts` times; while a batch is waited for, until the deadline."""

    poll: float = 30.0
    attempts: int = 5
    pause: float = 1.0
    timeout: float = 120.0
    deadline: float = 26 * 3600.0


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of the jobs. `failures` tells for each key that has no generation why: it will
    be asked for again by the next run."""

    stored: int
    made: int
    failures: Mapping[str, ConvexEvalError]


@dataclass(slots=True)
class _Run:
    """What is known while the batches of one `run` go on."""

    jobs: dict[str, Job]
    failures: dict[str, ConvexEvalError] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    stored: int = 0
    made: int = 0


class BatchRunner:
    """Has jobs generated as batches.

    A `budget` is asked for each entry's most before it is sent; entries of batches that an earlier
    run sent are paid already and no part of it. `notices` are told of failures, so that workers
    learn of them.
    """

    def __init__(
        self,
        store: GenerationStore,
        api_key: str,
        *,
        base_url: str | None = None,
        policy: BatchPolicy | None = None,
        budget: Budget | None = None,
        prices: PriceTable | None = None,
        notices: Notices | None = None,
        on_progress: Callable[[BatchProgress], None] | None = None,
    ) -> None:
        self._store = store
        self._files = BatchFiles(store.folder)
        self._api_key = api_key
        self._base_url = base_url
        self._policy = policy or BatchPolicy()
        self._budget = budget
        self._prices = prices or PriceTable.of_package(__package__ or "")
        self._notices = notices
        self._on_progress = on_progress
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ends `run` within a second from another thread; the batches go on, and the next run
        finds them."""
        self._cancelled.set()

    def run(self, jobs: Sequence[Job]) -> BatchOutcome:
        """Generates what is not stored yet, and what follows from it, in as many batches as needed.

        Raises ConfigurationError for what only a person can change, ProviderError when the provider
        can't be reached or a batch does not end in time, InfrastructureError for a store that can't
        be written. Whatever it raises, no batch is lost.
        """
        import anthropic

        run = _Run({job.key: job for job in jobs})
        todo = list(run.jobs.values())
        with anthropic.Anthropic(
            api_key=self._api_key,
            base_url=self._base_url,
            max_retries=0,
            timeout=self._policy.timeout,
        ) as client:
            try:
                while todo:
                    self._round(client, run, todo)
                    todo = list(self._following(run, todo))
            finally:
                for reservation in run.reservations.values():
                    reservation.settle(None)
        return BatchOutcome(run.stored, run.made, run.failures)

    def _round(self, client: anthropic.Anthropic, run: _Run, todo: Sequence[Job]) -> None:
        """Sends what is missing, waits for all batches that hold any of it, stores the results."""
        missing: dict[str, Job] = {}
        for job in todo:
            if self._store.find(job.request, job.trial) is None:
                missing[job.key] = job
            else:
                run.stored += 1
        with self._files.locked():
            known = [
                file for file in self._files.read() if not missing.keys().isdisjoint(file.keys)
            ]
            for file in known:
                if file.batch is None:
                    self._recover(client, file)
            known = [
                file for file in self._files.read() if not missing.keys().isdisjoint(file.keys)
            ]
            sent = {key for file in known for key in file.keys}
            fresh = self._affordable(run, [job for job in missing.values() if job.key not in sent])
            for chunk in chunks(fresh):
                known.append(self._send(client, chunk))
        for file, batch in self._ended(client, known):
            self._take(client, run, file, batch)

    def _affordable(self, run: _Run, jobs: Sequence[Job]) -> list[Job]:
        if self._budget is None:
            return list(jobs)
        affordable = []
        today = datetime.datetime.now(datetime.UTC).date()
        for job in jobs:
            most = self._prices.most(job.request, today, batch=True)
            if most is None:
                raise ConfigurationError(
                    f"no price is known for {job.request.model}, so that no budget can be kept "
                    "with it"
                )
            try:
                reservation = self._budget.reserve(most, deadline=time.monotonic())
            except BudgetExhaustedError as error:
                self._fail(run, job.key, error)
            except TimeoutError:
                words = "not run: the budget is reserved by the other entries of the batch"
                self._fail(run, job.key, BudgetExhaustedError(words))
            else:
                run.reservations[job.key] = reservation
                affordable.append(job)
        return affordable

    def _send(self, client: anthropic.Anthropic, jobs: Sequence[Job]) -> BatchFile:
        from anthropic.types.messages import MessageBatch

        file = BatchFile(tuple(job.key for job in jobs), now(), None)
        self._files.write(file)
        entries = [{"custom_id": job.key, "params": batch_params(job.request)} for job in jobs]

        def create() -> str:
            return client.post(
                "/v1/messages/batches", cast_to=MessageBatch, body={"requests": entries}
            ).id

        def look_and_create() -> str:
            # An attempt may have been heard although its answer was not.
            return self._look_for(client, file) or create()

        try:
            file = replace(file, batch=self._call(create, again=look_and_create))
        except ConfigurationError:
            self._files.remove(file)
            raise
        self._files.write(file)
        return file

    def _recover(self, client: anthropic.Anthropic, file: BatchFile) -> None:
        """Finds the batch of a process that did not note its name, or forgets the file."""
        found = self._call(lambda: self._look_for(client, file))
        if found is None:
            self._files.remove(file)
        else:
            self._files.write(replace(file, batch=found))

    def _look_for(self, client: anthropic.Anthropic, file: BatchFile) -> str | None:
        """The batch of `file` among the account's: of its size, not known, made since."""
        known = {other.batch for other in self._files.read()}
        since = datetime.datetime.fromisoformat(file.submitted) - _CLOCK_SKEW
        for batch in client.messages.batches.list(limit=100):
            if batch.created_at < since:
                return None
            counts = batch.request_counts
            size = (
                counts.processing
                + counts.succeeded
                + counts.errored
                + counts.canceled
                + counts.expired
            )
            if size == len(file.keys) and batch.id not in known:
                return batch.id
        return None

    def _ended(
        self, client: anthropic.Anthropic, files: Sequence[BatchFile]
    ) -> Iterator[tuple[BatchFile, MessageBatch]]:
        """The batches, each as soon as it has ended."""
        began = time.monotonic()
        waiting = {file.batch: file for file in files if file.batch is not None}
        while waiting:
            processing = 0
            for name, file in list(waiting.items()):
                batch = self._retrieve(client, name, file)
                if batch.processing_status == "ended":
                    del waiting[name]
                    yield file, batch
                else:
                    processing += batch.request_counts.processing
            seconds = time.monotonic() - began
            if self._on_progress is not None:
                entries = sum(len(file.keys) for file in files)
                self._on_progress(BatchProgress(len(waiting), entries, processing, seconds))
            if waiting and seconds >= self._policy.deadline:
                raise ProviderError(
                    f"{len(waiting)} batches have not ended in {seconds / 3600:.1f} hours; the "
                    "next run goes on waiting for them"
                )
            if waiting:
                self._pause(self._policy.poll)

    def _retrieve(self, client: anthropic.Anthropic, name: str, file: BatchFile) -> MessageBatch:
        try:
            return self._call(partial(client.messages.batches.retrieve, name))
        except ConfigurationError as error:
            # Another account's, or long gone: only a person can say that it may be paid again.
            raise ConfigurationError(
                f"{error}; if the batch {name} is lost, remove {self._files.path(file)} to have it "
                "sent again"
            ) from error

    def _take(
        self, client: anthropic.Anthropic, run: _Run, file: BatchFile, batch: MessageBatch
    ) -> None:
        """Stores the results of a batch that has ended, and forgets it.

        Entries that this run knows nothing of, because other items were selected, stay noted for
        the run that does.
        """
        ours = [key for key in file.keys if key in run.jobs]
        others = tuple(key for key in file.keys if key not in run.jobs)
        open_keys = set(ours)

        def take() -> None:
            for entry in client.messages.batches.results(batch.id):
                data: Json = json.loads(entry.to_json(indent=None))
                if isinstance(data, dict) and entry.custom_id in open_keys:
                    self._take_entry(run, entry.custom_id, data.get("result"), batch)
                    open_keys.discard(entry.custom_id)

        self._call(take)
        for key in open_keys:
            self._fail(run, key, ProviderError(f"the batch {batch.id} has no result for it"))
        if others:
            self._files.write(replace(file, keys=others))
        self._files.remove(file)

    def _take_entry(self, run: _Run, key: str, result: Json, batch: MessageBatch) -> None:
        job = run.jobs[key]
        reservation = run.reservations.pop(key, None)
        try:
            generation = entry_generation(job.request, result, batch)
        except AttemptError as error:
            if reservation is not None:
                answered = isinstance(result, dict) and result.get("type") == "succeeded"
                reservation.settle(None if answered else 0.0)
            self._fail(run, key, self._error(job, error))
            return
        self._store.put(job.request, job.trial, generation, label=job.label)
        run.made += 1
        if reservation is not None:
            cost = self._prices.cost(generation)
            reservation.settle(None if cost is None else cost.usd)

    def _following(self, run: _Run, done: Sequence[Job]) -> Iterator[Job]:
        for job in done:
            generation = self._store.find(job.request, job.trial) if job.then else None
            request = job.then(generation) if job.then and generation else None
            if request is not None:
                following = replace(job, request=request, then=None)
                run.jobs[following.key] = following
                yield following

    def _fail(self, run: _Run, key: str, error: ConvexEvalError) -> None:
        run.failures[key] = error
        if self._notices is not None:
            self._notices.fail(key, error)

    def _error(self, job: Job, error: AttemptError) -> ConvexEvalError:
        words = f"{self._words(error)} ({error.outcome} in a batch)"
        if error.configuration:
            return ConfigurationError(f"{job.request.model} can't be asked: {words}")
        attempt = Attempt(now(), 0.0, error.outcome, error.status, self._words(error))
        return ProviderError(
            f"{job.request.model} gave no reply: {words}", detail=words, attempts=(attempt,)
        )

    def _call(self, action: Callable[[], _T], again: Callable[[], _T] | None = None) -> _T:
        """`action`, made again (as `again`) for trouble that passes."""
        pause = self._policy.pause
        for number in range(self._policy.attempts):
            try:
                return action() if number == 0 or again is None else again()
            except Exception as error:
                known = as_attempt_error(error)
                if known is None:
                    raise
                words = f"the provider's batches can't be used: {self._words(known)}"
                if known.configuration:
                    raise ConfigurationError(words) from error
                if not known.again or number + 1 == self._policy.attempts:
                    raise ProviderError(words, detail=self._words(known)) from error
                self._pause(told_pause(known.headers) or pause)
                pause = min(pause * 2, self._policy.poll)
        raise AssertionError("there is at least one attempt")

    def _pause(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise GenerationCancelledError(
                "the run was interrupted; the next one finds its batches again"
            )

    def _words(self, error: AttemptError) -> str:
        return redacted(str(error), self._api_key)[:_MESSAGE_CHARACTERS]
