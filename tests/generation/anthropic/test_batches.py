"""Message Batches, by the real SDK against the local server."""

from __future__ import annotations

import copy
import datetime
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.generation.ahead.budget import Budget, BudgetExhaustedError
from pytest_convex_eval.generation.ahead.notices import Notices
from pytest_convex_eval.generation.ahead.prefetch import Job
from pytest_convex_eval.generation.anthropic.batch_files import BatchFile, BatchFiles
from pytest_convex_eval.generation.anthropic.batches import (
    BatchPolicy,
    BatchRunner,
)
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import (
    Generation,
    GenerationCancelledError,
    ProviderError,
    Request,
)
from pytest_convex_eval.generation.store import GenerationStore
from pytest_convex_eval.generation.vendor import BatchProgress
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
MakeRunner = Callable[..., BatchRunner]
PRICES = PriceTable.of_package("pytest_convex_eval.generation.anthropic")
POLICY = BatchPolicy(poll=0.02, attempts=3, pause=0.01, timeout=HANG_SECONDS, deadline=600.0)


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(tmp_path / "store")


@pytest.fixture
def runner(sdk: None, server: MessagesServer, store: GenerationStore) -> MakeRunner:
    def make(policy: BatchPolicy = POLICY, **options: Any) -> BatchRunner:
        return BatchRunner(
            store, "sk-ant-test-key", base_url=server.url, policy=policy, prices=PRICES, **options
        )

    return make


@pytest.fixture
def jobs(make_request: MakeRequest) -> list[Job]:
    return [
        Job(make_request(user=f"task {number}."), 1 + number % 2, f"case {number}")
        for number in range(6)
    ]


def sent(server: MessagesServer) -> list[list[str]]:
    """The keys of each batch that was sent."""
    return [[entry["custom_id"] for entry in request.body["requests"]]
            for request in server.requests if "requests" in request.body]  # fmt: skip


def interrupt(runner: MakeRunner, server: MessagesServer, jobs: list[Job]) -> None:
    """A run that ends when it has sent its batch."""
    server.batch_polls = 2
    first = runner()
    first.cancel()
    with pytest.raises(GenerationCancelledError):
        first.run(jobs)


def test_a_selection_becomes_one_batch_and_each_result_its_generation(
    server: MessagesServer, runner: MakeRunner, store: GenerationStore, jobs: list[Job],
    script: MakeScript,
) -> None:  # fmt: skip
    server.rules = [script(contains=f"task {n}.", text=f"reply {n}") for n in range(6)]
    server.batch_polls = 3
    seen: list[BatchProgress] = []
    outcome = runner(on_progress=seen.append).run(jobs)
    assert (outcome.stored, outcome.made, outcome.failures) == (0, 6, {})
    assert sent(server) == [[job.key for job in jobs]]
    for number, job in enumerate(jobs):
        generation = store.find(job.request, job.trial)
        assert generation is not None
        assert generation.text == f"reply {number}"
        assert generation.answered_by == "claude-sonnet-5-5"
        assert generation.usage.told["service_tier"] == "batch"
        assert generation.request_id == "msgbatch_1"
    assert [(one.batches, one.processing) for one in seen] == [(1, 6), (1, 6), (0, 0)]
    assert not list((store.folder / ".batches").glob("*.json"))
    params = server.requests[0].body["requests"][0]["params"]
    assert "stream" not in params
    assert params["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_a_batch_costs_half(
    runner: MakeRunner, server: MessagesServer, store: GenerationStore, jobs: list[Job],
    script: MakeScript,
) -> None:  # fmt: skip
    server.default = script(output_tokens=100_000)
    server.caching = True
    runner().run(jobs)
    total = 0.0
    for job in jobs:
        generation = store.find(job.request, job.trial)
        assert generation is not None
        cost = PRICES.cost(generation)
        assert cost is not None
        total += cost.usd
    assert total == pytest.approx(server.sums.charged)
    assert 3.0 < total < 3.1


