"""Reading what a Convex backend says of itself through the functions that the CLI calls."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Literal, TypeAlias

from pydantic import BaseModel, Field, JsonValue, TypeAdapter

from pytest_convex_eval.deployment.model import (
    Component,
    Cron,
    Deployed,
    Function,
    Index,
    Route,
    SearchIndex,
    Table,
    Validator,
    VectorIndex,
)
from pytest_convex_eval.functions import FunctionKind, Visibility
from pytest_convex_eval.text import well_formed_json

_APPENDED = "_creationTime"
_KINDS: dict[str, FunctionKind] = {
    "Query": "query",
    "Mutation": "mutation",
    "Action": "action",
}


class _Index(BaseModel):
    name: str = Field(alias="indexDescriptor")
    fields: tuple[str, ...]


class _Search(BaseModel):
    name: str = Field(alias="indexDescriptor")
    search_field: str = Field(alias="searchField")
    filter_fields: tuple[str, ...] = Field(alias="filterFields")


class _Vector(BaseModel):
    name: str = Field(alias="indexDescriptor")
    vector_field: str = Field(alias="vectorField")
    dimensions: int
    filter_fields: tuple[str, ...] = Field(alias="filterFields")


class _Table(BaseModel):
    name: str = Field(alias="tableName")
    document: dict[str, JsonValue] | None = Field(default=None, alias="documentType")
    indexes: tuple[_Index, ...] = ()
    staged: tuple[_Index, ...] = Field(default=(), alias="stagedDbIndexes")
    search: tuple[_Search, ...] = Field(default=(), alias="searchIndexes")
    staged_search: tuple[_Search, ...] = Field(default=(), alias="stagedSearchIndexes")
    vector: tuple[_Vector, ...] = Field(default=(), alias="vectorIndexes")
    staged_vector: tuple[_Vector, ...] = Field(default=(), alias="stagedVectorIndexes")


class _Schema(BaseModel):
    tables: tuple[_Table, ...]
    validation: bool = Field(alias="schemaValidation")


class _Schemas(BaseModel):
    active: str | None = None


class _Visibility(BaseModel):
    kind: Visibility


class _Spec(BaseModel):
    kind: Literal["Query", "Mutation", "Action", "HttpAction"] = Field(alias="functionType")
    identifier: str = ""
    visibility: _Visibility | None = None
    args: dict[str, JsonValue] | str = '{"type": "any"}'
    returns: dict[str, JsonValue] | str = '{"type": "any"}'
    method: str = ""
    path: str = ""


class _CronSpec(BaseModel):
    function: str = Field(alias="udfPath")
    args: JsonValue = Field(alias="udfArgs")
    schedule: dict[str, JsonValue] = Field(alias="cronSchedule")


class _Cron(BaseModel):
    name: str
    spec: _CronSpec = Field(alias="cronSpec")


class _Component(BaseModel):
    id: str
    path: str
    name: str | None = None


class _Module(BaseModel):
    path: str


class _Config(BaseModel):
    auth: tuple[dict[str, JsonValue], ...] = Field(default=(), alias="authInfo")


class ConfigHashes(BaseModel):
    """What `/api/get_config_hashes` answers: the modules that are live."""

    config: _Config
    modules: tuple[_Module, ...] = Field(alias="moduleHashes")


Components: TypeAlias = Sequence[_Component]
"""The instances of components; the app itself is among them, at the path ""."""

_SPECS = TypeAdapter(list[_Spec])
_CRONS = TypeAdapter(list[_Cron])
_COMPONENTS = TypeAdapter(list[_Component])


def components_of(answer: JsonValue) -> Components:
    """Reads `_system/frontend/components:list`. Raises pydantic.ValidationError."""
    return _COMPONENTS.validate_python(answer)


def describe(
    *,
    schemas: JsonValue,
    spec: JsonValue,
    crons: JsonValue,
    components: Components,
    hashes: ConfigHashes,
) -> Deployed:
    """What is live, from the answers of `getSchemas`, `apiSpec` and `listCronJobs`.

    A backend does not tell a function without a `returns` validator from one that returns
    anything, nor where a function stands in its file. Raises pydantic.ValidationError.
    """
    active = _Schemas.model_validate(schemas).active
    schema = None if active is None else _Schema.model_validate_json(well_formed_json(active))
    specs = _SPECS.validate_python(spec)
    return Deployed(
        has_schema=schema is not None,
        schema_validation=schema is not None and schema.validation,
        tables=tuple(map(_table, schema.tables)) if schema is not None else (),
        functions=tuple(_function(each) for each in specs if each.kind != "HttpAction"),
        crons=tuple(map(_cron, _CRONS.validate_python(crons))),
        routes=tuple(_route(each) for each in specs if each.kind == "HttpAction"),
        auth=hashes.config.auth,
        components=tuple(Component(each.path, each.name) for each in components if each.path),
        files=tuple(module.path for module in hashes.modules),
    )


def function_path(identifier: str) -> str:
    """`module:export` of a function as a backend or a caller names it: `a/b.js:f`, `a/b`."""
    module, _, export = identifier.partition(":")
    return f"{module.removesuffix('.js')}:{export or 'default'}"


def _table(table: _Table) -> Table:
    def plain(index: _Index, *, staged: bool) -> Index:
        appended = index.fields[-1:] == (_APPENDED,)
        return Index(index.name, index.fields[:-1] if appended else index.fields, staged)

    return Table(
        table.name,
        table.document,
        (
            *(plain(index, staged=False) for index in table.indexes),
            *(plain(index, staged=True) for index in table.staged),
        ),
        tuple(
            SearchIndex(index.name, index.search_field, tuple(sorted(index.filter_fields)))
            for index in (*table.search, *table.staged_search)
        ),
        tuple(
            VectorIndex(
                index.name,
                index.vector_field,
                index.dimensions,
                tuple(sorted(index.filter_fields)),
            )
            for index in (*table.vector, *table.staged_vector)
        ),
    )


def _function(spec: _Spec) -> Function:
    return Function(
        path=function_path(spec.identifier),
        kind=_KINDS[spec.kind],
        # A function of a library too old to say is callable by everybody.
        visibility="public" if spec.visibility is None else spec.visibility.kind,
        args=_validator(spec.args),
        returns=_validator(spec.returns),
        position=None,
    )


def _validator(given: dict[str, JsonValue] | str) -> Validator:
    if not isinstance(given, str):
        return given
    parsed: dict[str, JsonValue] = json.loads(given)
    return parsed


def _route(spec: _Spec) -> Route:
    if spec.path.endswith("*"):
        return Route(spec.method, None, spec.path[:-1])
    return Route(spec.method, spec.path, None)


def _cron(cron: _Cron) -> Cron:
    args = cron.spec.args
    if isinstance(args, dict):
        args = json.loads(base64.b64decode(str(args.get("$bytes", ""))) or b"[]")
    return Cron(
        cron.name,
        function_path(cron.spec.function),
        tuple(args) if isinstance(args, list) else (),
        {name: _number(value) for name, value in cron.spec.schedule.items()},
    )


def _number(value: JsonValue) -> JsonValue:
    """An int64 as a number: Convex writes it `{"$integer": base64 of 8 bytes, little-endian}`."""
    if isinstance(value, dict) and isinstance(encoded := value.get("$integer"), str):
        return int.from_bytes(base64.b64decode(encoded), "little", signed=True)
    return value
