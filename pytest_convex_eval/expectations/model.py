"""What a case expects of an answer beyond its parsing and typing: data, read by the stages.

The models refuse unknown keys and are frozen; their docstrings and field descriptions become the
JSON schema that editors show.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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


class TableExpectation(StrictModel):
    """A table of the deployed schema. What is not named is not checked."""

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
        tuple[FieldList, ...],
        Field(
            description="For each entry, some index that begins with these fields, in this order"
        ),
    ] = ()
    search_indexes: tuple[SearchIndexExpectation, ...] = ()
    vector_indexes: tuple[VectorIndexExpectation, ...] = ()


class FunctionExpectation(StrictModel):
    """A registered function as the deployment reports it."""

    kind: FunctionKind
    visibility: Visibility = "public"
    args: Annotated[
        tuple[str, ...] | None,
        Field(
            description="Its required arguments, by name; others must be optional. 'x?' for an "
            "argument that must be optional"
        ),
    ] = None
    returns: Annotated[
        ValidatorText | None,
        Field(description="Its returns validator, where the prompt asks for one"),
    ] = None


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
    functions: dict[FunctionPath, FunctionExpectation] = {}
    crons: tuple[CronExpectation, ...] = ()
    http: tuple[RouteExpectation, ...] = ()


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