def test_what_is_stored_is_not_sent(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job]
) -> None:
    assert runner().run(jobs[:4]).made == 4
    outcome = runner().run(jobs)
    assert (outcome.stored, outcome.made) == (4, 2)
    assert runner().run(jobs).stored == 6
    assert [len(batch) for batch in sent(server)] == [4, 2]


def test_an_interrupted_run_finds_its_batch_again(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job]
) -> None:
    server.batch_polls = 1_000_000
    first: BatchRunner = runner(BatchPolicy(poll=600), on_progress=lambda _: first.cancel())
    with pytest.raises(GenerationCancelledError, match="the next one finds its batches"):
        first.run(jobs)
    server.batch_polls = 1
    # More is selected now, and only that is sent.
    more = [*jobs, Job(jobs[0].request, 7, "case 0")]
    outcome = runner().run(more)
    assert (outcome.made, outcome.failures) == (7, {})
    assert [len(batch) for batch in sent(server)] == [6, 1]


def test_results_that_another_selection_waits_for_are_kept_for_it(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job]
) -> None:
    interrupt(runner, server, jobs)
    assert runner().run(jobs[:2]).made == 2
    assert runner().run(jobs).made == 4
    assert len(sent(server)) == 1


def test_a_batch_whose_name_was_never_noted_is_looked_for(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], store: GenerationStore
) -> None:
    interrupt(runner, server, jobs)
    files = BatchFiles(store.folder)
    (file,) = files.read()
    # As a process leaves it that is killed between sending and noting.
    files.write(BatchFile(file.keys, file.submitted, None))
    assert runner().run(jobs).made == 6
    assert len(sent(server)) == 1


def test_a_batch_that_was_never_sent_is_sent(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], store: GenerationStore
) -> None:
    files = BatchFiles(store.folder)
    with files.locked():
        keys = tuple(job.key for job in jobs)
        files.write(BatchFile(keys, "2026-11-20T10:00:00.000+00:00", None))
    assert runner().run(jobs).made == 6
    assert len(sent(server)) == 1


@pytest.mark.parametrize(
    ("entry", "error", "words"),
    [
        ({"batch": "expired"}, ProviderError, "expired"),
        ({"batch": "canceled"}, ProviderError, "canceled"),
        ({"status": 500}, ProviderError, "scripted trouble"),
        ({"status": 529, "error_type": "overloaded_error"}, ProviderError, "overloaded_error"),
        ({"status": 400, "error_type": "invalid_request_error"}, ConfigurationError,
         "scripted trouble"),
        ({"text": "", "output_tokens": 0}, ProviderError, "no output"),
        ({"stop_reason": None}, ProviderError, "no stop reason"),
    ],
)  # fmt: skip
def test_an_entry_without_a_reply_fails_alone_and_is_asked_for_again(
    entry: dict[str, Any], error: type[Exception], words: str, server: MessagesServer,
    runner: MakeRunner, jobs: list[Job], script: MakeScript, store: GenerationStore,
    tmp_path: Path,
) -> None:  # fmt: skip
    server.rules = [script(contains="task 2.", **entry)]
    notices = Notices(tmp_path / "run")
    notices.attend()
    outcome = runner(notices=notices).run(jobs)
    notices.leave()
    assert outcome.made == 5
    assert list(outcome.failures) == [jobs[2].key]
    for told in (outcome.failures[jobs[2].key], notices.failure(jobs[2].key)):
        assert type(told) is error
        assert words in str(told)
    assert store.find(jobs[2].request, jobs[2].trial) is None
    server.rules = []
    assert runner().run(jobs).made == 1
    assert [len(batch) for batch in sent(server)] == [6, 1]


@pytest.mark.parametrize("reason", ["refusal", "max_tokens"])
def test_refusals_and_replies_cut_off_are_stored(
    reason: str, runner: MakeRunner, server: MessagesServer, jobs: list[Job], script: MakeScript,
    store: GenerationStore,
) -> None:  # fmt: skip
    server.default = script(stop_reason=reason, stop_details={"category": "cyber"})
    assert runner().run(jobs[:1]).made == 1
    generation = store.find(jobs[0].request, jobs[0].trial)
    assert generation is not None
    assert generation.stop.reason == reason
    assert generation.stop.category == "cyber"


