"""When a cron job runs next, in UTC."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

NEXT = """
  let at = Date.parse(args.after);
  const found = [];
  for (let i = 0; i < args.count && at !== null; i++) {
    at = nextTime(args.schedule, at);
    found.push(at === null ? null : new Date(at).toISOString().replace(":00.000Z", ""));
  }
  return found;
"""


def cron(expression: str) -> dict[str, Any]:
    return {"type": "cron", "cronExpr": expression}


# 2026-01-01 is a Thursday.
SCHEDULES: list[tuple[dict[str, Any], str, list[str | None]]] = [
    (
        {"type": "interval", "seconds": 90},
        "2026-01-01T00:00:00Z",
        ["2026-01-01T00:01:30.000Z", "2026-01-01T00:03"],
    ),
    ({"type": "hourly"}, "2026-01-01T00:00:00Z", ["2026-01-01T01:00"]),
    ({"type": "hourly", "minuteUTC": 5}, "2026-01-01T00:04:59Z", ["2026-01-01T00:05"]),
    (
        {"type": "hourly", "minuteUTC": 5},
        "2026-01-01T23:05:00Z",
        ["2026-01-02T00:05", "2026-01-02T01:05"],
    ),
    (
        {"type": "daily", "hourUTC": 3, "minuteUTC": 30},
        "2026-01-01T03:29:59.999Z",
        ["2026-01-01T03:30", "2026-01-02T03:30"],
    ),
    ({"type": "daily", "hourUTC": 0}, "2026-12-31T23:59:59Z", ["2027-01-01T00:00"]),
    (
        {"type": "weekly", "dayOfWeek": "monday", "hourUTC": 4, "minuteUTC": 1},
        "2026-01-01T00:00:00Z",
        ["2026-01-05T04:01", "2026-01-12T04:01"],
    ),
    (
        {"type": "weekly", "dayOfWeek": "sunday", "hourUTC": 4},
        "2026-01-01T00:00:00Z",
        ["2026-01-04T04:00"],
    ),
    (
        {"type": "monthly", "day": 31, "hourUTC": 1, "minuteUTC": 2},
        "2026-01-31T01:02:00Z",
        ["2026-03-31T01:02", "2026-05-31T01:02"],
    ),
    ({"type": "monthly", "day": 1, "hourUTC": 9}, "2026-01-01T00:00:00Z", ["2026-01-01T09:00"]),
    (cron("* * * * *"), "2026-01-01T00:00:30Z", ["2026-01-01T00:01", "2026-01-01T00:02"]),
    (
        cron("*/20 * * * *"),
        "2026-01-01T00:20:00Z",
        ["2026-01-01T00:40", "2026-01-01T01:00", "2026-01-01T01:20"],
    ),
    (cron("5/25 1 * * *"), "2026-01-01T00:00:00Z", ["2026-01-01T01:05", "2026-01-01T01:30"]),
    (
        cron("0 10-14/2 * * *"),
        "2026-01-01T00:00:00Z",
        ["2026-01-01T10:00", "2026-01-01T12:00", "2026-01-01T14:00", "2026-01-02T10:00"],
    ),
    (
        cron("30,0 4,2 * * *"),
        "2026-01-01T00:00:00Z",
        ["2026-01-01T02:00", "2026-01-01T02:30", "2026-01-01T04:00", "2026-01-01T04:30"],
    ),
    (cron("0 0 29 2 *"), "2026-01-01T00:00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    (cron("0 0 29 2 *"), "2096-03-01T00:00:00Z", ["2104-02-29T00:00"]),
    (cron("0 0 1 JAN,mar *"), "2026-01-01T00:00:00Z", ["2026-03-01T00:00", "2027-01-01T00:00"]),
    (cron("0 0 * * FRI-SAT"), "2026-01-01T00:00:00Z", ["2026-01-02T00:00", "2026-01-03T00:00"]),
    (cron("0 0 * * 7"), "2026-01-01T00:00:00Z", ["2026-01-04T00:00", "2026-01-11T00:00"]),
    (cron("0 0 * * 0,3"), "2026-01-01T00:00:00Z", ["2026-01-04T00:00", "2026-01-07T00:00"]),
    # POSIX: either of the two will do.
    (
        cron("0 0 3 * 1"),
        "2026-01-01T00:00:00Z",
        ["2026-01-03T00:00", "2026-01-05T00:00", "2026-01-12T00:00"],
    ),
    (cron("0 0 ? * 1"), "2026-01-01T00:00:00Z", ["2026-01-05T00:00"]),
    (cron("0 0 5 * ?"), "2026-01-01T00:00:00Z", ["2026-01-05T00:00", "2026-02-05T00:00"]),
    (cron("0 0 L * *"), "2026-01-01T00:00:00Z", ["2026-01-31T00:00", "2026-02-28T00:00"]),
    (cron("0 0 L-2 * *"), "2026-01-01T00:00:00Z", ["2026-01-29T00:00", "2026-02-26T00:00"]),
    # The 15th of February 2026 is a Sunday, the 15th of August a Saturday.
    (cron("0 0 15W 2 *"), "2026-01-01T00:00:00Z", ["2026-02-16T00:00", "2027-02-15T00:00"]),
    (cron("0 0 15W 8 *"), "2026-01-01T00:00:00Z", ["2026-08-14T00:00"]),
    # The 1st of August 2026 is a Saturday: not the month before; the 31st of May is a Sunday.
    (cron("0 0 1W 8 *"), "2026-01-01T00:00:00Z", ["2026-08-03T00:00"]),
    (cron("0 0 31W 5 *"), "2026-01-01T00:00:00Z", ["2026-05-29T00:00"]),
    (cron("0 0 31W 2 *"), "2026-01-01T00:00:00Z", ["2026-02-27T00:00"]),
    (cron("0 0 LW 2,5 *"), "2026-01-01T00:00:00Z", ["2026-02-27T00:00", "2026-05-29T00:00"]),
    (cron("0 0 * * 1#2"), "2026-01-01T00:00:00Z", ["2026-01-12T00:00", "2026-02-09T00:00"]),
    (cron("0 0 * * 7#1"), "2026-01-01T00:00:00Z", ["2026-01-04T00:00"]),
    (cron("0 0 * * 5L"), "2026-01-01T00:00:00Z", ["2026-01-30T00:00", "2026-02-27T00:00"]),
    (cron("0 0 * * L"), "2026-01-01T00:00:00Z", ["2026-01-31T00:00", "2026-02-28T00:00"]),
    (cron("0 0 * * 7L"), "2026-01-01T00:00:00Z", ["2026-01-25T00:00"]),
    (cron("0 0 31 2 *"), "2026-01-01T00:00:00Z", [None]),
]


@pytest.mark.parametrize(
    ("schedule", "after", "times"),
    SCHEDULES,
    ids=[f"{' '.join(map(str, schedule.values()))} {after}" for schedule, after, _ in SCHEDULES],
)
def test_a_schedule_has_its_times(
    in_server: InServer, schedule: dict[str, Any], after: str, times: list[str | None]
) -> None:
    assert in_server(NEXT, schedule=schedule, after=after, count=len(times)) == times


PROBLEMS: dict[str, str | None] = {
    "* * * * *": None,
    "  0   0 * * *  ": None,
    "59 23 31 12 7": None,
    "0 0 1 1 0": None,
    "0-59/59 0,23 1-31 JAN-DEC SUN-SAT": None,
    "0 0 ? * ?": None,
    "0 0 L-30 * 7L": None,
    "0 0 LW * L": None,
    "0 0 31W * 0#5": None,
    "0 0 31 2 1": None,
    "0 0 29 2 *": None,
    "0 0 31 2,3 *": None,
    "* * * *": "has 4 fields instead of 5",
    "* * * * * *": "has 6 fields instead of 5",
    "": "has 1 fields instead of 5",
    "60 * * * *": "has an invalid minute: 60",
    "5-4 * * * *": "has an invalid minute: 5-4",
    "*/0 * * * *": "has an invalid minute: */0",
    "1, * * * *": "has an invalid minute: 1,",
    "x * * * *": "has an invalid minute: x",
    "0 24 * * *": "has an invalid hour: 24",
    "0 0 0 * *": "has an invalid day of the month: 0",
    "0 0 32 * *": "has an invalid day of the month: 32",
    "0 0 L-31 * *": "has an invalid day of the month: L-31",
    "0 0 32W * *": "has an invalid day of the month: 32W",
    "0 0 1L * *": "has an invalid day of the month: 1L",
    "0 0 * 13 *": "has an invalid month: 13",
    "0 0 * 0 *": "has an invalid month: 0",
    "0 0 * FOO *": "has an invalid month: FOO",
    "0 0 * * 8": "has an invalid day of the week: 8",
    "0 0 * * 1#6": "has an invalid day of the week: 1#6",
    "0 0 * * 1#0": "has an invalid day of the week: 1#0",
    "0 0 * * XYZ": "has an invalid day of the week: XYZ",
    "0 0 31 2 *": "will never match any time",
    "0 0 30,31 2 ?": "will never match any time",
    "0 0 31 4,6,9,11 *": "will never match any time",
}


@pytest.mark.parametrize(("expression", "problem"), PROBLEMS.items(), ids=PROBLEMS.keys())
def test_what_is_wrong_with_an_expression_is_told(
    in_server: InServer, expression: str, problem: str | None
) -> None:
    assert in_server("return cronProblem(args.expression);", expression=expression) == problem
