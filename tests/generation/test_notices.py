"""What the processes of a run tell each other about generations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_convex_eval.generation.ahead.budget import BudgetExhaustedError
from pytest_convex_eval.generation.ahead.notices import Asked, Notices
from pytest_convex_eval.generation.provider import (
    Attempt,
    GenerationCancelledError,
    ProviderError,
    Request,
)
from pytest_convex_eval.outcomes import ConfigurationError, ConvexEvalError, InfrastructureError

MakeRequest = Callable[..., Request]
ATTEMPT = Attempt("2026-11-02T10:00:00Z", 1.5, "overloaded_error", 529, "busy", "req_1", 2.0)


@pytest.fixture
def attending(tmp_path: Path) -> Iterator[Notices]:
    notices = Notices(tmp_path / "runs" / "one")
    notices.attend()
    yield notices
    notices.leave()


@pytest.fixture
def worker(attending: Notices, tmp_path: Path) -> Notices:
    """The same folder, as another process has it."""
    return Notices(tmp_path / "runs" / "one")


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("a key is missing"),
        BudgetExhaustedError("not run"),
        ProviderError("no reply", detail="its words", attempts=(ATTEMPT, ATTEMPT)),
        ProviderError("no reply"),
        GenerationCancelledError("interrupted"),
        InfrastructureError("no network", detail="more"),
    ],
    ids=["configuration", "budget", "provider", "no attempt", "cancelled", "infrastructure"],
)
def test_an_error_is_told_as_what_it_is(
    error: ConvexEvalError, attending: Notices, worker: Notices
) -> None:
    attending.fail("key", error)
    told = worker.failure("key")
    assert type(told) is type(error)
    assert str(told) == str(error)
    for name in ("detail", "attempts"):
        if not isinstance(error, GenerationCancelledError):
            assert getattr(told, name, None) == getattr(error, name, None)
    assert worker.failure("another key") is None


def test_an_error_of_no_kind_known_is_nobodys_fault(attending: Notices, worker: Notices) -> None:
    attending.fail("key", ConvexEvalError("odd"))
    told = worker.failure("key")
    assert (type(told), str(told)) == (InfrastructureError, "odd")


def test_the_end_of_all_is_told_of_every_key_but_those_that_failed_before(
    attending: Notices, worker: Notices
) -> None:
    attending.fail("key", InfrastructureError("its own"))
    attending.stop(ConfigurationError("a key is missing"))
    assert str(worker.failure("key")) == "its own"
    assert str(worker.failure("another key")) == "a key is missing"


def test_what_is_asked_for_is_taken_once_and_the_oldest_first(
    attending: Notices, worker: Notices, make_request: MakeRequest, tmp_path: Path
) -> None:
    asked = [Asked(make_request(user=f"task {number}"), number + 1, "case") for number in range(4)]
    for age, one in enumerate(asked):
        worker.ask(one)
        path = tmp_path / "runs" / "one" / "asked" / f"{one.key}.json"
        os.utime(path, (1000 - age, 1000 - age))
    assert list(attending.asked()) == asked[::-1]
    assert list(attending.asked()) == []
    worker.ask(asked[0])
    worker.ask(asked[0])
    assert list(attending.asked()) == [asked[0]]
    assert asked[1].key == asked[1].request.key(2)


def test_a_prompt_that_no_encoding_can_hold_is_asked_for(
    attending: Notices, worker: Notices, make_request: MakeRequest
) -> None:
    asked = Asked(make_request(user="\ud800"), 1, "case")
    worker.ask(asked)
    assert list(attending.asked()) == [asked]


@pytest.mark.parametrize("left_out", ["request", "trial", "label"])
def test_a_question_without_one_of_its_parts_is_dropped(
    left_out: str, attending: Notices, worker: Notices, make_request: MakeRequest, tmp_path: Path
) -> None:
    worker.ask(Asked(make_request(), 1, "case"))
    (path,) = (tmp_path / "runs" / "one" / "asked").glob("*.json")
    data = json.loads(path.read_text())
    assert set(data) == {"request", "trial", "label"}
    del data[left_out]
    path.write_text(json.dumps(data))
    assert list(attending.asked()) == []
    assert not path.exists()


def test_who_attends_is_seen_until_it_leaves(attending: Notices, worker: Notices) -> None:
    assert worker.attended()
    assert worker.attended()
    attending.leave()
    assert not worker.attended()
    attending.leave()
    # Looking did not take the place.
    worker.attend()
    assert attending.attended()
    worker.leave()


def test_in_a_folder_where_nobody_ever_was_nobody_attends(tmp_path: Path) -> None:
    notices = Notices(tmp_path / "none")
    assert not notices.attended()
    assert notices.failure("key") is None
    assert list(notices.asked()) == []
    assert not (tmp_path / "none").exists()


def test_a_second_process_is_told_where_the_first_is_at_work(
    attending: Notices, worker: Notices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_convex_eval.generation.ahead.notices._ATTEND_SECONDS", 0.01)
    with pytest.raises(InfrastructureError) as caught:
        worker.attend()
    assert str(caught.value) == f"another process generates for the run {tmp_path / 'runs' / 'one'}"
    # It holds nothing that it could let go of.
    worker.leave()
    assert worker.attended()


def test_a_notice_that_makes_no_sense_says_so(
    attending: Notices, worker: Notices, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "one" / "failed" / "key.json"
    path.write_text("[1]")
    assert str(worker.failure("key")) == "a notice about a generation can't be read: [1]"
    path.write_text('{"message": "odd"}')
    told = worker.failure("key")
    assert isinstance(told, InfrastructureError)
    assert (str(told), told.detail) == ("odd", "")
