"""What a deployment says of itself, in plain data.

Validators and values are in Convex's own JSON form: `{"type": "string"}`,
`{"type": "object", "value": {"name": {"fieldType": ..., "optional": false}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from pydantic import JsonValue

from pytest_convex_eval.functions import FunctionKind, Visibility
from pytest_convex_eval.outcomes import InfrastructureError
from pytest_convex_eval.places import Place

Validator: TypeAlias = Mapping[str, JsonValue]
Identity: TypeAlias = Mapping[str, JsonValue]
"""What `ctx.auth.getUserIdentity()` returns; `tokenIdentifier` is made of issuer and subject."""
Arguments: TypeAlias = Mapping[str, JsonValue]


class By(TypedDict, total=False):
    """Who calls: anonymous without an `identity`; `admin` may call internal functions too."""

    identity: Identity | None
    admin: bool


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
    """The fields are sorted."""


@dataclass(frozen=True, slots=True)
class VectorIndex:
    name: str
    vector_field: str
    dimensions: int
    filter_fields: tuple[str, ...]
    """The fields are sorted."""


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
    kind: FunctionKind
    visibility: Visibility
    args: Validator
    returns: Validator | None
    position: Place | None


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
class Feature:
    """Something that the client library, its CLI or pushed code asks of a deployment: the type of a
    validator, an operation (`1.0/insert`), a field of a push or of what a file exports."""

    kind: Literal["validator", "operation", "push field", "schema field", "definition field"]
    name: str


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """How the last push ended, as the server knows it.

    none: there was no push since the start or the last reset; started: it passed the server's
    checks and was not finished; refused: the pushed code is at fault, as `code` and `message`
    say; failed: something else is (what the deployment does not support, a request out of turn).
    `component` is the definition path of the component at fault, "" for the app itself. `number`
    counts the pushes that reached the server since its start. `unknown` is what the push failed of
    where the deployment does not know it.
    """

    status: Literal["none", "started", "refused", "accepted", "failed"]
    number: int = 0
    phase: str | None = None
    code: str | None = None
    message: str | None = None
    position: Place | None = None
    table: str | None = None
    index: str | None = None
    component: str | None = None
    unknown: Feature | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, together with everything that it called. Counts, and bytes.

    `index_ranges` are the queries and point reads of the database; `functions` the functions that
    ran, the called one among them.
    """

    documents_read: int = 0
    bytes_read: int = 0
    index_ranges: int = 0
    documents_written: int = 0
    bytes_written: int = 0
    functions: int = 0


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """How a call of a function ended. Values are in Convex's JSON form (`{"$integer": ...}`).

    `error` is None when the function returned `value`; else it is what a client is told, with the
    request's id in front. `error_data` is the data of a thrown `ConvexError`, None otherwise.
    `usage` is None where the deployment does not tell it.
    """

    value: JsonValue = None
    error: str | None = None
    error_data: JsonValue = None
    log_lines: tuple[str, ...] = ()
    usage: Usage | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What an HTTP action answered. `headers` in the order in which they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class UnsupportedError(InfrastructureError):
    """This kind of deployment can't do what was asked, whatever the answer is like."""


class UnknownFeatureError(InfrastructureError):
    """The answer's packages ask for something that this kind of deployment does not know yet."""

    def __init__(self, feature: Feature, *, convex: str, detail: str = "") -> None:
        """`convex`: the version of the answer's library."""
        super().__init__(
            f"the embedded deployment does not know the {feature.kind} {feature.name!r} of "
            f"convex {convex}: take a newer release of pytest-convex-eval, or another deployment "
            "(--convex-backend local or a URL)",
            detail=detail,
        )


class BusyError(InfrastructureError):
    """Others use the deployment, and did for longer than could be waited."""
