"""The steps of a case's `behaviour`, as data: what a YAML author writes.

A step is a mapping with one key that says what it does (`query`, `insert`, `advance`, ...) and the
keys that go with it. `${name}` in any text of a step stands for what an earlier step saved
(`references.py`); expected values are matchers (`matching.py`).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    model_validator,
)

from pytest_convex_eval.behaviour.fields import (
    As,
    Duration,
    Matcher,
    Moment,
    Name,
    Pattern,
    Save,
    ThrowsText,
    UsageLimit,
)
from pytest_convex_eval.expectations.model import FunctionPath, StrictModel


def _base64(text: str | None) -> str | None:
    if text is not None and "${" not in text:
        try:
            b64decode(text, validate=True)
        except ValueError:
            raise ValueError("not base64") from None
    return text


Base64 = Annotated[
    str | None, AfterValidator(_base64), Field(description="Bytes that are no text, in base64")
]


class InsertStep(StrictModel):
    """Puts documents into a table, past all functions; saves their ids, in order."""

    insert: Annotated[
        dict[str, tuple[dict[str, JsonValue], ...]],
        Field(min_length=1, max_length=1, description="One table and its new documents"),
    ]
    throws: ThrowsText = None
    save: Save = None


class DeleteStep(StrictModel):
    """Deletes documents by their ids, past all functions."""

    delete: Annotated[tuple[str, ...], Field(min_length=1)]


class CallStep(StrictModel):
    """What the three kinds of calls have in common."""

    args: Annotated[dict[str, JsonValue], Field(description="Arguments; none by default")] = {}
    as_: As = None
    internal: Annotated[
        bool, Field(description="Called as an admin may: internal functions too")
    ] = False
    returns: Matcher = None
    throws: ThrowsText = None
    logs: Annotated[
        tuple[Pattern, ...], Field(description="Patterns that log lines match, in this order")
    ] = ()
    uses: UsageLimit | None = None
    save: Save = None

    @model_validator(mode="after")
    def _one_end(self) -> CallStep:
        if self.throws is not None and ({"returns", "save"} & self.model_fields_set):
            raise ValueError("a call that 'throws' has no result to compare or save")
        return self


class QueryStep(CallStep):
    """Calls a query."""

    query: FunctionPath


class MutationStep(CallStep):
    """Calls a mutation."""

    mutation: FunctionPath


class ActionStep(CallStep):
    """Calls an action."""

    action: FunctionPath


class HttpRequest(StrictModel):
    """A request to the deployment's HTTP actions (`path`), or to an address (`url`) that a
    function of the deployment returned."""

    method: Literal["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"] = "GET"
    path: Annotated[str | None, Field(pattern=r"^/")] = None
    url: Annotated[str | None, Field(description="An address of this deployment")] = None
    headers: dict[str, str] = {}
    json_: Annotated[JsonValue, Field(alias="json", description="The body, sent as JSON")] = None
    text: Annotated[str | None, Field(description="The body, as it is")] = None
    base64: Base64 = None

    @model_validator(mode="after")
    def _one_of_each(self) -> HttpRequest:
        if (self.path is None) == (self.url is None):
            raise ValueError("name exactly one of path and url")
        if len({"json_", "text", "base64"} & self.model_fields_set) > 1:
            raise ValueError("a request has one body: json, text or base64")
        return self


class HttpStep(StrictModel):
    """Asks an HTTP action; saves the body (parsed where it is JSON)."""

    http: HttpRequest
    status: Annotated[int | None, Field(ge=100, le=599)] = None
    headers: Annotated[dict[str, Matcher], Field(description="Headers of the answer")] = {}
    body: Annotated[
        Matcher,
        Field(
            description="A text or {$matches: ...} is compared with the body as it is; anything "
            "else with what its JSON says"
        ),
    ] = None
    text: Annotated[Matcher, Field(description="The body as it is")] = None
    json_: Annotated[
        Matcher, Field(alias="json", description="What the body, which must be JSON, says")
    ] = None
    base64: Base64 = None
    save: Save = None


class Upload(StrictModel):
    """A file for an upload URL."""

    to: Annotated[str, Field(description="The upload URL, as a mutation returned it")]
    text: str | None = None
    base64: Base64 = None
    type: Annotated[str, Field(description="Its content type")] = "text/plain"

    @model_validator(mode="after")
    def _one_content(self) -> Upload:
        if (self.text is None) == (self.base64 is None):
            raise ValueError("a file is text or base64")
        return self


class UploadStep(StrictModel):
    """Uploads a file as a browser would; saves its storage id."""

    upload: Upload
    save: Save = None


class TableStep(StrictModel):
    """Looks at the documents of a table, past all functions; saves them, the oldest first."""

    table: Annotated[str, Field(min_length=1)]
    where: Annotated[
        dict[str, Matcher], Field(description="Only documents whose fields match")
    ] = {}
    count: Annotated[Matcher, Field(description="How many there are")] = None
    contains: Annotated[
        tuple[Matcher, ...], Field(description="For each, a document of its own matches")
    ] = ()
    documents: Annotated[
        tuple[Matcher, ...] | None, Field(description="Exactly these, in any order")
    ] = None
    save: Save = None


class AdvanceStep(StrictModel):
    """Moves time on: what is scheduled and what crons are due run, in order."""

    advance: Duration
    fails: Annotated[
        tuple[str, ...],
        Field(description="Functions that may fail meanwhile (module:function); others must not"),
    ] = ()


class EnvStep(StrictModel):
    """Sets environment variables of the deployment; null takes one away."""

    env: Annotated[dict[str, str | None], Field(min_length=1)]


class ParallelStep(StrictModel):
    """Makes all calls at once, each `times` times; each must end as it says, unless `succeed`
    says how many of them must succeed."""

    parallel: Annotated[
        tuple[
            Annotated[
                Annotated[QueryStep, Tag("<query>")]
                | Annotated[MutationStep, Tag("<mutation>")]
                | Annotated[ActionStep, Tag("<action>")]
                | Annotated[HttpStep, Tag("<http>")],
                Discriminator(lambda value: _tag(value, ("query", "mutation", "action", "http"))),
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    times: Annotated[int, Field(ge=1, le=200)] = 1
    succeed: Annotated[Matcher, Field(description="How many of the calls succeed")] = None
    returns: Annotated[
        Matcher,
        Field(
            description="What all calls return, a list in the order in which they are written: "
            "{$unordered: [...]} where it is not known which gets what"
        ),
    ] = None


class PaginateStep(StrictModel):
    """Walks a paginated query to its end; saves all items of all pages."""

    paginate: FunctionPath
    args: Annotated[dict[str, JsonValue], Field(description="Arguments beside paginationOpts")] = {}
    options: Annotated[
        dict[Literal["maximumRowsRead", "maximumBytesRead", "endCursor"], JsonValue],
        Field(description="More of paginationOpts, for every page"),
    ] = {}
    page_size: Annotated[int, Field(ge=1, le=1000)] = 10
    as_: As = None
    returns: Annotated[Matcher, Field(description="All items of all pages")] = None
    pages: Annotated[Matcher, Field(description="How many pages held something")] = None
    uses: Annotated[UsageLimit | None, Field(description="Each page by itself")] = None
    save: Save = None

    @model_validator(mode="after")
    def _own_options(self) -> PaginateStep:
        if "paginationOpts" in self.args:
            raise ValueError("paginationOpts are this step's to send; write page_size and options")
        return self


class RepeatStep(StrictModel):
    """Takes its steps several times; `${index}` counts from 0."""

    repeat: Annotated[int, Field(ge=1, le=2000)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class EachStep(StrictModel):
    """Takes its steps for each of some values, which are `${each}` (and `${index}` from 0)."""

    each: Annotated[tuple[JsonValue, ...], Field(min_length=1, max_length=200)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class ServiceStep(StrictModel):
    """Looks at the requests that a service of the block received."""

    service: Name
    count: Matcher = None
    requests: Annotated[
        tuple[Matcher, ...],
        Field(description="For each, a request of its own matches: method, path, query, json, ..."),
    ] = ()


_VERBS = (
    "insert",
    "delete",
    "query",
    "mutation",
    "action",
    "http",
    "upload",
    "table",
    "advance",
    "env",
    "parallel",
    "paginate",
    "repeat",
    "each",
    "service",
)


def _tag(value: Any, verbs: tuple[str, ...] = _VERBS) -> str:
    """The member of the union that `value` is, by the one key that says what it does."""
    # pydantic asks of data when it reads, and of models when it writes.
    keys = type(value).model_fields if isinstance(value, StrictModel) else value
    found = [verb for verb in verbs if isinstance(keys, Mapping) and verb in keys]
    return f"<{found[0]}>" if found else "<none>"


Step: TypeAlias = Annotated[
    Annotated[InsertStep, Tag("<insert>")]
    | Annotated[DeleteStep, Tag("<delete>")]
    | Annotated[QueryStep, Tag("<query>")]
    | Annotated[MutationStep, Tag("<mutation>")]
    | Annotated[ActionStep, Tag("<action>")]
    | Annotated[HttpStep, Tag("<http>")]
    | Annotated[UploadStep, Tag("<upload>")]
    | Annotated[TableStep, Tag("<table>")]
    | Annotated[AdvanceStep, Tag("<advance>")]
    | Annotated[EnvStep, Tag("<env>")]
    | Annotated[ParallelStep, Tag("<parallel>")]
    | Annotated[PaginateStep, Tag("<paginate>")]
    | Annotated[RepeatStep, Tag("<repeat>")]
    | Annotated[EachStep, Tag("<each>")]
    | Annotated[ServiceStep, Tag("<service>")],
    Discriminator(_tag),
]


class ServiceRoute(StrictModel):
    """What a stand-in for an outside service answers to one method and path."""

    method: Literal["GET", "POST", "PUT", "DELETE", "PATCH"] = "GET"
    path: Annotated[str, Field(pattern=r"^/", description="Without its query string")]
    status: Annotated[int, Field(ge=200, le=599)] = 200
    json_: Annotated[JsonValue, Field(alias="json")] = None
    text: str | None = None


class Block(StrictModel):
    """Steps that start from an empty deployment: no documents, files, schedules."""

    name: Annotated[str, Field(min_length=1, pattern=r"\S", max_length=120)]
    as_: As = None
    at: Annotated[
        Moment | None,
        Field(description="The time at which the block starts, e.g. 2030-01-15T10:00:00Z"),
    ] = None
    env: Annotated[
        dict[str, str], Field(description="Environment variables of the deployment")
    ] = {}
    services: Annotated[
        dict[Name, tuple[ServiceRoute, ...]],
        Field(description="Stand-ins for outside services; ${services.name} is its address"),
    ] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


RepeatStep.model_rebuild()
EachStep.model_rebuild()
Block.model_rebuild()
