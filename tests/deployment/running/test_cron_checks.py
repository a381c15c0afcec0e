"""Cron jobs as a push brings them: what is made of their schedules, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

CHECK = """
  const asked = [];
  const origins = { find: (...what) => (asked.push(what), null) };
  try { return checkCrons(args.json, "crons.js", origins); }
  catch (error) { return [error.code, error.message, asked]; }
"""

SCHEDULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "seconds": ({"type": "interval", "seconds": 1}, {"type": "interval", "seconds": 1}),
    "minutes": ({"type": "interval", "minutes": 2}, {"type": "interval", "seconds": 120}),
    "hours": ({"type": "interval", "hours": 2}, {"type": "interval", "seconds": 7200}),
    "hourly": ({"type": "hourly", "minuteUTC": 0}, {"type": "hourly", "minuteUTC": 0}),
    "every hour": ({"type": "hourly"}, {"type": "hourly"}),
    "daily": (
        {"type": "daily", "hourUTC": 23, "minuteUTC": 59},
        {"type": "daily", "hourUTC": 23, "minuteUTC": 59},
    ),
    "every day": ({"type": "daily", "hourUTC": 0}, {"type": "daily", "hourUTC": 0}),
    "weekly": (
        {"type": "weekly", "dayOfWeek": "saturday", "hourUTC": 1, "minuteUTC": 2},
        {"type": "weekly", "dayOfWeek": "saturday", "hourUTC": 1, "minuteUTC": 2},
    ),
    "monthly": (
        {"type": "monthly", "day": 1, "hourUTC": 1},
        {"type": "monthly", "day": 1, "hourUTC": 1},
    ),
    "the end of a month": (
        {"type": "monthly", "day": 31, "hourUTC": 1},
        {"type": "monthly", "day": 31, "hourUTC": 1},
    ),
    "cron": ({"type": "cron", "cron": "* * * * *"}, {"type": "cron", "cronExpr": "* * * * *"}),
}


@pytest.mark.parametrize(("given", "schedule"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_schedule_is_taken(
    in_server: InServer, given: dict[str, Any], schedule: dict[str, Any]
) -> None:
    jobs = {
        "first": {"name": "a:f", "args": [{"n": 1}], "schedule": given},
        "second ~": {"name": "b", "schedule": given},
    }
    assert in_server(CHECK, json=json.dumps(jobs)) == [
        {"name": "first", "function": "a:f", "args": [{"n": 1}], "schedule": schedule},
        {"name": "second ~", "function": "b", "args": [], "schedule": schedule},
    ]


ONE = "exactly one of seconds, minutes and hours must be given"
HOUR = "hourUTC must be from 0 to 23"
MINUTE = "minuteUTC must be from 0 to 59"
DAYS = "sunday, monday, tuesday, wednesday, thursday, friday, saturday"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "interval"}, ONE),
    ({"type": "interval", "seconds": 1, "hours": 1}, ONE),
    ({"type": "interval", "seconds": 0}, "the interval must be greater than 0"),
    ({"type": "interval", "minutes": -1}, "the interval must be greater than 0"),
    ({"type": "interval", "seconds": 1.5}, "the interval must be greater than 0"),
    ({"type": "hourly", "minuteUTC": 60}, MINUTE),
    ({"type": "hourly", "minuteUTC": -1}, MINUTE),
    ({"type": "hourly", "minuteUTC": 0.5}, MINUTE),
    ({"type": "daily"}, HOUR),
    ({"type": "daily", "hourUTC": 24}, HOUR),
    ({"type": "daily", "hourUTC": -1}, HOUR),
    ({"type": "daily", "hourUTC": 1, "minuteUTC": "1"}, MINUTE),
    ({"type": "weekly", "dayOfWeek": "monday"}, HOUR),
    ({"type": "weekly", "dayOfWeek": "Monday", "hourUTC": 1}, f"dayOfWeek must be one of {DAYS}"),
    ({"type": "weekly", "hourUTC": 1}, f"dayOfWeek must be one of {DAYS}"),
    ({"type": "monthly", "day": 1}, HOUR),
    ({"type": "monthly", "day": 0, "hourUTC": 1}, "day must be from 1 to 31"),
    ({"type": "monthly", "day": 32, "hourUTC": 1}, "day must be from 1 to 31"),
    ({"type": "monthly", "hourUTC": 1}, "day must be from 1 to 31"),
    ({"type": "cron", "cron": "* * * *"}, 'The cron spec "* * * *" has 4 fields instead of 5'),
    ({"type": "yearly"}, 'unknown schedule {"type":"yearly"}'),
]


@pytest.mark.parametrize(("schedule", "reason"), REFUSED, ids=[str(each) for each, _ in REFUSED])
def test_a_schedule_that_is_none_is_refused(
    in_server: InServer, schedule: dict[str, Any], reason: str
) -> None:
    jobs = {"good": {"name": "a:f", "schedule": {"type": "hourly"}}}
    jobs["bad"] = {"name": "a:f", "schedule": schedule}
    assert in_server(CHECK, json=json.dumps(jobs)) == [
        "InvalidCron",
        f"The cron job 'bad' is invalid: {reason}",
        [["crons.js", '"good"'], ["crons.js", '"bad"']],
    ]


@pytest.mark.parametrize("name", ["\x1f", "a\n", "\x7f", "é"])
def test_a_name_is_of_ascii_letters(in_server: InServer, name: str) -> None:
    jobs = {name: {"name": "a:f", "schedule": {"type": "hourly"}}}
    code, message, _ = in_server(CHECK, json=json.dumps(jobs))
    assert (code, message) == (
        "InvalidCron",
        f"The cron job '{name}' is invalid: use ASCII letters that are not control characters",
    )


TARGETS: dict[str, str | None] = {
    "a:write": None,
    "a.js:write": None,
    "a:act": None,
    "b": None,
    "a:read": "a query function, only actions and mutations can be scheduled: a.js:read",
    "a:serve": "an HTTP action, only actions and mutations can be scheduled: a.js:serve",
    "a:none": "a function that does not exist: a.js:none",
    "c:write": "a function that does not exist: c.js:write",
    "a": "a function that does not exist: a.js:default",
}


@pytest.mark.parametrize(("function", "problem"), TARGETS.items(), ids=TARGETS.keys())
def test_a_cron_job_schedules_a_mutation_or_an_action(
    in_server: InServer, function: str, problem: str | None
) -> None:
    found = in_server(
        """
        const module = (functions, httpActions = []) => ({ functions, httpActions });
        const known = [["write", "Mutation"], ["act", "Action"], ["read", "Query"]].map(
          ([name, udfType]) => ({ name, udfType }));
        const job = (name, given) => ({ name, function: given });
        const modules = new Map([
          ["a.js", module(known, ["serve"])],
          ["b.js", module([{ name: "default", udfType: "Action" }])],
          ["crons.js", { ...module([]), crons: [job("good", "a:write"),
            job("own", args.function)] }],
        ]);
        const asked = [];
        const message = await thrown(() => checkCronTargets(modules, { find: (...what) =>
          (asked.push(what), null) }));
        const none = await thrown(() => checkCronTargets(new Map([["a.js", module(known)]]), {}));
        return [message, asked, none];
        """,
        function=function,
    )
    message = None if problem is None else f"The cron job 'own' schedules {problem}"
    assert found == [message, [] if problem is None else [["crons.js", '"own"']], None]
