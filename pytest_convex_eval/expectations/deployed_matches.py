"""What was really deployed, held against what the case expects of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_convex_eval.deployment.model import Deployed, Function, Index, Table
from pytest_convex_eval.expectations.deployed_crons import cron_findings
from pytest_convex_eval.expectations.model import (
    Expectations,
    FunctionExpectation,
    IndexExpectation,
    RouteExpectation,
    TableExpectation,
)
from pytest_convex_eval.expectations.validators import comparable, parse_validator, show_validator
from pytest_convex_eval.outcomes import Finding

_FREE = "$any"


def compare(expect: Expectations, deployed: Deployed) -> tuple[Finding, ...]:
    """Everything that `expect` names and the deployment does not have."""
    return (
        *_tables(expect, deployed),
        *_functions(expect, deployed),
        *cron_findings(expect, deployed),
        *_routes(expect, deployed),
    )


def _tables(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    tables = {table.name: table for table in deployed.tables}
    if expect.tables_only:
        for name in (each for each in tables if each not in expect.tables):
            yield _finding("table-unexpected", f"no table {name!r} is asked for")
    for name, expected in expect.tables.items():
        table = tables.get(name)
        if expected.absent:
            if table is not None:
                yield _finding("table-unexpected", f"there must be no table {name!r}")
            continue
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
    forbidden = set(expected.absent_fields)
    if expected.only and expected.document is None:
        forbidden |= fields.keys() - expected.fields.keys()
    for field in fields:
        if field in forbidden:
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
    for wanted in expected.indexes:
        if not any(_is_index(wanted, index) for index in table.indexes):
            has = "; ".join(map(_shown_index, table.indexes)) or "none"
            yield _finding(
                "index-missing", f"table {name!r} has no {_wanted_index(wanted)} (it has: {has})"
            )
    if expected.only:
        yield from _unexpected_indexes(name, expected, table)
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


def _is_index(wanted: IndexExpectation, index: Index) -> bool:
    # What further fields an index has is the answer's to decide.
    return (
        index.fields[: len(wanted.fields)] == wanted.fields
        and wanted.name in (None, index.name)
        and index.staged == wanted.staged
    )


def _wanted_index(wanted: IndexExpectation) -> str:
    staged = "staged " if wanted.staged else ""
    called = "" if wanted.name is None else f" called {wanted.name!r}"
    return f"{staged}index{called} that begins with [{', '.join(wanted.fields)}]"


def _shown_index(index: Index) -> str:
    return f"{index.name} on {', '.join(index.fields)}{' (staged)' if index.staged else ''}"


def _unexpected_indexes(name: str, expected: TableExpectation, table: Table) -> Iterator[Finding]:
    for index in table.indexes:
        if not any(_is_index(wanted, index) for wanted in expected.indexes):
            yield _finding(
                "index-unexpected", f"table {name!r} must have no index {_shown_index(index)}"
            )
    searched = {each.field for each in expected.search_indexes}
    for search in table.search_indexes:
        if search.search_field not in searched:
            message = f"table {name!r} must have no search index on {search.search_field!r}"
            yield _finding("index-unexpected", message)
    embedded = {each.field for each in expected.vector_indexes}
    for vector in table.vector_indexes:
        if vector.vector_field not in embedded:
            message = f"table {name!r} must have no vector index on {vector.vector_field!r}"
            yield _finding("index-unexpected", message)


def _functions(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    functions = {function.path: function for function in deployed.functions}
    if expect.public_only:
        for path, live in functions.items():
            if live.visibility == "public" and path not in expect.functions:
                yield _finding("function-unexpected", f"no public function {path!r} is asked for")
    for path, expected in expect.functions.items():
        function = functions.get(path)
        if expected.absent:
            if function is not None:
                yield _finding("function-unexpected", f"there must be no function {path!r}")
            continue
        if function is None:
            near = _close(path, functions)
            yield _finding("function-missing", f"no function {path!r}{near}")
            continue
        if expected.kind is not None and function.kind != expected.kind:
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
    if isinstance(expected.args, dict):
        yield from _arguments(path, expected.args, function)
    # A function without validators takes anything: the lint rules speak about that.
    elif expected.args is not None and function.args["type"] == "object":
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


def _arguments(path: str, wanted: Mapping[str, str], function: Function) -> Iterator[Finding]:
    """All of a function's arguments, with their validators; `$any` is one of any name."""
    if function.args["type"] != "object":
        yield _finding("function-args", f"{path} has no argument validators")
        return
    fields = _fields(function.args)
    free = {name: found for name, found in fields.items() if name not in wanted}
    for name, text in wanted.items():
        validator, optional = parse_validator(text)
        shown = show_validator(validator, optional=optional)
        if name == _FREE:
            fitting = [
                each
                for each, (found, found_optional) in free.items()
                if (optional, comparable(validator)) == (found_optional, comparable(found))
            ]
            if fitting:
                del free[fitting[0]]
            else:
                yield _finding("function-args", f"{path} takes no argument that is {shown}")
        elif name not in fields:
            yield _finding("function-args", f"{path} takes no argument {name!r}")
        else:
            found, found_optional = fields[name]
            if (optional, comparable(validator)) != (found_optional, comparable(found)):
                yield _finding(
                    "function-args",
                    f"{path}: the argument {name!r} must be {shown}, and is "
                    f"{show_validator(found, optional=found_optional)}",
                )
    for name in free:
        yield _finding("function-args", f"{path} must take no argument {name!r}")


def _routes(expect: Expectations, deployed: Deployed) -> Iterator[Finding]:
    if expect.http_only:
        asked = {(each.method, each.path, each.path_prefix) for each in expect.http}
        for route in deployed.routes:
            if (route.method, route.path, route.path_prefix) not in asked:
                shown = f"{route.method} {route.path or f'{route.path_prefix}*'}"
                yield _finding("route-unexpected", f"no route {shown} is asked for")
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
