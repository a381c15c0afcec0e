"""Generating ahead, and waiting for it in other threads and processes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.ahead import prefetch
from pytest_convex_eval.generation.ahead.budget import Budget, BudgetExhaustedError
from pytest_convex_eval.generation.ahead.limiter import Limiter
from pytest_convex_eval.generation.ahead.notices import Asked, Notices
from pytest_convex_eval.generation.ahead.prefetch import Job, Prefetcher, Progress, wait_for
from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import (
    Generation,
    GenerationCancelledError,
    Provider,
    ProviderError,
    Request,
)
from pytest_convex_eval.generation.reference_provider import ReferenceProvider
from pytest_convex_eval.generation.store import GenerationStore, Retrieval, read_stored
from pytest_convex_eval.generation.usage import Stop
from pytest_convex_eval.outcomes import ConfigurationError, ConvexEvalError, InfrastructureError
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]
Start = Callable[..., Prefetcher]


def jobs_of(make_request: MakeRequest, count: int, **fields: str) -> list[Job]:
    return [
        Job(make_request(user=f"task {number}.", **fields), 1, f"case {number}")
        for number in range(count)
    ]


def keyless(request: Request) -> Provider | None:
    return None


def waited(
    store: GenerationStore, notices: Notices, job: Job, *, seconds: float = 600.0
) -> Retrieval:
    return wait_for(
        store, notices, job.request, job.trial, keyless, label=job.label, deadline_seconds=seconds
    )


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(tmp_path / "store", run="this run")


@pytest.fixture
def notices(tmp_path: Path) -> Notices:
    return Notices(tmp_path / "run")


@pytest.fixture
def start(
    store: GenerationStore, notices: Notices, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Starts a prefetcher with a limiter of its own; closes it in the end."""
    monkeypatch.setattr(prefetch, "_ASKED_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(prefetch, "_LAST_SECONDS", 0.1)
    started: list[Prefetcher] = []

    def begin(
        jobs: Sequence[Job],
        concurrency: int = 16,
        gates: Sequence[Budget] = (),
        attempts: int = 3,
        seconds: float = 600.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Prefetcher:
        passed: tuple[Budget | Limiter, ...] = (*gates, Limiter(concurrency))
        provider = gated(*passed, attempts=attempts)
        prefetcher = Prefetcher(
            store,
            lambda request: provider,
            notices,
            concurrency=concurrency,
            gates=passed,
            deadline_seconds=seconds,
            on_progress=on_progress,
        )
        started.append(prefetcher)
        prefetcher.start(jobs)
        return prefetcher

    yield begin
    for prefetcher in started:
        prefetcher.close()


def test_as_many_are_in_flight_as_may_be_and_the_next_follows_each(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    told = threading.Event()
    server.default = script(hold=told)
    # Without a prefix, which the first of them would have to write.
    jobs = jobs_of(make_request, 60, system="")
    prefetcher = start(jobs, concurrency=16)
    server.until(lambda: server.sums.in_flight == 16)
    assert prefetcher.progress() == Progress(in_flight=16, waiting=44)
    assert not prefetcher.progress().finished
    told.set()
    # Eight workers, each an item after the other, as under -n 8.
    with ThreadPoolExecutor(8) as pool:
        retrievals = list(pool.map(lambda job: waited(store, notices, job), jobs))
    assert len(retrievals) == 60
    assert not any(retrieval.stored for retrieval in retrievals)
    assert server.sums.most_in_flight == 16
    assert prefetcher.wait(HANG_SECONDS)
    assert prefetcher.progress() == Progress(made=60)
    assert prefetcher.progress().finished


def test_generations_are_made_in_the_order_of_the_items_and_each_key_once(
    server: MessagesServer, start: Start, make_request: MakeRequest
) -> None:
    jobs = jobs_of(make_request, 6)
    prefetcher = start([*jobs, *jobs], concurrency=1)
    assert prefetcher.wait(HANG_SECONDS)
    assert [request.user for request in server.requests] == [job.request.user for job in jobs]


def test_what_is_stored_is_not_asked_for_and_told_apart(
    server: MessagesServer, start: Start, tmp_path: Path, gated: Gated, store: GenerationStore,
    notices: Notices, make_request: MakeRequest,
) -> None:  # fmt: skip
    jobs = jobs_of(make_request, 4)
    earlier = GenerationStore(store.folder, run="an earlier run")
    for job in jobs[:3]:
        earlier.get(job.request, job.trial, gated(), label=job.label)
    seen: list[Progress] = []
    prefetcher = start(jobs, on_progress=seen.append)
    assert prefetcher.wait(HANG_SECONDS)
    assert prefetcher.progress() == Progress(stored=3, made=1)
    assert len(server.requests) == 4
    assert [waited(store, notices, job).stored for job in jobs] == [True] * 3 + [False]
    assert seen[-1].finished
    # Each is counted once at any moment, so that people see one total.
    totals = {
        one.stored + one.made + one.failed + one.unpaid + one.in_flight + one.waiting
        for one in seen
    }
    assert totals == {4}


def test_a_generation_that_fails_concerns_its_own_item_and_tells_the_providers_words(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    jobs = jobs_of(make_request, 4)
    server.rules = [
        script(contains="task 2.", status=529, error_type="overloaded_error", message="Sorry!")
    ]
    prefetcher = start(jobs)
    for number, job in enumerate(jobs):
        if number == 2:
            with pytest.raises(ProviderError, match="Sorry!") as caught:
                waited(store, notices, job)
            assert [attempt.status for attempt in caught.value.attempts] == [529] * 3
            assert "Sorry!" in caught.value.detail
        else:
            assert waited(store, notices, job).generation.text == "hello"
    assert prefetcher.progress() == Progress(made=3, failed=1)


FAULTS: list[tuple[dict[str, object], type[ConvexEvalError] | None, int]] = [
    ({"status": 429, "error_type": "rate_limit_error", "headers": {"retry-after": "0.05"}},
     None, 2),
    ({"status": 408, "error_type": "timeout_error"}, None, 2),
    ({"status": 500}, None, 2),
    ({"status": 503}, None, 2),
    ({"status": 529, "error_type": "overloaded_error"}, None, 2),
    ({"ending": "drop", "text": "a long text"}, None, 2),
    ({"ending": "cut", "text": "a long text"}, None, 2),
    ({"ending": "error", "error_type": "overloaded_error", "text": "a long text"}, None, 2),
    ({"text": "", "output_tokens": 0}, None, 2),
    ({"stop_reason": "max_tokens"}, None, 1),
    ({"stop_reason": "refusal"}, None, 1),
    ({"status": 413, "error_type": "request_too_large"}, ProviderError, 1),
    ({"status": 400, "error_type": "invalid_request_error"}, ConfigurationError, 1),
    ({"status": 401, "error_type": "authentication_error"}, ConfigurationError, 1),
    ({"status": 402, "error_type": "billing_error"}, ConfigurationError, 1),
    ({"status": 403, "error_type": "permission_error"}, ConfigurationError, 1),
    ({"status": 404, "error_type": "not_found_error"}, ConfigurationError, 1),
    ({"status": 429, "error_type": "rate_limit_error",
      "error_code": "enforced_spend_limit_reached"}, ConfigurationError, 1),
]  # fmt: skip


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    FAULTS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_each_fault_is_nobody_elses(
    fault: dict[str, object], error: type[ConvexEvalError] | None, requests: int, workers: int,
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    """The fault is the first answer; for one that passes, the second attempt is whole."""
    server.queue = [script(**fault)]
    (job,) = jobs_of(make_request, 1)
    start([job])

    def ask(_: int) -> Retrieval | ConvexEvalError:
        try:
            return waited(store, notices, job)
        except ConvexEvalError as told:
            return told

    with ThreadPoolExecutor(workers) as pool:
        outcomes = list(pool.map(ask, range(workers)))
    assert len(server.requests) == requests
    for outcome in outcomes:
        if error is None:
            assert isinstance(outcome, Retrieval)
            assert len(outcome.generation.attempts) == requests
        else:
            assert type(outcome) is error
            assert "scripted trouble" in str(outcome)
    assert (store.find(job.request, 1) is None) == (error is not None)


def test_what_only_a_person_can_change_stops_everything(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    jobs = jobs_of(make_request, 30)
    server.default = script(
        status=401, error_type="authentication_error", message="invalid key", latency=0.05
    )
    prefetcher = start(jobs, concurrency=4)
    with ThreadPoolExecutor(8) as pool:
        for job in jobs:
            pool.submit(waited, store, notices, job)
    for job in (jobs[0], jobs[-1]):
        with pytest.raises(ConfigurationError, match="invalid key"):
            waited(store, notices, job)
    assert isinstance(prefetcher.stopped, ConfigurationError)
    # The first alone: the others wait for the prefix to be cached.
    assert len(server.requests) <= 4


def test_a_budget_is_kept_over_all_and_those_left_out_say_so(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, tmp_path: Path,
) -> None:  # fmt: skip
    server.default = script(output_tokens=9_000, latency=0.02)
    budget = Budget(
        0.5, tmp_path / "run", PriceTable.of_package("pytest_convex_eval.generation.anthropic")
    )
    jobs = [
        Job(Request("claude-sonnet-5-5", "rules", f"task {number}", 10_000), 1, f"case {number}")
        for number in range(12)
    ]
    prefetcher = start(jobs, gates=[budget])
    outcomes: Counter[str] = Counter()
    for job in jobs:
        try:
            waited(store, notices, job)
            outcomes["made"] += 1
        except BudgetExhaustedError as error:
            outcomes[str(error).partition(":")[0]] += 1
    # 0.09 USD each, while 0.1 are left.
    assert outcomes == {"made": 5, "not run": 7}
    assert server.sums.charged <= 0.5
    assert prefetcher.stopped is None
    assert prefetcher.progress() == Progress(made=5, unpaid=7)


def test_closing_ends_the_wait_for_money_that_is_reserved(
    server: MessagesServer, start: Start, script: MakeScript, tmp_path: Path
) -> None:
    server.default = script(hold=threading.Event())
    prices = PriceTable.of_package("pytest_convex_eval.generation.anthropic")
    budget = Budget(0.15, tmp_path / "run", prices)
    jobs = [
        Job(Request("claude-sonnet-5-5", "", f"task {number}", 10_000), 1, f"case {number}")
        for number in range(4)
    ]
    before = set(threading.enumerate())
    prefetcher = start(jobs, concurrency=4, gates=[budget])
    ours = [one for one in set(threading.enumerate()) - before if one.name.startswith("generation")]
    assert len(ours) == 5
    server.until_asked()
    prefetcher.close()
    # One is on its way, and can't be called back.
    server.until(lambda: sum(thread.is_alive() for thread in ours) == 1)
    assert len(server.requests) == 1


def test_what_was_never_planned_is_made_at_once_when_a_worker_asks_for_it(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    server.default = script(latency=0.1)
    jobs = jobs_of(make_request, 30)
    start(jobs, concurrency=1)
    repair = Job(make_request(user="repair this"), 2, "case 3")
    assert waited(store, notices, repair).generation.text == "hello"
    assert len(server.requests) < 20
    stored = read_stored(store.path(repair.request, 2))
    assert (stored.label, stored.trial) == ("case 3", 2)


def test_who_waits_for_a_late_one_gets_it_earlier(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    server.default = script(latency=0.1)
    jobs = jobs_of(make_request, 30)
    start(jobs, concurrency=1)
    waited(store, notices, jobs[-1])
    assert len(server.requests) < 20


def test_a_second_request_follows_from_the_first(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    server.rules = [script(contains="design", text="a design")]

    def code(generation: Generation) -> Request:
        return make_request(user=f"code from {generation.text!r:.9}")

    job = Job(make_request(user="a design, please"), 1, "case", then=code)
    prefetcher = start([job])
    design = waited(store, notices, job)
    following = Job(code(design.generation), 1, "case")
    assert waited(store, notices, following).generation.text == "a design"
    assert prefetcher.wait(HANG_SECONDS)
    assert len(server.requests) == 2
    assert prefetcher.progress() == Progress(made=2)


def test_a_worker_generates_itself_where_nobody_attends(
    server: MessagesServer, gated: Gated, store: GenerationStore, notices: Notices,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    (job,) = jobs_of(make_request, 1)
    provider = gated()
    made = wait_for(store, notices, job.request, 1, lambda request: provider, label="case")
    assert (made.stored, made.generation.text) == (False, "hello")
    with pytest.raises(ConfigurationError):
        wait_for(store, notices, make_request(user="other"), 1, keyless, label="case")


def test_replay_and_references_wait_for_nobody(
    start: Start, server: MessagesServer, store: GenerationStore, notices: Notices,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    start([])
    replay = GenerationStore(store.folder, "replay")
    with pytest.raises(InfrastructureError, match="not in the generation store"):
        wait_for(replay, notices, make_request(), 1, keyless, label="case")
    reference = ReferenceProvider({"convex/a.ts": "x\n"})
    found = wait_for(
        store, notices, make_request(model="reference"), 1, lambda _: reference, label="case"
    )
    assert "convex/a.ts" in found.generation.text
    assert server.requests == []


def test_closing_waits_for_no_reply_and_loses_none_that_is_finished(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    server.rules = [script(contains="slow", hold=threading.Event())]
    quick, slow = jobs_of(make_request, 4), Job(make_request(user="slow"), 1, "slow case")
    later = Job(make_request(user="never"), 1, "later case")
    prefetcher = start([*quick, slow, slow, later], concurrency=1)
    for job in quick:
        waited(store, notices, job)
    outcomes: list[BaseException | Retrieval] = []

    def wait_for_slow() -> None:
        try:
            outcomes.append(waited(store, notices, slow))
        except ConvexEvalError as error:
            outcomes.append(error)

    waiting = threading.Thread(target=wait_for_slow)
    waiting.start()
    server.until_asked(5)
    prefetcher.close()
    waiting.join(HANG_SECONDS)
    (outcome,) = outcomes
    assert isinstance(outcome, GenerationCancelledError)
    assert str(outcome) == "the run was interrupted"
    assert [store.find(job.request, 1) is not None for job in (*quick, slow, later)] == [
        *[True] * 4, False, False,
    ]  # fmt: skip
    assert len(server.requests) == 5


def test_closing_after_the_end_tells_nobody_of_an_interruption(
    start: Start,
    store: GenerationStore,
    notices: Notices,
    make_request: MakeRequest,
    tmp_path: Path,
) -> None:
    jobs = jobs_of(make_request, 2)
    prefetcher = start(jobs)
    assert prefetcher.wait(HANG_SECONDS)
    assert notices.attended()
    prefetcher.close()
    assert not notices.attended()
    assert notices.failure("any key") is None
    assert waited(store, notices, jobs[0]).generation.text == "hello"


def test_one_process_attends_to_a_run(
    start: Start, notices: Notices, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start([])
    other = Notices(tmp_path / "run")
    monkeypatch.setattr("pytest_convex_eval.generation.ahead.notices._ATTEND_SECONDS", 0.1)
    with pytest.raises(InfrastructureError, match="another process"):
        other.attend()


class Attended(Notices):
    """Notices of a process that is always there, and never does a thing."""

    def attended(self) -> bool:
        return True


def test_waiting_takes_next_to_no_time_of_the_processor(
    store: GenerationStore, tmp_path: Path, make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (job,) = jobs_of(make_request, 1)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            made = Generation(job.request, "made", Stop("stop"), "", "", 1.0)
            store.put(job.request, job.trial, made, label=job.label)

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(prefetch, "time", clock)
    notices = Attended(tmp_path / "run")
    (tmp_path / "run" / "asked").mkdir(parents=True)
    (tmp_path / "run" / "failed").mkdir()
    assert waited(store, notices, job).generation.text == "made"
    assert pauses == pytest.approx(
        [0.02, 0.03, 0.045, 0.0675, 0.10125, 0.151875, 0.2278125, 0.25, 0.25]
    )
    # Asked for once, however long it takes.
    assert list(notices.asked()) == [Asked(job.request, 1, job.label)]


def test_waiting_has_an_end_where_nothing_comes(
    store: GenerationStore, tmp_path: Path, make_request: MakeRequest
) -> None:
    (job,) = jobs_of(make_request, 1)
    (tmp_path / "run" / "asked").mkdir(parents=True)
    (tmp_path / "run" / "failed").mkdir()
    with pytest.raises(
        InfrastructureError,
        match=r"^case 0: no generation within 0.05 s, though the run's first process is at it$",
    ):
        waited(store, Attended(tmp_path / "run"), job, seconds=0.05)


def test_a_folder_that_cannot_be_written_is_told_to_who_generates(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InfrastructureError, match=r"^the run's folder can't be written: "):
        start([])


def test_a_folder_that_cannot_be_written_is_told_to_who_waits(
    store: GenerationStore, tmp_path: Path, make_request: MakeRequest
) -> None:
    (tmp_path / "failed").mkdir()
    (tmp_path / "asked").write_text("")
    with pytest.raises(InfrastructureError, match=r"^the run's folder can't be written: "):
        waited(store, Attended(tmp_path), jobs_of(make_request, 1)[0])


def test_an_error_that_nobody_foresaw_concerns_its_own_item(
    server: MessagesServer, store: GenerationStore, notices: Notices, gated: Gated,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    jobs = jobs_of(make_request, 3)
    provider = gated()

    def provider_for(request: Request) -> Provider:
        if request == jobs[1].request:
            raise RuntimeError("odd")
        return provider

    prefetcher = Prefetcher(store, provider_for, notices, concurrency=1)
    prefetcher.start(jobs)
    assert prefetcher.wait(HANG_SECONDS)
    with pytest.raises(InfrastructureError, match=r"^RuntimeError: odd$"):
        waited(store, notices, jobs[1])
    assert waited(store, notices, jobs[2]).generation.text == "hello"
    assert prefetcher.progress() == Progress(made=2, failed=1)
    prefetcher.close()


def test_a_job_that_follows_from_one_that_failed_is_not_made(
    server: MessagesServer, start: Start, store: GenerationStore, notices: Notices,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    server.rules = [script(contains="design", status=500)]
    design = Job(make_request(user="a design"), 1, "case", lambda _: make_request(user="code"))
    prefetcher = start([design])
    assert prefetcher.wait(HANG_SECONDS)
    with pytest.raises(ProviderError):
        waited(store, notices, design)
    assert prefetcher.progress() == Progress(failed=1)
    assert {received.user for received in server.requests} == {"a design"}


def test_what_follows_from_two_is_made_once_and_from_nothing_not_at_all(
    server: MessagesServer, start: Start, make_request: MakeRequest
) -> None:
    code = make_request(user="code")
    jobs = [
        Job(make_request(user="one"), 1, "case", lambda _: code),
        Job(make_request(user="two"), 1, "case", lambda _: code),
        Job(make_request(user="three"), 1, "case", lambda _: None),
        Job(code, 1, "case"),
    ]
    prefetcher = start(jobs, concurrency=1)
    assert prefetcher.wait(HANG_SECONDS)
    # At once after what it follows from, though it stood further back.
    assert [received.user for received in server.requests] == ["one", "code", "two", "three"]
    assert prefetcher.progress() == Progress(made=4)


def test_notices_that_cannot_be_read_harm_nobody(tmp_path: Path, make_request: MakeRequest) -> None:
    notices = Notices(tmp_path)
    notices.attend()
    asked = Asked(make_request(), 1, "case")
    notices.ask(asked)
    (tmp_path / "asked" / "broken.json").write_text("{")
    (tmp_path / "failed" / "odd.json").write_text("[1]")
    assert list(notices.asked()) == [asked]
    assert list(notices.asked()) == []
    assert isinstance(notices.failure("odd"), InfrastructureError)
    notices.leave()