def test_trouble_in_sending_is_tried_again_and_sends_nothing_twice(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript
) -> None:
    server.queue = [script(status=529, error_type="overloaded_error")]
    assert runner().run(jobs).made == 6
    assert len(server.batches) == 1


def test_a_batch_whose_creation_nobody_heard_of_is_not_sent_again(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript
) -> None:
    server.queue = [script(ending="drop")]
    assert runner().run(jobs).made == 6
    assert len(server.batches) == 1


def test_trouble_that_does_not_pass_is_told_and_loses_nothing(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript
) -> None:
    server.queue = [script(status=500, message="sorry, sk-ant-test-key")] * 3
    with pytest.raises(ProviderError, match="sorry") as caught:
        runner().run(jobs)
    assert "sk-ant" not in str(caught.value) + caught.value.detail
    assert runner().run(jobs).made == 6
    assert len(server.batches) == 1


def test_a_wrong_key_is_a_matter_of_configuration_and_leaves_no_trace(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript,
    store: GenerationStore,
) -> None:  # fmt: skip
    server.queue = [script(status=401, error_type="authentication_error")]
    with pytest.raises(ConfigurationError, match="scripted trouble"):
        runner().run(jobs)
    assert BatchFiles(store.folder).read() == []


def test_a_batch_that_the_account_does_not_have_is_not_paid_again(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job]
) -> None:
    interrupt(runner, server, jobs)
    server.batches.clear()
    with pytest.raises(ConfigurationError, match=r"msgbatch_1.*remove .*\.json"):
        runner().run(jobs)
    assert len(sent(server)) == 1


def test_a_file_that_cannot_be_read_is_not_passed_over(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], store: GenerationStore
) -> None:
    (store.folder / ".batches").mkdir(parents=True)
    (store.folder / ".batches" / "broken.json").write_text("{}")
    with pytest.raises(InfrastructureError, match=r"broken\.json"):
        runner().run(jobs)
    assert sent(server) == []


def test_a_budget_leaves_out_what_it_cannot_pay(
    server: MessagesServer, runner: MakeRunner, tmp_path: Path, script: MakeScript
) -> None:
    server.default = script(output_tokens=9_000)
    budget = Budget(0.2, tmp_path / "run", PRICES)
    jobs = [
        Job(Request("claude-sonnet-5-5", "rules", f"task {number}", 10_000), 1, f"case {number}")
        for number in range(6)
    ]
    outcome = runner(budget=budget).run(jobs)
    assert outcome.made == 3
    assert [type(error) for error in outcome.failures.values()] == [BudgetExhaustedError] * 3
    assert server.sums.charged <= 0.2
    assert budget.state().spent == pytest.approx(server.sums.charged)
    assert budget.state().reserved == 0


def test_money_that_is_spent_and_money_that_is_reserved_are_told_apart(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], tmp_path: Path
) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    most = PRICES.most(jobs[0].request, today, batch=True)
    assert most is not None
    budget = Budget(1.5 * most, tmp_path / "run", PRICES)
    outcome = runner(budget=budget).run(jobs[:2])
    assert {key: str(error) for key, error in outcome.failures.items()} == {
        jobs[1].key: "not run: the budget is reserved by the other entries of the batch"
    }
    budget.reserve(most, deadline=time.monotonic()).settle(most)
    outcome = runner(budget=budget).run(jobs[2:4])
    assert outcome.made == 0
    assert list(outcome.failures) == [job.key for job in jobs[2:4]]
    for error in outcome.failures.values():
        assert isinstance(error, BudgetExhaustedError)
        assert str(error).startswith("not run: the budget of ")
    assert len(sent(server)) == 1


