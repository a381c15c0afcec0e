"""A backend's design before its code: its form, its reader, and how it compares with what runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, get_args

from pytest_convex_eval.functions import FunctionKind, Visibility
from pytest_convex_eval.generation.json_fields import Json
from pytest_convex_eval.generation.reading.extraction import unfenced
from pytest_convex_eval.generation.reading.json_objects import json_objects
from pytest_convex_eval.outcomes import Finding, Severity
from pytest_convex_eval.text import well_formed

DESIGN_FORM = """\
Answer with one JSON object between the tags <design> and </design>, each tag on a line of its \
own, and with nothing else:

<design>
{
  "tables": [
    {
      "name": "orders",
      "fields": {"customerId": "v.id('customers')", "total": "v.number()"},
      "indexes": [{"name": "by_customer", "fields": ["customerId"]}]
    }
  ],
  "functions": [
    {
      "name": "orders:listForCustomer",
      "kind": "query",
      "visibility": "public",
      "args": {"customerId": "v.id('customers')"},
      "returns": "v.array(v.object({ total: v.number() }))",
      "reads": [{"table": "orders", "by": ["customerId"]}],
      "authorization": "the customer, by ctx.auth"
    }
  ],
  "background": [{"function": "orders:purge", "when": "daily at 03:00 UTC"}]
}
</design>

