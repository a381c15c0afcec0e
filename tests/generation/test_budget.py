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
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider
from pytest_convex_eval.generation.budget import Budget, BudgetExhaustedError
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import (
    GenerationCancelledError,
    ProviderError,
    Request,
)
from pytest_convex_eval.outcomes import ConfigurationError, InfrastructureError

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script

MakeRequest = Callable[..., Request]
MakeScript = Callable[..., "Script"]
Gated = Callable[..., AnthropicProvider]

PRICES = PriceTable.load()
ROOT = Path(__file__).parents[2]


def soon() -> float:
    return time.monotonic() + 0.3


def far() -> float:
    return time.monotonic() + 60


def test_a_request_is_reserved_at_its_most_and_settled_at_its_cost(
    tmp_path: Path, server: MessagesServer, gated: Gated, script: MakeScript,
    make_request: MakeRequest,
) -> None:  # fmt: skip
    server.default = script(output_tokens=30_000, latency=0.2)
    budget = Budget(1.0, tmp_path, PRICES)
    asking = threading.Thread(
        target=gated(budget).generate, args=(make_request(),), kwargs={"deadline_seconds": 30}
    )
    asking.start()
    while not server.requests:
        asking.join(0.01)
    during = budget.state()
    asking.join()
    after = budget.state()
    assert during.spent == 0
    assert 0.64 < during.reserved < 0.65
    assert after.reserved == 0
    assert after.spent == pytest.approx(server.sums.charged)
    assert not after.exhausted


def test_what_others_have_reserved_is_waited_for_and_what_is_spent_is_not(tmp_path: Path) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    first = budget.reserve(0.7, deadline=far())
    with pytest.raises(TimeoutError):
        budget.reserve(0.7, deadline=soon())
    threading.Timer(0.2, first.settle, [0.2]).start()
    second = budget.reserve(0.7, deadline=far())
    second.settle(0.7)
    began = time.monotonic()
    with pytest.raises(BudgetExhaustedError, match=r"\$1\.00 has .*0\.10.* left"):
        budget.reserve(0.2, deadline=far())
    assert time.monotonic() - began < 1
    assert budget.state().refused == 1
    # A smaller one still fits.
    budget.reserve(0.05, deadline=soon()).settle(0.01)


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
    with pytest.raises(ConfigurationError, match="claude-of-tomorrow"):
        provider.generate(make_request(model="claude-of-tomorrow"), deadline_seconds=5)
    assert server.requests == []


@pytest.mark.parametrize(
    ("trouble", "billed"),
    [
        ({"status": 500}, 0),
        ({"status": 429, "error_type": "rate_limit_error", "headers": {"retry-after": "0.6"}}, 0),
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
        gated(budget, attempts=2).generate(make_request(), deadline_seconds=1)
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
            provider.generate(request, deadline_seconds=60)
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
from pytest_convex_eval.generation.anthropic_provider import AnthropicProvider
from pytest_convex_eval.generation.budget import Budget, BudgetExhaustedError
from pytest_convex_eval.generation.pricing import PriceTable
from pytest_convex_eval.generation.provider import Request
budget = Budget(1.0, Path(sys.argv[1]), PriceTable.load())
with AnthropicProvider("key", base_url=sys.argv[2], gates=[budget]) as provider:
    for number in range(12):
        try:
            request = Request("claude-sonnet-5-5", "rules", f"{sys.argv[3]}.{number}", 10_000)
            provider.generate(request, deadline_seconds=60)
        except BudgetExhaustedError:
            print("exhausted")
            break
"""


def spender(folder: Path, url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SPENDER, folder, url, name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_processes_do_not_exceed_it(
    tmp_path: Path, server: MessagesServer, script: MakeScript
) -> None:
    server.default = script(output_tokens=9_000, latency=0.02)
    spenders = [spender(tmp_path, server.url, str(number)) for number in range(3)]
    assert [one.communicate(timeout=60)[0] for one in spenders] == ["exhausted\n"] * 3
    assert 0.8 < server.sums.charged <= 1.0
    budget = Budget(1.0, tmp_path, PRICES)
    assert budget.state().spent == pytest.approx(server.sums.charged)
    assert budget.state().exhausted


def test_what_a_killed_process_had_reserved_counts_as_spent(
    tmp_path: Path, server: MessagesServer, script: MakeScript
) -> None:
    server.default = script(latency=30)
    one = spender(tmp_path, server.url, "killed")
    while not server.requests:
        time.sleep(0.02)
    budget = Budget(1.0, tmp_path, PRICES)
    assert budget.state().reserved > 0.1
    one.kill()
    one.communicate()
    state = budget.state()
    assert state.reserved == 0
    assert 0.1 < state.spent < 0.11


@pytest.mark.parametrize("text", ["", "[]", '{"spent": "x", "refused": 0, "reserved": {}}',
                                  '{"spent": 0, "refused": 0, "reserved": {"a": 1}}'])  # fmt: skip
def test_a_broken_ledger_spends_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "budget.json").write_text(text)
    with pytest.raises(InfrastructureError, match="ledger"):
        Budget(1.0, tmp_path, PRICES).reserve(0.1, deadline=far())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="ledger"):
        Budget(1.0, tmp_path / "file", PRICES).reserve(0.1, deadline=far())


def test_cancelling_ends_a_wait(tmp_path: Path) -> None:
    budget = Budget(1.0, tmp_path, PRICES)
    budget.reserve(0.9, deadline=far())
    threading.Timer(0.1, budget.cancel).start()
    with pytest.raises(GenerationCancelledError):
        budget.reserve(0.9, deadline=far())


def test_the_ledger_names_the_process_that_reserved(tmp_path: Path) -> None:
    Budget(1.0, tmp_path, PRICES).reserve(0.5, deadline=far())
    (entry,) = json.loads((tmp_path / "budget.json").read_text())["reserved"].values()
    assert entry == {"usd": 0.5, "process": os.getpid()}
