"""The form of the rows: what each key is, and how a file that breaks it is told.

One file of `rows/` is a list of rules of the official backend, each with the code that shows it and
what the backend answers; `README.md` says how to write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    model_validator,
)

Kind: TypeAlias = Literal["query", "mutation", "action"]

BODIES: Mapping[str, tuple[str, Kind | None]] = {
    "query": ("query", "query"),
    "mutation": ("mutation", "mutation"),
    "action": ("action", "action"),
    "node_action": ("action", "action"),
    "http_action": ("httpAction", None),
}
"""The keys that hold a handler's body: how such a function is registered, and how it is called."""

_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE|OPTIONS|HEAD)(?: (/?\S*))?")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Token(_Form):
    """A JWT. Its header and claims are good ones but for what is given; null leaves one out."""

    header: dict[str, JsonValue] = {}
    claims: dict[str, JsonValue] = {}
    """`now`, `now+60` and `now-60` are times, in seconds."""
    signed: bool = True
    """False: with another key than the provider's."""
    text: str | None = None
    """In the place of all of it."""


class Call(_Form):
    """A function is called, as a client calls it over HTTP."""

    call: str = "f"
    """An export of the row's own module, or `module:export`."""
    kind: Kind | None = None
    """As what it is called; for a row with a handler's body that body's kind."""
    args: JsonValue = {}
    """What is sent as `args`, whatever it is."""
    identity: dict[str, JsonValue] | None = None
    token: Token | None = None
    admin: bool = False
    save: str | None = None

    value: JsonValue = None
    error: str | None = None
    """What a client is told, without the line of the request's id and without stack frames."""
    data: JsonValue = None
    """Of a ConvexError."""
    logs: list[str] | None = None

    @model_validator(mode="after")
    def _one_ending(self) -> Call:
        given = self.model_fields_set
        if "value" in given and "error" in given:
            raise ValueError("`value` and `error` are two endings of one call")
        if "data" in given and "error" not in given:
            raise ValueError("`data` is that of an `error`")
        return self


class Request(_Form):
    """An HTTP request."""

    request: str
    """`METHOD /path`; of an `http_action` the path begins below its own route."""
    to: Literal["cloud", "site"] = "cloud"
    headers: dict[str, str] = {}
    body: str | None = None
    json_: JsonValue = Field(default=None, alias="json")
    token: Token | None = None
    admin: bool = False
    save: str | None = None

    status: int | None = None
    answers: JsonValue = None
    """The body: JSON where it is an object or a list and a text otherwise."""
    answer_headers: dict[str, str | None] = {}
    """By their lower-case names; null is for one that is not there."""

    @model_validator(mode="after")
    def _is_request(self) -> Request:
        if not _REQUEST.fullmatch(self.request):
            raise ValueError("`request` is `METHOD /path`")
        if "json_" in self.model_fields_set and self.body is not None:
            raise ValueError("`body` and `json` are two bodies")
        return self

    @property
    def method(self) -> str:
        return self.request.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.request.partition(" ")[2]


class Insert(_Form):
    """Documents are inserted past all functions; `save` has the list of their ids."""

    insert: dict[str, list[dict[str, JsonValue]]]
    save: str | None = None


class Advance(_Form):
    """Seconds pass, and what is due runs. Only a few, since elsewhere they are real ones."""

    advance: Annotated[float, Field(ge=0, le=5)]


class Stored(_Form):
    """All documents of a table, the oldest first; `_id` and `_creationTime` may be left out."""

    table: str
    documents: list[dict[str, JsonValue]]


def _step_kind(value: object) -> str | None:
    keys: Sequence[str] = list(value) if isinstance(value, dict) else ()
    found = [kind for kind in ("request", "insert", "advance", "table") if kind in keys]
    return found[0] if found else "call"


Step: TypeAlias = Annotated[
    Annotated[Call, Tag("call")]
    | Annotated[Request, Tag("request")]
    | Annotated[Insert, Tag("insert")]
    | Annotated[Advance, Tag("advance")]
    | Annotated[Stored, Tag("table")],
    Discriminator(_step_kind),
]

_OF_CALL = set(Call.model_fields)
_OF_REQUEST = set(Request.model_fields) - {"json_"} | {"json"}


class Refused(_Form):
    """How the push ends. Over HTTP: `code` and `message` as the backend answers; `cli`: the words
    are those that the CLI prints, which pushes then."""

    code: str | None = None
    message: str | None = None
    status: int = 400
    cli: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Refused:
        if (self.cli is None) == (self.code is None and self.message is None):
            raise ValueError("a refusal has `code` and `message`, or `cli`")
        return self