- `functions` holds every function of the deployment, internal ones too: `kind` is query, mutation \
or action, `visibility` is public or internal, `name` is the file's path below convex/ without its \
suffix, a colon, and the export's name.
- `reads` holds each way in which the function looks documents up: `by` are the fields that are \
compared, in the order of the index that serves them, ["_id"] for a document by its id, and [] for \
a whole table. Search and vector indexes are listed among `indexes` as well, with the field that \
is searched first and its filter fields after it.
- `authorization` says who may call a function and how that is checked.
- `background` holds cron jobs and scheduled functions.
"""

_TAGGED = re.compile(r"^[ \t]*<design>(.*?)(?:</design>|\Z)", re.DOTALL | re.MULTILINE)
# Bounds on what a hostile reply can make this cost.
_ENTRIES = 500
_FIELDS = 32
"""Of an index; Convex allows half of that."""
_KINDS = get_args(FunctionKind)
_VISIBILITIES = get_args(Visibility)
_BUILT_IN = ("_id", "_creationTime")

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class DesignIndex:
    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DesignTable:
    name: str
    fields: Mapping[str, str]
    indexes: tuple[DesignIndex, ...]


@dataclass(frozen=True, slots=True)
class ReadPath:
    """A way in which a function looks documents up; see `DESIGN_FORM` for `by`."""

    table: str
    by: tuple[str, ...]

    @property
    def needs_index(self) -> bool:
        return bool(self.by) and self.by[0] not in _BUILT_IN


@dataclass(frozen=True, slots=True)
class DesignFunction:
    """`name` is `module:export`; `args` maps names to validators as they were written."""

    name: str
    kind: str
    visibility: str
    args: Mapping[str, str]
    returns: str
    reads: tuple[ReadPath, ...]
    authorization: str


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    function: str
    when: str


@dataclass(frozen=True, slots=True)
class Design:
    tables: tuple[DesignTable, ...] = ()
    functions: tuple[DesignFunction, ...] = ()
    background: tuple[BackgroundTask, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedDesign:
    """What could be read of a design; None where there is none. Codes are `design/...`."""

    design: Design | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployedFunction:
    """`args` are the names of the declared arguments; None where they are not declared."""

    kind: str
    visibility: str
    args: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class DeployedFacts:
    """What a design is compared with: functions by `module:export`, and for each table the fields
    of its indexes (a search or vector index: the searched field, then its filter fields)."""

    functions: Mapping[str, DeployedFunction] = field(default_factory=dict)
    indexes: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def parse_design(text: str) -> ParsedDesign:
    """The design in a reply. Never raises; entries that make no sense are left out and told."""
    text = well_formed(text)
    tagged = _TAGGED.search(text)
    data = _object(unfenced(tagged[1]) or tagged[1] if tagged else text)
    if data is None:
        finding = (
            Finding("design/broken-json", "The design is no JSON object.")
            if tagged or "{" in text
            else Finding("design/missing", "The reply holds no design.")
        )
        return ParsedDesign(None, (finding,))
    findings: list[Finding] = []

    def odd(what: str) -> None:
        message = f"The design's {what} is not of the form that was asked for, and is left out."
        findings.append(Finding("design/odd-entry", message, "warning"))

    design = Design(
        tables=tuple(_entries(data, "tables", _table, odd)),
        functions=tuple(_entries(data, "functions", _function, odd)),
        background=tuple(_entries(data, "background", _task, odd)),
    )
    return ParsedDesign(design, tuple(findings))


def check_design(design: Design, deployed: DeployedFacts) -> tuple[Finding, ...]:
    """How the design and what was deployed from it differ, both ways, and what the design lacks.

    All are warnings or infos: the task decides whether an answer is right, and not its design.
    """
    return (
        *_unserved_reads(design),
        *_function_differences(design, deployed),
        *_index_differences(design, deployed),
    )


def _unserved_reads(design: Design) -> Iterator[Finding]:
    tables = {table.name: table for table in design.tables}
    serving = {
        (table.name, lookup)
        for table in design.tables
        for index in table.indexes
        for lookup in _lookups(index.fields)
    }
    read_by: set[tuple[str, frozenset[str]]] = set()
    for function in design.functions:
        for read in function.reads:
            table = tables.get(read.table)
            if table is None:
                yield _finding("unknown-table", f"{function.name} reads the table {read.table}, "
                               "which the design does not have.")  # fmt: skip
                continue
            lookup = (table.name, frozenset(read.by))
            read_by.add(lookup)
            if read.needs_index and lookup not in serving:
                yield _finding("read-without-index", f"{function.name} reads {read.table} by "
                               f"{', '.join(read.by)}, and no index of the design serves "
                               "that.")  # fmt: skip
    for table in design.tables:
        for index in table.indexes:
            if not any((table.name, lookup) in read_by for lookup in _lookups(index.fields)):
                yield _finding("unused-index", f"The index {table.name}.{index.name} serves no "
                               "read of the design.", "info")  # fmt: skip


def _function_differences(design: Design, deployed: DeployedFacts) -> Iterator[Finding]:
    designed = {function.name: function for function in design.functions}
    for name, function in designed.items():
        found = deployed.functions.get(name)
        if found is None:
            yield _finding("missing-function", f"{name} was designed and is not deployed.")
            continue
        if found.kind != function.kind or found.visibility != function.visibility:
            yield _finding(
                "other-kind",
                f"{name} was designed as {_kind(function)} and deployed as {_kind(found)}.",
            )
        if found.args is not None and set(found.args) != set(function.args):
            yield _finding(
                "other-arguments",
                f"{name} was designed with the arguments ({', '.join(sorted(function.args))}) and "
                f"deployed with ({', '.join(sorted(found.args))}).",
            )
    for name in deployed.functions:
        if name not in designed:
            yield _finding("undesigned-function", f"{name} is deployed and was not designed.")
    for task in design.background:
        if task.function not in deployed.functions and task.function not in designed:
            yield _finding("missing-function", f"{task.function} was designed to run "
                           f"{task.when}, and is not deployed.")  # fmt: skip


def _index_differences(design: Design, deployed: DeployedFacts) -> Iterator[Finding]:
    designed = {
        (table.name, index.fields): index for table in design.tables for index in table.indexes
    }
    for (table, fields), index in designed.items():
        if fields not in deployed.indexes.get(table, ()):
            yield _finding("missing-index", f"The index {table}.{index.name} on "
                           f"{', '.join(fields)} was designed and is not deployed.")  # fmt: skip
    for table, indexes in deployed.indexes.items():
        for fields in indexes:
            if (table, fields) not in designed:
                yield _finding("undesigned-index", f"An index of {table} on {', '.join(fields)} is "
                               "deployed and was not designed.", "info")  # fmt: skip


def _lookups(index: tuple[str, ...]) -> Iterator[frozenset[str]]:
    """By what an index on these fields finds documents: by its first fields, in any order."""
    return (frozenset(index[:end]) for end in range(1, len(index) + 1))


def _kind(function: DesignFunction | DeployedFunction) -> str:
    return f"{function.visibility} {function.kind}"


def _finding(code: str, message: str, severity: Severity = "warning") -> Finding:
    return Finding(f"design/{code}", message, severity)


def function_name(name: str) -> str:
    """`name` as `module:export`, whichever of the ways of writing one it has."""
    name = re.sub(r"^(?:\./)?(?:convex/|api\.|internal\.)", "", name.strip())
    if ":" not in name:
        module, dot, export = name.rpartition(".")
        name = f"{module.replace('.', '/')}:{export}" if dot else name
    module, _, export = name.partition(":")
    return f"{re.sub(r'[.][jt]sx?$', '', module)}:{export}" if export else module


def _object(text: str) -> dict[str, Json] | None:
    """The first JSON object in `text` that could be a design."""
    for _, value in json_objects(text):
        if isinstance(value, dict) and ("functions" in value or "tables" in value):
            return value
    return None


def _entries(
    data: Mapping[str, Json],
    name: str,
    read: Callable[[Mapping[str, Json]], _Entry],
    odd: Callable[[str], None],
) -> Iterator[_Entry]:
    values = data.get(name, [])
    if not isinstance(values, list):
        odd(name)
        return
    for number, value in enumerate(values[:_ENTRIES], start=1):
        try:
            if not isinstance(value, dict):
                raise ValueError("no object")
            entry = read(value)
        except (ValueError, RecursionError):
            odd(f"{name} entry {number}")
        else:
            yield entry


def _table(value: Mapping[str, Json]) -> DesignTable:
    match value:
        case {"name": str(name)}:
            indexes = [_index(index) for index in _list(value.get("indexes"))]
            return DesignTable(name, _texts(value.get("fields")), tuple(indexes))
    raise ValueError("no table")


def _index(value: Json) -> DesignIndex:
    match value:
        case {"name": str(name), "fields": list(fields)}:
            return DesignIndex(name, _names(fields))
    raise ValueError("no index")


def _function(value: Mapping[str, Json]) -> DesignFunction:
    match value:
        case {"name": str(name), "kind": str(kind)} if kind in _KINDS:
            visibility = value.get("visibility", "public")
            if visibility not in _VISIBILITIES:
                raise ValueError("no visibility")
            return DesignFunction(
                name=function_name(name),
                kind=kind,
                visibility=str(visibility),
                args=_texts(value.get("args")),
                returns=str(value.get("returns") or ""),
                reads=tuple(_read(read) for read in _list(value.get("reads"))),
                authorization=str(value.get("authorization") or ""),
            )
    raise ValueError("no function")


def _read(value: Json) -> ReadPath:
    match value:
        case {"table": str(table), "by": list(by)}:
            return ReadPath(table, _names(by))
    raise ValueError("no read path")


def _task(value: Mapping[str, Json]) -> BackgroundTask:
    match value:
        case {"function": str(function)}:
            return BackgroundTask(function_name(function), str(value.get("when") or ""))
    raise ValueError("no task")


def _list(value: Json) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _ENTRIES:
        raise ValueError("no list")
    return value


def _names(values: list[Json]) -> tuple[str, ...]:
    if len(values) > _FIELDS or not all(isinstance(value, str) for value in values):
        raise ValueError("no names")
    return tuple(str(value) for value in values)


def _texts(value: Json) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("no object")
    return {key: text if isinstance(text, str) else json.dumps(text) for key, text in value.items()}