def test_what_follows_from_a_generation_is_a_second_batch(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript,
    make_request: MakeRequest, store: GenerationStore,
) -> None:  # fmt: skip
    def code(generation: Generation) -> Request | None:
        number = generation.request.user.removeprefix("task ")
        return None if number == "1." else make_request(user=f"code {number}")

    outcome = runner().run([Job(job.request, job.trial, job.label, code) for job in jobs[:3]])
    assert outcome.made == 5
    assert [len(batch) for batch in sent(server)] == [3, 2]
    assert store.find(make_request(user="code 0."), 1) is not None


def test_two_processes_send_one_batch(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job]
) -> None:
    server.batch_polls = 10
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(runner().run(jobs).made))
               for _ in range(2)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert len(sent(server)) == 1


def test_the_files_are_not_good_to_commit(
    store: GenerationStore, runner: MakeRunner, jobs: list[Job]
) -> None:
    runner().run(jobs)
    assert (store.folder / ".batches" / ".gitignore").read_text() == "*\n"


def test_failures_of_sending_pause_for_as_long_as_the_provider_asks_or_ever_longer(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server.queue = [
        script(status=500), script(status=500), script(status=500),
        script(status=529, headers={"retry-after": "7"}), script(status=500),
    ]  # fmt: skip
    server.batch_polls = 0
    one = runner(BatchPolicy(poll=3.0, attempts=6, pause=1.0, timeout=HANG_SECONDS))
    pauses: list[float] = []
    monkeypatch.setattr(one, "_pause", pauses.append)
    assert one.run(jobs).made == 6
    assert pauses == [1.0, 2.0, 3.0, 7.0, 3.0]
    assert len(server.batches) == 1


def test_trouble_that_waiting_does_not_help_is_told_at_once(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript
) -> None:
    server.queue = [script(status=413, error_type="request_too_large", message="too large")]
    with pytest.raises(
        ProviderError, match=r"^the provider's batches can't be used: too large$"
    ) as caught:
        runner().run(jobs)
    assert caught.value.detail == "too large"
    assert len(sent(server)) == 1


def test_a_batch_that_never_ends_is_left_to_the_next_run(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job]
) -> None:
    server.batch_polls = 1_000_000
    with pytest.raises(
        ProviderError,
        match=r"^1 batches have not ended in 0\.0 hours; the next run goes on waiting for them$",
    ):
        runner(BatchPolicy(poll=0.01, deadline=0.0)).run(jobs)
    server.batch_polls = 1
    assert runner().run(jobs).made == 6
    assert len(sent(server)) == 1


def test_what_is_on_its_way_is_told_while_it_is_waited_for(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_convex_eval.generation.anthropic.batch_entries.MOST_ENTRIES", 4)
    server.batch_polls = 2
    seen: list[BatchProgress] = []
    assert runner(on_progress=seen.append).run(jobs).made == 6
    assert [(one.batches, one.entries, one.processing) for one in seen] == [(2, 6, 6), (0, 6, 0)]
    assert 0 <= seen[0].seconds <= seen[1].seconds
    assert sent(server) == [[job.key for job in jobs[:4]], [job.key for job in jobs[4:]]]


def test_a_result_that_the_provider_lost_is_a_failure_of_its_own(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], store: GenerationStore
) -> None:
    interrupt(runner, server, jobs)
    (batch,) = server.batches.values()
    lost = jobs[3].key
    batch.requests[:] = [one for one in batch.requests if one["custom_id"] != lost]
    outcome = runner().run(jobs)
    assert outcome.made == 5
    assert {key: str(error) for key, error in outcome.failures.items()} == {
        lost: "the batch msgbatch_1 has no result for it"
    }
    assert isinstance(outcome.failures[lost], ProviderError)
    assert BatchFiles(store.folder).read() == []


