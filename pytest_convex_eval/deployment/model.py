"""What a deployment says of itself, in plain data.

Validators and values are in Convex's own JSON form: `{"type": "string"}`,
`{"type": "object", "value": {"name": {"fieldType": ..., "optional": false}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from pydantic import JsonValue

Validator: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the project: `path` relative to its root, line and column counted from 1."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Index:
    """A database index; `fields` without the `_creationTime` that Convex appends."""

    name: str
    fields: tuple[str, ...]
    staged: bool


@dataclass(frozen=True, slots=True)
class SearchIndex:
    name: str
    search_field: str
    filter_fields: tuple[str, ...]
    """Sorted."""


@dataclass(frozen=True, slots=True)
class VectorIndex:
    name: str
    vector_field: str
    dimensions: int
    filter_fields: tuple[str, ...]
    """Sorted."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the schema; `document` is the validator of its documents."""

    name: str
    document: Validator | None
    indexes: tuple[Index, ...]
    search_indexes: tuple[SearchIndex, ...]
    vector_indexes: tuple[VectorIndex, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A registered function; `path` is `module:export`; `returns` is None if not declared."""

    path: str
    kind: Literal["query", "mutation", "action"]
    visibility: Literal["public", "internal"]
    args: Validator
    returns: Validator | None
    position: Position | None


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron job. `schedule` as Convex exports it, intervals in seconds:
    `{"type": "interval", "seconds": 60}`, `{"type": "daily", "hourUTC": 2, "minuteUTC": 3}`."""

    name: str
    function: str
    args: tuple[JsonValue, ...]
    schedule: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP action's route: exactly one of `path` and `path_prefix`."""

    method: str
    path: str | None
    path_prefix: str | None


@dataclass(frozen=True, slots=True)
class Component:
    """An installed component: `path` in the tree of instances (`a/b`), `name` its own."""

    path: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live. Functions, crons and routes are the app's own, without those of components;
    functions in the order of the source. `files` are the bundled modules' paths (`a.js`)."""

    has_schema: bool = False
    schema_validation: bool = False
    tables: tuple[Table, ...] = ()
    functions: tuple[Function, ...] = ()
    crons: tuple[Cron, ...] = ()
    routes: tuple[Route, ...] = ()
    auth: tuple[Mapping[str, JsonValue], ...] = ()
    components: tuple[Component, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """How the last push ended, as the server knows it.

    none: there was no push since the start or the last reset; started: it passed the server's
    checks and was not finished; refused: the pushed code is at fault, as `code` and `message`
    say; failed: something else is (what the deployment does not support, a request out of turn).
    `component` is the definition path of the component at fault, "" for the app itself. `number`
    counts the pushes that reached the server since its start.
    """

    status: Literal["none", "started", "refused", "accepted", "failed"]
    number: int = 0
    phase: str | None = None
    code: str | None = None
    message: str | None = None
    position: Position | None = None
    table: str | None = None
    index: str | None = None
    component: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """How a call of a function ended. Values are in Convex's JSON form (`{"$integer": ...}`).

    `error` is None when the function returned `value`; else it is what a client is told, with the
    request's id in front. `error_data` is the data of a thrown `ConvexError`, None otherwise.
    """

    value: JsonValue = None
    error: str | None = None
    error_data: JsonValue = None
    log_lines: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What an HTTP action answered. `headers` in the order in which they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Deployment(Protocol):
    """Where a project can be pushed to."""

    @property
    def url(self) -> str: ...

    @property
    def admin_key(self) -> str: ...

    @property
    def scratch(self) -> Path:
        """A folder for files that live as long as the deployment."""
        ...

    def alive(self) -> bool: ...

    def cpu_seconds(self) -> float:
        """CPU seconds used since the start; 0.0 where they are not known."""
        ...

    def last_push(self) -> PushOutcome: ...

    def deployed(self) -> Deployed: ...
