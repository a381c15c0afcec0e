"""What each file of an answer says that only matters next to the others, as `facts.mjs` reports it.

One diagnostic a file, whose message is JSON of a versioned shape. Lines count from 1, columns in
UTF-16 units from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import pydantic

from pytest_convex_eval.functions import FunctionKind
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.text import well_formed_json

RULE = "convex-eval/facts"

LineAndColumn: TypeAlias = tuple[int, int]
"""A line and a column, from 1."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registrar makes of a handler."""

    kind: FunctionKind
    public: bool
    http: bool


@dataclass(frozen=True, slots=True)
class Builder:
    """`makes`: this declaration is a custom builder. `by`: module and name of what made it, which
    may be a custom builder of another file."""

    makes: Registration | None
    by: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the rule `rule` says of a declaration if its builder, of another file, makes `made`."""

    rule: str
    made: FunctionKind | Literal["http"]
    message: str
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class Run:
    """A call that has another function run: `ctx.run*`, the scheduler, a cron.

    `root` and `path` are its target, `internal.a.b.name`; `root` is None where it is not known.
    """

    via: str
    root: Literal["api", "internal", "components"] | None
    path: tuple[str, ...]
    parallel: bool
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration at the top of a file; the one without names is everything outside of them.

    `refs` are the values it uses, by module (None: its own) and name; `touches` the tables, None
    where the name isn't known, and whether they are written to; `collects` where it reads a
    whole table. `auth`: it asks who the user is, `identity` where it asks Convex.
    """

    names: tuple[str, ...]
    exports: tuple[str, ...]
    at: LineAndColumn
    function: Registration | None
    builder: Builder | None
    refs: tuple[tuple[str | None, str], ...]
    auth: bool
    identity: LineAndColumn | None
    clock: tuple[LineAndColumn, ...]
    touches: tuple[tuple[str | None, bool], ...]
    runs: tuple[Run, ...]
    collects: tuple[LineAndColumn, ...]
    assumed: tuple[Assumed, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """Something that the file loads when it runs."""

    module: str
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class Reexport:
    """A name of another module given on; `*` is all of its names, or its namespace."""

    module: str
    name: str
    exported: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table: its validator's name, and the table that `v.id` names."""

    name: str
    validator: str | None
    table: str | None
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class Index:
    name: str | None
    kind: Literal["index", "search", "vector"]
    staged: bool
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class Table:
    name: str | None
    at: LineAndColumn
    fields: tuple[Field, ...]
    indexes: tuple[Index, ...]


@dataclass(frozen=True, slots=True)
class CronTable:
    """A call of `cronJobs()`, and whether it is the file's default export."""

    exported: bool
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class OwnOfComponent:
    """The default export of `folder/schema` or `folder/crons`, which only a component has."""

    name: Literal["schema", "crons"]
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class IdString:
    """A field called `<stem>Id` that is validated as a string, of a table or of arguments. `uses`
    are those of a value of this name in the same statement, as the `field` of an `IdUse`."""

    stem: str
    at: LineAndColumn
    in_table: bool
    uses: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class IdUse:
    """A document's field called `<stem>Id` whose value is used as an id, or, where `field` is not
    None, as the value of that field."""

    stem: str
    field: str | None


@dataclass(frozen=True, slots=True)
class AnyReturn:
    """A returns validator that lets anything out where documents of `table` come."""

    table: str
    at: LineAndColumn


@dataclass(frozen=True, slots=True)
class Stored:
    """A value stored into a field, and whether the code shows its shape. None: not known which."""

    table: str | None
    field: str | None
    known: bool


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`auth_config`: whether this auth configuration names a provider; None for other files.
    `words` are the strings that may name an index; with `computed_indexes`, any may be used.
    `allowed_filters` are filters of a query on which Convex's documentation and its lint rule
    disagree.
    """

    v: Literal[1]
    uses_node: bool = False
    imports: tuple[Import, ...] = ()
    reexports: tuple[Reexport, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    tables: tuple[Table, ...] = ()
    id_strings: tuple[IdString, ...] = ()
    id_uses: tuple[IdUse, ...] = ()
    words: frozenset[str] = frozenset()
    computed_indexes: bool = False
    routers: tuple[LineAndColumn, ...] = ()
    cron_tables: tuple[CronTable, ...] = ()
    own_of_component: OwnOfComponent | None = None
    auth_config: bool | None = None
    allowed_filters: tuple[LineAndColumn, ...] = ()
    any_returns: tuple[AnyReturn, ...] = ()
    stored: tuple[Stored, ...] = ()


_SHAPE = pydantic.TypeAdapter(FileFacts)


def parse(message: str) -> FileFacts:
    """The facts in a diagnostic's message. Raises InfrastructureError for anything else."""
    try:
        return _SHAPE.validate_json(well_formed_json(message))
    except pydantic.ValidationError as error:
        raise InfrastructureError(
            "the facts of a file have an unknown shape", detail=str(error)
        ) from error