class Row(_Form):
    """A rule."""

    name: Annotated[str, Field(pattern=r"^\S.*\S$")]
    query: str | None = None
    mutation: str | None = None
    action: str | None = None
    node_action: str | None = None
    http_action: str | None = None
    module: str | None = None
    """The rest of a module, below the imports that all rows have; in the place of a body."""
    validator: str | None = None
    """The `args` of a handler's body, as TypeScript."""
    returns: str | None = None
    """Its `returns`."""

    table_definitions: str | None = Field(default=None, alias="schema")
    """The tables, as TypeScript, of an app of the row's own."""
    files: dict[str, str] = {}
    """Further files, by their paths from `convex/` on, of an app of the row's own."""
    auth: bool = False
    """An app of the row's own, that trusts the tokens of `token`."""
    variables: dict[str, str] = {}
    """The environment variables while an app of the row's own is pushed and runs."""

    steps: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    refused: Refused | None = None
    differs: str | None = None
    """Why the embedded deployment does otherwise, on purpose: the row must not hold there."""

    @model_validator(mode="before")
    @classmethod
    def _only_step(cls, given: object) -> object:
        """A row that has one step can have its keys itself."""
        if not isinstance(given, dict) or "steps" in given:
            return given
        own = set(cls.model_fields) - {"table_definitions"} | {"schema"}
        of_step = _OF_REQUEST if "http_action" in given or "request" in given else _OF_CALL
        step = {key: value for key, value in given.items() if key in of_step - own}
        if not step:
            return given
        rest = {key: value for key, value in given.items() if key not in step}
        return {**rest, "steps": [step]}

    @model_validator(mode="after")
    def _is_whole(self) -> Row:
        bodies = [key for key in (*BODIES, "module") if getattr(self, key) is not None]
        if len(bodies) > 1:
            raise ValueError(f"`{bodies[0]}` and `{bodies[1]}` are two codes of one row")
        if not bodies and not self.files and self.table_definitions is None:
            raise ValueError("a row has code: `query`, `module`, `files` ...")
        if (self.validator or self.returns) and (not bodies or bodies[0] == "module"):
            raise ValueError("`validator` and `returns` belong to a handler's body")
        if self.refused is not None and self.steps:
            raise ValueError("what is refused can't be called")
        if self.refused is None and not any(map(_tells, self.steps)):
            raise ValueError(
                "a row expects something: `value`, `error`, `logs`, `status`, `answers`, "
                "`documents` or `refused`"
            )
        for step in self.steps:
            if isinstance(step, Call) and step.kind is None and self.kind is None:
                raise ValueError("a call of what has no body in the row says its `kind`")
        return self

    @property
    def kind(self) -> Kind | None:
        """As what its handler's body is called."""
        return next((kind for key, (_, kind) in BODIES.items() if getattr(self, key)), None)

    @property
    def slug(self) -> str:
        """Its name as that of a module."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")[:60]

    @property
    def alone(self) -> bool:
        """Whether it needs an app of its own."""
        own = self.table_definitions, self.files, self.auth, self.variables, self.refused
        return any(own)


class RowsFile(_Form):
    """The rows of a section, which share one app where they can."""

    section: str
    """What the rules are about."""
    table_definitions: str = Field(default="", alias="schema")
    """The tables of the shared app, as TypeScript."""
    auth: bool = False
    """Whether the shared app trusts the tokens of `token`."""
    rows: list[Row]

    @model_validator(mode="after")
    def _names_differ(self) -> RowsFile:
        seen: dict[str, str] = {}
        for row in self.rows:
            if row.slug in seen:
                raise ValueError(f"rows {seen[row.slug]!r} and {row.name!r} have the same name")
            seen[row.slug] = row.name
        if not self.rows:
            raise ValueError("there are no rows")
        return self


class FormError(Exception):
    """Everything that is wrong with a file, a line each: `file:line: row: key: what`."""


@dataclass(frozen=True)
class Section:
    """A file of rows, by its name."""

    name: str
    file: RowsFile


def load(path: Path) -> Section:
    """Raises FormError."""
    text = path.read_text("utf-8")
    try:
        tree = yaml.compose(text, yaml.CSafeLoader)
        data = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise FormError(f"{path.name}: {error}") from error
    try:
        return Section(path.stem, RowsFile.model_validate(data))
    except ValidationError as error:
        raise FormError(
            "\n".join(_told(path, tree, data, each) for each in error.errors())
        ) from None


def _tells(step: object) -> bool:
    match step:
        case Call():
            return bool(step.model_fields_set & {"value", "error", "logs"})
        case Request():
            return bool(step.model_fields_set & {"status", "answers", "answer_headers"})
        case _:
            return isinstance(step, Stored)


def _told(path: Path, tree: yaml.Node | None, data: Any, error: Any) -> str:
    place = [each for each in error["loc"] if each not in ("call", "request", "insert", "advance")]
    line, name = 1, ""
    node = tree
    if place[:1] == ["rows"] and len(place) > 1 and isinstance(node, yaml.MappingNode):
        rows = next((value for key, value in node.value if key.value == "rows"), None)
        if isinstance(rows, yaml.SequenceNode) and isinstance(place[1], int):
            line = rows.value[place[1]].start_mark.line + 1
            row = data["rows"][place[1]]
            name = repr(row.get("name")) if isinstance(row, dict) else f"row {place[1]}"
            place = place[2:]
    key = ".".join(map(str, place))
    message = error["msg"].removeprefix("Value error, ")
    return ": ".join([f"{path.name}:{line}", *filter(None, [name, key]), message])
