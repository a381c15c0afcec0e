"""The cron jobs that were really deployed, held against what the case expects of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_convex_eval.deployment.model import Cron, Deployed
from pytest_convex_eval.expectations.model import CronExpectation, Expectations
from pytest_convex_eval.outcomes import Finding

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_WEEKDAYS = {day[:3]: number for number, day in enumerate(_DAYS)}
_SECONDS = {"hourly": 3600, "daily": 86_400, "weekly": 604_800}


def cron_findings(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    """What `expect` says of cron jobs and the deployment does not have, or has too much."""
    if expect.crons_only:
        for cron in deployed.crons:
            if not any(_is_cron(expected, cron) for expected in expect.crons):
                yield _finding(
                    "cron-unexpected",
                    f"no cron job {cron.name!r} that runs {cron.function} "
                    f"{_shown(cron.schedule)} is asked for",
                )
    for expected in expect.crons:
        same = [
            cron
            for cron in deployed.crons
            if cron.function == expected.function and expected.name in (None, cron.name)
        ]
        if not same:
            has = ", ".join(f"{cron.name!r} runs {cron.function}" for cron in deployed.crons)
            yield _finding(
                "cron-missing", f"no cron job runs {expected.function} (deployed: {has or 'none'})"
            )
        elif not any(_scheduled(expected, cron.schedule) for cron in same):
            yield _finding(
                "cron-schedule",
                f"no cron job runs {expected.function} {_wanted(expected)} "
                f"(deployed: {', '.join(_shown(cron.schedule) for cron in same)})",
            )


def _is_cron(expected: CronExpectation, cron: Cron) -> bool:
    return (
        cron.function == expected.function
        and expected.name in (None, cron.name)
        and _scheduled(expected, cron.schedule)
    )


def _scheduled(expected: CronExpectation, schedule: Mapping[str, Any]) -> bool:
    if expected.cron is None:
        schedule = _calendar(schedule)
    kind = schedule["type"]
    if expected.every is not None:
        seconds = schedule["seconds"] if kind == "interval" else _SECONDS.get(kind)
        return bool(seconds == expected.every.total_seconds)
    if expected.cron is not None:
        return bool(kind == "cron" and schedule["cronExpr"] == expected.cron)
    for wanted, name in (
        (expected.daily, "daily"),
        (expected.weekly, "weekly"),
        (expected.monthly, "monthly"),
    ):
        if wanted is None:
            continue
        day = getattr(wanted, "day", None)
        return bool(
            kind == name
            and wanted.hour in (None, schedule.get("hourUTC"))
            and wanted.minute in (None, schedule.get("minuteUTC"))
            and day in (None, _day(schedule))
        )
    return True


def _calendar(schedule: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cron expression as the helper that says the same (`20 6 * * 1` is weekly), or as it is."""
    fields = str(schedule.get("cronExpr", "")).split()
    if schedule["type"] != "cron" or len(fields) != 5 or fields[3] != "*":
        return schedule
    minute, hour, day, _, weekday = fields
    every = _period(minute, 60, 60), _period(hour, 24, 3600)
    if (day, weekday) == ("*", "*"):
        if every[0] is not None and hour == "*":
            return {"type": "interval", "seconds": every[0]}
        if every[1] is not None and hour != "*" and minute.isdecimal():
            return {"type": "interval", "seconds": every[1]}
    if not minute.isdecimal():
        return schedule
    if (hour, day, weekday) == ("*", "*", "*"):
        return {"type": "hourly", "minuteUTC": int(minute)}
    if not hour.isdecimal():
        return schedule
    at = {"hourUTC": int(hour), "minuteUTC": int(minute)}
    if (day, weekday) == ("*", "*"):
        return {"type": "daily", **at}
    if day == "*":
        number = _WEEKDAYS.get(weekday[:3].lower(), int(weekday) if weekday.isdecimal() else None)
        return schedule if number is None else {"type": "weekly", "dayOfWeek": number, **at}
    if weekday == "*" and day.isdecimal():
        return {"type": "monthly", "day": int(day), **at}
    return schedule


def _period(field: str, whole: int, unit_seconds: int) -> int | None:
    """The seconds between the times of `*` or `*/n`, where they are always the same."""
    step = "1" if field == "*" else field.removeprefix("*/")
    even = step.isdecimal() and int(step) > 0 and whole % int(step) == 0
    return int(step) * unit_seconds if even and field.startswith("*") else None


def _day(schedule: Mapping[str, Any]) -> str | int | None:
    if schedule["type"] != "weekly":
        day = schedule.get("day")
        return None if day is None else int(day)
    day = schedule.get("dayOfWeek")
    return _DAYS[int(day) % 7] if isinstance(day, int | float) else str(day).lower()


def _wanted(expected: CronExpectation) -> str:
    if expected.every is not None:
        return f"every {expected.every.total_seconds} seconds"
    for name in ("daily", "weekly", "monthly", "cron"):
        value = getattr(expected, name)
        if value is not None:
            return f"{name} {value}" if isinstance(value, str) else f"{name} at the expected time"
    return "at all"


def _shown(schedule: Mapping[str, Any]) -> str:
    rest = ", ".join(f"{key} {value}" for key, value in schedule.items() if key != "type")
    return f"{schedule['type']} ({rest})" if rest else str(schedule["type"])


def _finding(code: str, message: str) -> Finding:
    return Finding(f"deploy/{code}", message)
