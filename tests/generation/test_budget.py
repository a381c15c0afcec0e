"""The budget: reserved before each request, by threads and processes, and never exceeded."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.ahead.budget import Budget, BudgetExhaustedError
from pytest_convex_eval.generation.anthropic.provider import AnthropicProvider
from pytest_convex_eval.generation.anthropic.words import usage_of
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import (
    AttemptEnd,
    GenerationCancelledError,
    ProviderError,
    Request,
)
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]

PRICES = PriceTable.of_package("pytest_convex_eval.generation.anthropic")
FIFTY = usage_of({"input_tokens": 0, "output_tokens": 50})
ROOT = Path(__file__).parents[2]


def now() -> float:
    return time.monotonic()


def far() -> float:
    return time.monotonic() + HANG_SECONDS


class Pauses(list[float]):
    """Takes the place of a budget's pauses: keeps their seconds, and lets something happen."""

    def __init__(self, budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.then: Callable[[], None] = lambda: None
        monkeypatch.setattr(budget, "sleep", self._pause)

    def _pause(self, seconds: float) -> None:
        self.append(seconds)
        self.then()


def test_a_request_is_reserved_at_its_most_and_settled_at_its_cost(
    tmp_path: Path, server: MessagesServer, gated: Gated, script: MakeScript,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    told = threading.Event()
    server.default = script(output_tokens=30_000, hold=told)
    budget = Budget(1.0, tmp_path, PRICES)
    asking = threading.Thread(
        target=gated(budget).generate,
        args=(make_request(),),
        kwargs={"deadline_seconds": HANG_SECONDS},
    )
    asking.start()
    server.until_asked()
    during = budget.state()
    told.set()
    asking.join()
    after = budget.state()
    assert during.spent == 0
    assert 0.64 < during.reserved < 0.65
    assert after.reserved == 0
    assert after.spent == pytest.approx(server.sums.charged)
    assert not after.exhausted


def test_what_others_have_reserved_is_waited_for_and_what_is_spent_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    pauses = Pauses(budget, monkeypatch)
    first = budget.reserve(0.7, deadline=far())
    with pytest.raises(TimeoutError, match=r"^the budget is reserved by other requests$"):
        budget.reserve(0.7, deadline=now())
    assert pauses == []
    pauses.then = lambda: first.settle(0.2) if len(pauses) == 8 else None
    second = budget.reserve(0.7, deadline=far())
    # Patience grows, and has an end.
    assert pauses == pytest.approx([0.05, 0.075, 0.1125, 0.16875, 0.253125, 0.3796875, 0.5, 0.5])
    pauses.clear()
    second.settle(0.7)
    with pytest.raises(
        BudgetExhaustedError,
        match=r"^not run: the budget of \$1\.00 has \$0\.10 left, and the reply may cost \$0\.20$",
    ):
        budget.reserve(0.2, deadline=far())
    assert pauses == []
    assert astuple(budget.state()) == pytest.approx((1.0, 0.9, 0, 1))
    assert budget.state().exhausted
    # A smaller one still fits, to the last cent.
    budget.reserve(0.1, deadline=now()).settle(0.2)
    # What the provider billed beyond what anybody expected leaves nothing, and not less.
    with pytest.raises(BudgetExhaustedError, match=r"has \$0\.00 left"):
        budget.reserve(0.01, deadline=far())
    assert budget.state().refused == 2


def test_each_reservation_is_settled_for_itself(tmp_path: Path) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    first, second = (budget.reserve(usd, deadline=now()) for usd in (0.3, 0.4))
    assert astuple(budget.state()) == pytest.approx((1.0, 0, 0.7, 0))
    second.settle(0.1)
    assert astuple(budget.state()) == pytest.approx((1.0, 0.1, 0.3, 0))
    first.settle(0.0)
    assert astuple(budget.state()) == pytest.approx((1.0, 0.1, 0, 0))
    assert not budget.state().exhausted


@pytest.mark.parametrize(
    ("end", "spent"),
    [
        (AttemptEnd("answered", True, usage=FIFTY), 0.0005),
        (AttemptEnd("answered", True, answered_by="claude-opus-5-5", usage=FIFTY), 0.001),
        (AttemptEnd("answered", True, answered_by="somebody-else", usage=FIFTY), None),
        (AttemptEnd("answered", True, usage=usage_of({})), None),
        (AttemptEnd("trouble", billed=True), None),
        (AttemptEnd("trouble"), 0.0),
        (AttemptEnd("refused"), 0.0),
    ],
)  # fmt: skip
def test_a_request_that_has_ended_is_settled_at_what_is_known_of_its_cost(
    end: AttemptEnd, spent: float | None, tmp_path: Path, make_request: MakeRequest
) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    request = make_request(max_tokens=100)
    most = PRICES.most(request, datetime.datetime.now(datetime.UTC).date())
    assert most is not None
    passage = budget.enter(request, deadline=now())
    passage.answering()
    assert astuple(budget.state()) == pytest.approx((1.0, 0, most, 0))
    passage.leave(end)
    assert astuple(budget.state()) == pytest.approx((1.0, most if spent is None else spent, 0, 0))


def test_what_is_unknown_counts_at_its_most_and_a_second_settlement_for_nothing(
    tmp_path: Path,
) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    reservation = budget.reserve(0.4, deadline=far())
    reservation.settle(None)
    reservation.settle(0.3)
    assert budget.state().spent == pytest.approx(0.4)


def test_a_model_without_a_price_can_have_no_budget(
    tmp_path: Path, gated: Gated, server: MessagesServer, make_request: MakeRequest
) -> None:
    provider = gated(Budget(1.0, tmp_path, PRICES))
    with pytest.raises(
        ConfigurationError,
        match=r"^no price is known for claude-of-tomorrow, so that no budget can be kept with it; "
        r"the ini key convex_model_prices tells one$",
    ):
        provider.generate(make_request(model="claude-of-tomorrow"), deadline_seconds=HANG_SECONDS)
    assert server.requests == []


@pytest.mark.parametrize(
    ("trouble", "billed"),
    [
        ({"status": 500}, 0),
        ({"status": 429, "error_type": "rate_limit_error", "headers": {"retry-after": "60"}}, 0),
        ({"status": 401, "error_type": "authentication_error"}, 0),
        ({"ending": "drop", "text": "a long text"}, 2),
        ({"ending": "cut", "text": "a long text"}, 2),
        ({"ending": "error", "error_type": "overloaded_error", "text": "a long text"}, 2),
    ],
)
def test_attempts_that_may_have_been_billed_count_at_their_most(
    trouble: dict[str, object], billed: int, tmp_path: Path, server: MessagesServer, gated: Gated,
    script: MakeScript, make_request: MakeRequest,
) -> None:  # fmt: skip
    server.default = script(**trouble)
    budget = Budget(100.0, tmp_path, PRICES)
    with pytest.raises((ProviderError, ConfigurationError)):
        gated(budget, attempts=2, refused=0.0).generate(
            make_request(), deadline_seconds=HANG_SECONDS
        )
    most = PRICES.most(make_request(), datetime.datetime.now(datetime.UTC).date())
    assert most is not None
    assert budget.state().spent == pytest.approx(billed * most)
    assert budget.state().spent >= server.sums.charged
    assert budget.state().reserved == 0


def test_threads_do_not_exceed_it(
    tmp_path: Path, server: MessagesServer, gated: Gated, script: MakeScript,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    server.default = script(output_tokens=9_000, latency=0.02)
    budget = Budget(1.0, tmp_path, PRICES)
    provider = gated(budget)

    def ask(number: int) -> bool:
        request = make_request(user=f"task {number}", max_tokens=10_000)
        try:
            provider.generate(request, deadline_seconds=HANG_SECONDS)
        except BudgetExhaustedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = sum(pool.map(ask, range(20)))
    # 0.09 USD each, and 0.1 have to be left for one.
    assert made in (10, 11)
    assert server.sums.charged <= 1.0
    assert budget.state().spent == pytest.approx(server.sums.charged)


SPENDER = """
import sys, time
from pathlib import Path
from pytest_convex_eval.generation.ahead.budget import Budget, BudgetExhaustedError
from pytest_convex_eval.generation.anthropic.words import usage_of
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import AttemptEnd, Request
budget = Budget(1.0, Path(sys.argv[1]), PriceTable.of_package(
    "pytest_convex_eval.generation.anthropic"))
request = Request("claude-sonnet-5-5", "rules", "task", 10_000)
print("ready", flush=True)
sys.stdin.readline()
made = 0
try:
    while made < 12:
        passage = budget.enter(request, deadline=time.monotonic() + 600)
        print("reserved", flush=True)
        if sys.argv[2] == "keep":
            sys.stdin.readline()
        usage = {"input_tokens": 0, "output_tokens": 9000}
        passage.leave(AttemptEnd("answered", True, usage=usage_of(usage)))
        made += 1
except BudgetExhaustedError:
    print("exhausted after", made)
"""


def spender(folder: Path, how: str) -> subprocess.Popen[str]:
    """A process that spends 0.09 USD again and again from the first line that it is sent on."""
    return subprocess.Popen(
        [sys.executable, "-c", SPENDER, folder, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_processes_do_not_exceed_it(tmp_path: Path) -> None:
    spenders = [spender(tmp_path, "spend") for _ in range(3)]
    for one in spenders:
        assert told(one) == "ready"
    for one in spenders:
        go_on(one)
    lines = [one.communicate()[0].splitlines() for one in spenders]
    assert all(line[-1].startswith("exhausted after") for line in lines)
    made = sum(line.count("reserved") for line in lines)
    # 0.1 have to be left for one.
    assert made in (10, 11)
    state = Budget(1.0, tmp_path, PRICES).state()
    assert astuple(state) == pytest.approx((1.0, 0.09 * made, 0, 3))


def test_what_a_killed_process_had_reserved_counts_as_spent(tmp_path: Path) -> None:
    one = spender(tmp_path, "keep")
    go_on(one)
    assert [told(one), told(one)] == ["ready", "reserved"]
    budget = Budget(1.0, tmp_path, PRICES)
    before = budget.state()
    assert (before.spent, before.refused) == (0, 0)
    assert 0.1 < before.reserved < 0.11
    one.kill()
    one.communicate()
    assert astuple(budget.state()) == pytest.approx((1.0, before.reserved, 0, 0))
    # Once, and for all that come after.
    budget.reserve(0.1, deadline=now()).settle(0.0)
    assert astuple(Budget(1.0, tmp_path, PRICES).state()) == pytest.approx(
        (1.0, before.reserved, 0, 0)
    )


@pytest.mark.parametrize("text", ["", "[]", '{"spent": "x", "refused": 0, "reserved": {}}',
                                  '{"spent": 0, "refused": 0, "reserved": {"a": 1}}'])  # fmt: skip
def test_a_broken_ledger_spends_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "budget.json").write_text(text)
    with pytest.raises(InfrastructureError, match=r"^the budget's ledger in .* can't be used: "):
        Budget(1.0, tmp_path, PRICES).reserve(0.1, deadline=far())
    assert (tmp_path / "budget.json").read_text() == text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="ledger"):
        Budget(1.0, tmp_path / "file", PRICES).reserve(0.1, deadline=far())


def test_the_folder_of_a_run_is_made(tmp_path: Path) -> None:
    Budget(1.0, tmp_path / "runs" / "one", PRICES).reserve(0.1, deadline=now())
    assert (tmp_path / "runs" / "one" / "budget.json").exists()


def test_cancelling_ends_a_wait(tmp_path: Path) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    budget.reserve(0.9, deadline=far())
    budget.cancel()
    with pytest.raises(GenerationCancelledError, match=r"^the run was interrupted$"):
        budget.reserve(0.9, deadline=far())
    with pytest.raises(GenerationCancelledError):
        budget.sleep(600)
    assert astuple(budget.state()) == pytest.approx((1.0, 0, 0.9, 0))


def test_the_ledger_names_the_process_that_reserved(tmp_path: Path) -> None:
    Budget(1.0, tmp_path, PRICES).reserve(0.5, deadline=far())
    ledger = json.loads((tmp_path / "budget.json").read_text())
    (entry,) = ledger["reserved"].values()
    assert entry == {"usd": 0.5, "process": os.getpid()}
    assert (ledger["spent"], ledger["refused"]) == (0, 0)


def test_whole_dollars_in_a_ledger_are_dollars(tmp_path: Path) -> None:
    entry = {"usd": 1, "process": os.getpid()}
    ledger = {"spent": 2, "refused": 3, "reserved": {"one": entry, "two": entry}}
    (tmp_path / "budget.json").write_text(json.dumps(ledger))
    assert astuple(Budget(9.0, tmp_path, PRICES).state()) == pytest.approx((9.0, 2, 2, 3))


def test_a_process_of_somebody_else_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    budget.reserve(0.5, deadline=now())

    def forbidden(process: int, signal: int) -> None:
        assert (process, signal) == (os.getpid(), 0)
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert astuple(budget.state()) == pytest.approx((1.0, 0, 0.5, 0))
