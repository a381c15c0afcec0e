"""A budget over several workers, by what the provider itself says it bills."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_convex_eval.generation.ahead.budget import Budget
from pytest_convex_eval.generation.pricing import PriceTable
from tests.patience import HANG_SECONDS

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

NAMES = [f"case_{number:02}" for number in range(24)]
LIMIT_USD = 0.5


@pytest.mark.parametrize(
    ("trouble", "workers"),
    [
        (None, "2"),
        ({"ending": "drop"}, "4"),
        ({"ending": "cut"}, "2"),
        ({"status": 529, "error_type": "overloaded_error"}, "2"),
    ],
    ids=["quiet", "dropped", "cut", "overloaded"],
)
def test_what_the_provider_bills_never_exceeds_the_budget(
    trouble: dict[str, Any] | None, workers: str, tmp_path: Path, projects: type[Project],
    server: MessagesServer, script: Callable[..., Script], answer: str,
) -> None:  # fmt: skip
    """A reply costs most of the most it can: 0.040 of 0.055 USD. Every other one breaks off at
    first, after it has been billed; what for is not told, so that it counts at its most.

    How much is billed in the end depends on how many of those come first, which is chance: with
    `broken` of them it is the budget but for what one more reply could cost, and for `broken` times
    what the most is too much. That holds to the cent, so nothing is counted twice and nobody is
    refused too early.
    """
    server.default = script(text=answer, output_tokens=4_000, latency=0.05)
    if trouble is not None:
        server.rules = [
            script(text=answer, output_tokens=4_000, contains=f"<{name}>", times=1, **trouble)
            for name in NAMES[::2]
        ]
    # With time for everything: a slow machine's silence would be taken for the provider's, and
    # count at its most.
    patience = {"connect": HANG_SECONDS, "read": HANG_SECONDS}
    project = projects(tmp_path, server.url, retries=patience).write(*NAMES)
    args = ["--convex-budget", str(LIMIT_USD), "--convex-max-tokens", "5000"]
    # No long guidelines, whose bytes would be most of the most.
    ran = project.run("-n", workers, *args, "--convex-guidelines", "none")
    # A capped run is no failed one.
    assert ran.status == 0, ran.out
    stored = project.stored()
    verdicts = [item["verdict"] for item in project.items().values()]
    assert verdicts == ["passed"] * len(stored)
    unpaid = len(NAMES) - len(verdicts)
    assert unpaid > 0
    assert f"{unpaid} items not asked: the budget is spent" in ran.out

    request = next(iter(stored.values())).generation.request
    prices = PriceTable.of_package("pytest_convex_eval.generation.anthropic")
    most = prices.most(request, datetime.datetime.now(datetime.UTC).date())
    assert most is not None
    (run,) = (tmp_path / ".convex-eval" / "runs").iterdir()
    ledger = Budget(LIMIT_USD, run / "generation", prices).state()
    assert server.sums.charged <= LIMIT_USD
    assert ledger.reserved == 0
    assert LIMIT_USD - most < ledger.spent <= LIMIT_USD
    billed = [cost for one in stored.values() if (cost := prices.cost(one.generation)) is not None]
    whole = sum(cost.usd for cost in billed)
    broken = round((ledger.spent - whole) / most)
    assert ledger.spent == pytest.approx(whole + broken * most)
    assert server.sums.charged == pytest.approx(whole + broken * whole / len(billed))
    assert broken == (len(server.requests) - len(stored) if trouble and "ending" in trouble else 0)
