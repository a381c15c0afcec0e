"""A budget over eight workers, by what the provider itself says it bills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.generation.messages_server import MessagesServer, Script
    from tests.plugin.generation.conftest import Project

NAMES = [f"case_{number:02}" for number in range(24)]
LIMIT_USD = 0.5


@pytest.mark.parametrize(
    "trouble",
    [
        None,
        {"ending": "drop"},
        {"ending": "cut"},
        {"status": 529, "error_type": "overloaded_error"},
    ],
    ids=["quiet", "dropped", "cut", "overloaded"],
)
def test_what_the_provider_bills_never_exceeds_the_budget(
    trouble: dict[str, Any] | None, tmp_path: Path, projects: type[Project],
    server: MessagesServer, script: Callable[..., Script], answer: str,
) -> None:  # fmt: skip
    """A reply costs most of the most it can: 0.04 of some 0.055 USD. Every other one breaks off at
    first, after it has been billed."""
    server.default = script(text=answer, output_tokens=4_000, latency=0.05)
    if trouble is not None:
        server.rules = [
            script(text=answer, output_tokens=4_000, contains=f"<{name}>", times=1, **trouble)
            for name in NAMES[::2]
        ]
    project = projects(tmp_path, server.url, deadline=60.0).write(*NAMES)
    args = ["--convex-budget", str(LIMIT_USD), "--convex-max-tokens", "5000"]
    ran = project.run("-n", "8", *args)
    # A capped run is no failed one.
    assert ran.status == 0, ran.out
    assert 0.5 * LIMIT_USD < server.sums.charged <= LIMIT_USD
    verdicts = [item["verdict"] for item in project.items().values()]
    assert verdicts == ["passed"] * len(project.stored())
    unpaid = len(NAMES) - len(verdicts)
    assert unpaid > 0
    assert f"{unpaid} items not asked: the budget is spent" in ran.out
