"""What was really deployed, held against what the case expects of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_convex_eval.deployment.model import Deployed, Function, Table
from pytest_convex_eval.expectations.model import (
    CronExpectation,
    Expectations,
    FunctionExpectation,
    RouteExpectation,
    TableExpectation,
)
from pytest_convex_eval.expectations.validators import comparable, parse_validator, show_validator
from pytest_convex_eval.outcomes import Finding

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_WEEKDAYS = {day[:3]: number for number, day in enumerate(_DAYS)}
_SECONDS = {"hourly": 3600, "daily": 86_400, "weekly": 604_800}


def compare(expect: Expectations, deployed: Deployed) -> tuple[Finding, ...]:
    """Everything that `expect` names and the deployment does not have."""
    return (
        *_tables(expect, deployed),
        *_functions(expect, deployed),
        *_crons(expect, deployed),
        *_routes(expect, deployed),
    )


def _tables(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    tables = {table.name: table for table in deployed.tables}
    for name, expected in expect.tables.items():
        table = tables.get(name)
        if table is None:
            yield _finding("table-missing", f"no table {name!r}{_close(name, tables)}")
            continue
        yield from _document(name, expected, table)
        yield from _indexes(name, expected, table)


def _document(name: str, expected: TableExpectation, table: Table) -> Iterator[Finding]:
    document = table.document or {"type": "any"}
    if expected.document is not None:
        wanted, _ = parse_validator(expected.document)
        if comparable(wanted) != comparable(document):
            yield _finding(
                "document-validator",
                f"table {name!r} must hold {show_validator(wanted)}, "
                f"and holds {show_validator(document)}",
            )
    fields = _fields(document)
    for field, text in expected.fields.items():
        wanted, optional = parse_validator(text)
        if field not in fields:
            yield _finding("field-missing", f"table {name!r} has no field {field!r}")
            continue
        found, found_optional = fields[field]
        if (optional, comparable(wanted)) != (found_optional, comparable(found)):
            yield _finding(
                "field-validator",
                f"{name}.{field} must be {show_validator(wanted, optional=optional)}, "
                f"and is {show_validator(found, optional=found_optional)}",
            )
    for field in expected.absent_fields:
        if field in fields:
            yield _finding("field-forbidden", f"table {name!r} must have no field {field!r}")


def _fields(document: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], bool]]:
    """The fields of a document validator, with whether each is optional.

    For a union of objects: those of any member; one that a member lacks counts as optional, and
    one that members type differently as the union of its types.
    """
    if document["type"] == "object":
        return {
            name: (field["fieldType"], bool(field["optional"]))
            for name, field in document["value"].items()
        }
    if document["type"] != "union":
        return {}
    members = [_fields(member) for member in document["value"]]
    merged: dict[str, tuple[Mapping[str, Any], bool]] = {}
    for name in dict.fromkeys(name for member in members for name in member):
        types = [member[name][0] for member in members if name in member]
        optional = any(name not in member or member[name][1] for member in members)
        merged[name] = ({"type": "union", "value": types}, optional)
    return merged


def _indexes(name: str, expected: TableExpectation, table: Table) -> Iterator[Finding]:
    present = [index.fields for index in table.indexes if not index.staged]
    for fields in expected.indexes:
        # What further fields an index has is the answer's to decide.
        if not any(index[: len(fields)] == fields for index in present):
            has = "; ".join(", ".join(index) for index in present) or "none"
            wanted = f"no index that begins with [{', '.join(fields)}]"
            yield _finding("index-missing", f"table {name!r} has {wanted} (it has: {has})")
    for search in expected.search_indexes:
        if not any(
            index.search_field == search.field and set(search.filters) <= set(index.filter_fields)
            for index in table.search_indexes
        ):
            filters = f" with filters [{', '.join(search.filters)}]" if search.filters else ""
            yield _finding(
                "search-index-missing",
                f"table {name!r} has no search index on {search.field!r}{filters}",
            )
    for vector in expected.vector_indexes:
        if not any(
            index.vector_field == vector.field
            and vector.dimensions in (None, index.dimensions)
            and set(vector.filters) <= set(index.filter_fields)
            for index in table.vector_indexes
        ):
            size = f" of {vector.dimensions} dimensions" if vector.dimensions else ""
            yield _finding(
                "vector-index-missing",
                f"table {name!r} has no vector index on {vector.field!r}{size}",
            )


def _functions(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    functions = {function.path: function for function in deployed.functions}
    for path, expected in expect.functions.items():
        function = functions.get(path)
        if function is None:
            near = _close(path, functions)
            yield _finding("function-missing", f"no function {path!r}{near}")
            continue
        if function.kind != expected.kind:
            yield _finding(
                "function-kind", f"{path} must be {_a(expected.kind)}, and is {_a(function.kind)}"
            )
        if function.visibility != expected.visibility:
            yield _finding(
                "function-visibility",
                f"{path} must be {expected.visibility}, and is {function.visibility}",
            )
        yield from _signature(path, expected, function)


def _signature(path: str, expected: FunctionExpectation, function: Function) -> Iterator[Finding]:
    # A function without validators takes anything: the lint rules speak about that.
    if expected.args is not None and function.args["type"] == "object":
        fields = _fields(function.args)
        for name in expected.args:
            bare = name.removesuffix("?")
            if bare not in fields:
                yield _finding("function-args", f"{path} takes no argument {bare!r}")
            elif name.endswith("?") and not fields[bare][1]:
                yield _finding("function-args", f"{path}: the argument {bare!r} must be optional")
        named = {name.removesuffix("?") for name in expected.args}
        for name, (_, optional) in fields.items():
            if name not in named and not optional:
                yield _finding(
                    "function-args", f"{path} requires the argument {name!r}, which nobody passes"
                )
    if expected.returns is not None:
        wanted, _ = parse_validator(expected.returns)
        if function.returns is None:
            yield _finding("function-returns", f"{path} has no returns validator")
        elif comparable(wanted) != comparable(function.returns):
            yield _finding(
                "function-returns",
                f"{path} must return {show_validator(wanted)}, "
                f"and returns {show_validator(function.returns)}",
            )


def _crons(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
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


def _routes(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    for expected in expect.http:
        if not any(
            (route.method, route.path, route.path_prefix)
            == (expected.method, expected.path, expected.path_prefix)
            for route in deployed.routes
        ):
            has = ", ".join(
                f"{route.method} {route.path or f'{route.path_prefix}*'}"
                for route in deployed.routes
            )
            yield _finding(
                "route-missing", f"no route {_route(expected)} (deployed: {has or 'none'})"
            )


def _route(expected: RouteExpectation) -> str:
    return f"{expected.method} {expected.path or f'{expected.path_prefix}*'}"


def _finding(code: str, message: str) -> Finding:
    return Finding(f"deploy/{code}", message)


def _close(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; deployed is {match[0]!r}" if match else ""


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
