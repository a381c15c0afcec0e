"""When cron jobs run, and what a push leaves of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.running.scheduling import LIVE
from tests.deployment.server_modules import InServer

CRON = {"name": "often", "function": "a:write", "args": [{"by": "often"}]}
MINUTE: dict[str, Any] = {**CRON, "schedule": {"type": "interval", "seconds": 60}}


def test_an_interval_runs_at_once_and_then_at_each_of_its_times(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        await scheduler.advance(0);
        const first = app.ran.splice(0);
        await scheduler.advance(180_000);
        const three = app.ran.splice(0).map(([, , at]) => at);
        app.resetData();
        await scheduler.advance(59_999);
        const none = app.ran.length;
        await scheduler.advance(1);
        return [first, three, none, app.ran, written()];
        """,
        crons=[MINUTE],
    )
    assert found == [
        [["a:write", {"by": "often"}, 0]],
        [60_000, 120_000, 180_000],
        0,
        [["a:write", {"by": "often"}, 60_000]],
        ["often"],
    ]


def test_a_cron_that_fails_runs_again_at_its_next_time(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        await scheduler.advance(60_000);
        return [app.ran.length, services.failures];
        """,
        crons=[{**MINUTE, "args": [{"throws": True}]}],
    )
    assert found == [2, [{"path": "a:write", "error": "no a:write"}] * 2]


def test_a_cron_without_arguments_is_given_none(in_server: InServer) -> None:
    found = in_server(
        f"{LIVE} await scheduler.advance(0); return app.ran;", crons=[{**MINUTE, "args": []}]
    )
    assert found == [["a:write", {}, 0]]


OTHER_FIELDS: dict[str, dict[str, Any]] = {
    "its function": {"function": "a:act"},
    "its arguments": {"args": [{"by": "other"}]},
    "its schedule": {"schedule": {"type": "interval", "seconds": 61}},
}


@pytest.mark.parametrize("change", OTHER_FIELDS.values(), ids=OTHER_FIELDS.keys())
def test_a_cron_of_which_a_push_changes_a_field_starts_over(
    in_server: InServer, change: dict[str, Any]
) -> None:
    found = in_server(
        f"""{LIVE}
        await scheduler.advance(30_000);
        app.ran.length = 0;
        app.goLive(push({{ functions, crons: [args.changed] }}));
        await scheduler.advance(0);
        return [app.ran, scheduler.crons().length];
        """,
        crons=[MINUTE],
        changed={**MINUTE, **change},
    )
    changed = {**MINUTE, **change}
    assert found == [[[changed["function"], changed["args"][0], 30_000]], 1]


def test_a_cron_that_a_push_leaves_alone_goes_on(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        await scheduler.advance(30_000);
        app.ran.length = 0;
        app.goLive(push({{ functions, crons: [{{ ...args.crons[0], name: "new" }},
          args.crons[0]] }}));
        await scheduler.advance(30_000);
        const both = app.ran.splice(0).map(([, , at]) => at);
        app.goLive(push({{ functions, crons: [args.crons[0]] }}));
        await scheduler.advance(30_000);
        app.goLive(push({{ functions }}));
        await scheduler.advance(300_000);
        return [both, app.ran, scheduler.crons()];
        """,
        crons=[MINUTE],
    )
    assert found == [[30_000, 60_000], [], []]


def test_jobs_and_crons_of_one_time_run_in_the_order_in_which_they_were_made(
    in_server: InServer,
) -> None:
    """A cron's next run is made when it runs."""
    found = in_server(
        f"""{LIVE}
        await later(60_000, {{ by: "first" }});
        await scheduler.advance(0);
        await later(60_000, {{ by: "second" }});
        app.ran.length = 0;
        await scheduler.advance(60_000);
        return app.ran.map(([, {{ by }}]) => by);
        """,
        crons=[MINUTE],
    )
    assert found == ["first", "often", "second"]
