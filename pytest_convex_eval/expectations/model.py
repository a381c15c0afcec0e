"""What a case expects of an answer beyond its parsing and typing: data, read by the stages.

The models refuse unknown keys and are frozen; their docstrings and field descriptions become the
JSON schema that editors show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from pytest_convex_eval.expectations.validators import parse_validator
from pytest_convex_eval.functions import FunctionKind, Visibility


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _npm_range(text: str) -> str:
    # Imported here: only a case that names a range needs it.
    import nodesemver

    if nodesemver.valid_range(text, loose=False) is None:
        raise ValueError(f"{text!r} is no npm version range")
    return text


def _validator_text(text: str) -> str:
    parse_validator(text)
    return text


def _function_path(text: str) -> str:
    module, colon, name = text.partition(":")
    if not colon or not module or not name or module.endswith((".ts", ".js")):
        raise ValueError(f"{text!r} is no function path; write it like 'posts:list'")
    return text


NpmRange = Annotated[str, AfterValidator(_npm_range)]
ValidatorText = Annotated[
    str,
    AfterValidator(_validator_text),
    Field(description="A validator as TypeScript, e.g. v.optional(v.id('users'))"),
]
FunctionPath = Annotated[
    str,
    AfterValidator(_function_path),
    Field(description="module:export, e.g. posts:list or admin/users:ban"),
]
FieldList = Annotated[tuple[str, ...], Field(min_length=1)]


class SearchIndexExpectation(StrictModel):
    """Some search index on `field` that can filter by at least `filters`."""

    field: str
    filters: tuple[str, ...] = ()


class VectorIndexExpectation(StrictModel):
    """Some vector index on `field`."""

    field: str
    dimensions: Annotated[int | None, Field(ge=2, le=4096)] = None
    filters: tuple[str, ...] = ()


class IndexExpectation(StrictModel):
    """Some index that begins with `fields`, in this order; of this name, where one is given."""

    fields: FieldList
    name: str | None = None
    staged: Annotated[bool, Field(description="Whether it must still be staged")] = False


def _index(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(
            f"{value!r} is no index; write the list of its fields, like [author, title], or "
            "{fields: [author], name: by_author}"
        )
    return {"fields": value} if isinstance(value, list | tuple) else value


IndexText = Annotated[
    IndexExpectation,
    BeforeValidator(_index),
    WithJsonSchema(
        {
            "description": "The fields that an index begins with, or a mapping that says more",
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {
                    "type": "object",
                    "properties": {
                        "fields": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                        "name": {"type": "string"},
                        "staged": {"type": "boolean"},
                    },
                    "required": ["fields"],
                    "additionalProperties": False,
                },
            ],
        }
    ),
]

Absent = Annotated[
    Literal[True] | None,
    Field(alias="$absent", description="There must be none of this name"),
]


class TableExpectation(StrictModel):
    """A table of the deployed schema. What is not named is not checked, but with `only`."""

    absent: Absent = None
    only: Annotated[
        bool, Field(description="No fields and no indexes beside those that are named here")
    ] = False
    document: Annotated[
        ValidatorText | None, Field(description="The whole document validator, where it matters")
    ] = None
    fields: Annotated[
        dict[str, ValidatorText], Field(description="Fields that the table has, with validators")
    ] = {}
    absent_fields: Annotated[
        tuple[str, ...], Field(description="Fields that the table must not have")
    ] = ()
    indexes: Annotated[
        tuple[IndexText, ...],
        Field(
            description="For each entry, some index that begins with these fields, in this order"
        ),
    ] = ()
    search_indexes: tuple[SearchIndexExpectation, ...] = ()
    vector_indexes: tuple[VectorIndexExpectation, ...] = ()

    @model_validator(mode="after")
    def _absent_alone(self) -> TableExpectation:
        if self.absent and len(self.model_fields_set) > 1:
            raise ValueError("of a table that must not be there nothing else can be said")
        return self


ArgsText = Annotated[
    Annotated[tuple[str, ...], Tag("<names>")]
    | Annotated[dict[str, ValidatorText], Tag("<validators>")],
    Discriminator(lambda value: "<validators>" if isinstance(value, dict) else "<names>"),
]


class FunctionExpectation(StrictModel):
    """A registered function as the deployment reports it."""

    absent: Absent = None
    kind: FunctionKind | None = None
    visibility: Visibility = "public"
    args: Annotated[
        ArgsText | None,
        Field(
            description="A list: its required arguments, by name; others must be optional; 'x?' "
            "for an argument that must be optional. A mapping: all its arguments, with their "
            "validators; $any stands for one whose name is free"
        ),
    ] = None
    returns: Annotated[
        ValidatorText | None,
        Field(description="Its returns validator, where the prompt asks for one"),
    ] = None

    @model_validator(mode="after")
    def _kind_or_absent(self) -> FunctionExpectation:
        if self.absent and len(self.model_fields_set) > 1:
            raise ValueError("of a function that must not be there nothing else can be said")
        if not self.absent and self.kind is None:
            raise ValueError("say its kind: query, mutation or action")
        return self


class Every(StrictModel):
    """A period; exactly one unit."""

    seconds: Annotated[int | None, Field(ge=1)] = None
    minutes: Annotated[int | None, Field(ge=1)] = None
    hours: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def _one_unit(self) -> Every:
        if sum(value is not None for value in (self.seconds, self.minutes, self.hours)) != 1:
            raise ValueError("name exactly one of seconds, minutes and hours")
        return self

    @property
    def total_seconds(self) -> int:
        return (self.seconds or 0) + 60 * (self.minutes or 0) + 3600 * (self.hours or 0)


Minute = Annotated[int | None, Field(ge=0, le=59)]
Hour = Annotated[int | None, Field(ge=0, le=23)]


class Daily(StrictModel):
    """Every day at a time (UTC); what is left out is not checked."""

    hour: Hour = None
    minute: Minute = None


class Weekly(StrictModel):
    """Every week at a day and time (UTC)."""

    day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    hour: Hour = None
    minute: Minute = None


class Monthly(StrictModel):
    """Every month at a day and time (UTC)."""

    day: Annotated[int, Field(ge=1, le=31)]
    hour: Hour = None
    minute: Minute = None


class CronExpectation(StrictModel):
    """A deployed cron job, found by its function, name and schedule as far as given."""

    function: FunctionPath
    name: str | None = None
    every: Every | None = None
    daily: Daily | None = None
    weekly: Weekly | None = None
    monthly: Monthly | None = None
    cron: Annotated[str | None, Field(description="A cron expression, compared as text")] = None

    @model_validator(mode="after")
    def _one_schedule(self) -> CronExpectation:
        given = [self.every, self.daily, self.weekly, self.monthly, self.cron]
        if sum(schedule is not None for schedule in given) > 1:
            raise ValueError("name at most one of every, daily, weekly, monthly and cron")
        return self


class RouteExpectation(StrictModel):
    """An HTTP route of the deployed router: exactly one of `path` and `path_prefix`."""

    method: Literal["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
    path: Annotated[str | None, Field(pattern="^/")] = None
    path_prefix: Annotated[str | None, Field(pattern="^/(.*/)?$")] = None

    @model_validator(mode="after")
    def _one_path(self) -> RouteExpectation:
        if (self.path is None) == (self.path_prefix is None):
            raise ValueError("name exactly one of path and path_prefix")
        return self


class Expectations(StrictModel):
    """What the answer must bring and what must be deployed from it."""

    convex: Annotated[
        NpmRange,
        Field(description="The version that the answer's package.json resolves to lies inside"),
    ] = ">=1.31"
    files: Annotated[tuple[str, ...], Field(description="Files that the answer must have")] = ()
    forbid_files: Annotated[
        tuple[str, ...], Field(description="Glob patterns of files that the answer must not have")
    ] = ()
    dependencies: Annotated[
        dict[str, NpmRange],
        Field(description="Packages that the answer must depend on; its range must meet this one"),
    ] = {}
    tables: dict[str, TableExpectation] = {}
    tables_only: Annotated[bool, Field(description="No tables beside those in `tables`")] = False
    functions: dict[FunctionPath, FunctionExpectation] = {}
    public_only: Annotated[
        bool, Field(description="No public functions beside those in `functions`")
    ] = False
    crons: tuple[CronExpectation, ...] = ()
    crons_only: Annotated[bool, Field(description="No cron jobs beside those in `crons`")] = False
    http: tuple[RouteExpectation, ...] = ()
    http_only: Annotated[bool, Field(description="No routes beside those in `http`")] = False


class LintPolicy(StrictModel):
    """How a case differs from the lint profile."""

    off: Annotated[tuple[str, ...], Field(description="Rules that do not apply to this case")] = ()
    require: Annotated[
        tuple[str, ...], Field(description="Rules whose findings fail this case")
    ] = ()
    public: Annotated[
        tuple[FunctionPath, ...],
        Field(
            description="Functions that anyone may call: no finding of `authorization`, "
            "`authentication` and `internal-targets`"
        ),
    ] = ()