def test_a_batch_of_another_size_or_of_before_is_not_taken_for_ours(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], store: GenerationStore
) -> None:
    """Three batches of the account: one too old, one too small, and one that is another file's."""
    interrupt(runner, server, jobs[:3])
    (other,) = BatchFiles(store.folder).read()
    (batch,) = server.batches.values()
    runner(BatchPolicy(poll=0.01)).run(jobs[3:5])
    files = BatchFiles(store.folder)
    keys = tuple(job.key for job in jobs[3:])
    with files.locked():
        now = datetime.datetime.now(datetime.UTC)
        files.write(BatchFile(keys, (now - datetime.timedelta(minutes=4)).isoformat(), None))
    old = copy.copy(batch)
    old.identity, old.created = "msgbatch_old", now - datetime.timedelta(minutes=10)
    server.batches = {"msgbatch_old": old, **server.batches}
    assert runner().run([*jobs[:3], jobs[5]]).made == 4
    assert [len(batch) for batch in sent(server)] == [3, 2, 1]
    assert other.batch == "msgbatch_1"


def test_entries_that_failed_give_their_money_back_and_those_unheard_of_do_not(
    server: MessagesServer, runner: MakeRunner, jobs: list[Job], script: MakeScript, tmp_path: Path
) -> None:
    budget = Budget(100.0, tmp_path / "run", PRICES)
    today = datetime.datetime.now(datetime.UTC).date()
    most = PRICES.most(jobs[1].request, today, batch=True)
    assert most is not None
    server.rules = [
        script(contains="task 0.", batch="expired"),
        script(contains="task 1.", text="", output_tokens=0),
    ]
    assert runner(budget=budget).run(jobs[:2]).made == 0
    assert budget.state().spent == pytest.approx(most)
    assert budget.state().reserved == 0
    # An interrupted run has paid for all that it sent.
    interrupted = runner(budget=budget)
    interrupted.cancel()
    server.batch_polls = 5
    with pytest.raises(GenerationCancelledError):
        interrupted.run(jobs[2:4])
    assert budget.state().spent == pytest.approx(3 * most)
    assert budget.state().reserved == 0


def test_a_model_without_a_price_is_in_no_batch_that_has_a_budget(
    server: MessagesServer, runner: MakeRunner, tmp_path: Path, make_request: MakeRequest
) -> None:
    budget = Budget(100.0, tmp_path / "run", PRICES)
    job = Job(make_request(model="claude-of-tomorrow"), 1, "case")
    with pytest.raises(
        ConfigurationError,
        match=r"^no price is known for claude-of-tomorrow, so that no budget can be kept with it$",
    ):
        runner(budget=budget).run([job])
    assert sent(server) == []


def test_files_of_batches_are_named_by_their_keys_and_read_oldest_first(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path)
    new = BatchFile(("b", "a"), "2026-11-20T10:00:00+00:00", "batch")
    old = BatchFile(("c",), "2026-11-19T10:00:00+00:00", None)
    assert files.read() == []
    with files.locked():
        for file in (new, old):
            files.write(file)
    assert files.read() == [old, new]
    assert new.name == BatchFile(("a", "b"), "", None).name
    assert len({new.name, old.name, BatchFile(("a",), "", None).name}) == 3
    files.remove(old)
    files.remove(old)
    assert files.read() == [new]


@pytest.mark.parametrize(
    "changes",
    [{"format": 2}, {"batch": 1}, {"submitted": None}, {"keys": "a"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_file_of_another_form_is_no_file_of_a_batch(
    changes: dict[str, object], tmp_path: Path
) -> None:
    files = BatchFiles(tmp_path)
    file = BatchFile(("a",), "2026-11-20T10:00:00+00:00", None)
    with files.locked():
        files.write(file)
    data = json.loads(files.path(file).read_text())
    assert data == {
        "format": 1, "batch": None, "submitted": "2026-11-20T10:00:00+00:00", "keys": ["a"],
    }  # fmt: skip
    files.path(file).write_text(json.dumps({**data, **changes}))
    with pytest.raises(
        InfrastructureError, match=rf"can't be used: {file.name} is no file of a batch$"
    ):
        files.read()
