"""What is live, read from what a backend says of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pydantic import JsonValue, ValidationError

from pytest_convex_eval.deployment.described import (
    ConfigHashes,
    components_of,
    describe,
    function_path,
)
from pytest_convex_eval.deployment.model import (
    Component,
    Cron,
    Deployed,
    Function,
    Index,
    Route,
    SearchIndex,
    Table,
    VectorIndex,
)

ANY: dict[str, JsonValue] = {"type": "any"}


def described(**said: Any) -> Deployed:
    parts: dict[str, Any] = {"schemas": {}, "spec": [], "crons": [], **said}
    components = components_of(parts.pop("components", []))
    hashes = {"config": {}, "moduleHashes": [], **parts.pop("hashes", {})}
    return describe(**parts, components=components, hashes=ConfigHashes.model_validate(hashes))


def tables(*given: dict[str, Any], validation: bool = True) -> Deployed:
    schema = {"tables": given, "schemaValidation": validation}
    return described(schemas={"active": json.dumps(schema)})


def test_nothing_is_live_before_a_push() -> None:
    assert described() == Deployed()
    assert described(schemas={"active": None}) == Deployed()


def test_a_schema_is_there_and_checks_documents_or_does_not() -> None:
    for validation in (True, False):
        found = tables(validation=validation)
        assert (found.has_schema, found.schema_validation) == (True, validation)


def test_indexes_are_told_without_what_convex_appends() -> None:
    index = {"indexDescriptor": "by_a", "fields": ["a", "_creationTime"]}
    other = {"indexDescriptor": "by_b", "fields": ["_creationTime", "b"]}
    table = {"tableName": "t", "documentType": ANY, "indexes": [index, other]}
    (found,) = tables({**table, "stagedDbIndexes": [{**index, "indexDescriptor": "later"}]}).tables
    assert (found.name, found.document) == ("t", ANY)
    assert found.indexes == (
        Index("by_a", ("a",), staged=False),
        Index("by_b", ("_creationTime", "b"), staged=False),
        Index("later", ("a",), staged=True),
    )


def test_search_and_vector_indexes_have_sorted_filters_staged_or_not() -> None:
    search = {"indexDescriptor": "s", "searchField": "text", "filterFields": ["b", "a"]}
    vector = {"indexDescriptor": "v", "vectorField": "e", "dimensions": 4, "filterFields": ["b"]}
    table = {
        "tableName": "t",
        "searchIndexes": [search],
        "stagedSearchIndexes": [{**search, "indexDescriptor": "s2"}],
        "vectorIndexes": [vector],
        "stagedVectorIndexes": [
            {**vector, "indexDescriptor": "v2", "filterFields": ["d", "c"]},
        ],
    }
    assert tables(table).tables == (
        Table(
            "t",
            None,
            (),
            (SearchIndex("s", "text", ("a", "b")), SearchIndex("s2", "text", ("a", "b"))),
            (VectorIndex("v", "e", 4, ("b",)), VectorIndex("v2", "e", 4, ("c", "d"))),
        ),
    )


def test_functions_and_routes_are_told_apart() -> None:
    found = described(
        spec=[
            {
                "functionType": "Mutation",
                "identifier": "lib/a.js:f",
                "visibility": {"kind": "internal"},
                "args": '{"type": "object", "value": {}}',
                "returns": {"type": "null"},
            },
            {"functionType": "HttpAction", "method": "GET", "path": "/exact"},
            {"functionType": "HttpAction", "method": "POST", "path": "/below/*"},
            {"functionType": "Action", "identifier": "b.js:default"},
        ]
    )
    args: dict[str, JsonValue] = {"type": "object", "value": {}}
    assert found.functions == (
        Function("lib/a:f", "mutation", "internal", args, {"type": "null"}, None),
        Function("b:default", "action", "public", ANY, ANY, None),
    )
    assert found.routes == (Route("GET", "/exact", None), Route("POST", None, "/below/"))


def test_crons_have_plain_arguments_and_numbers() -> None:
    def int64(value: int) -> dict[str, str]:
        return {"$integer": base64.b64encode(value.to_bytes(8, "little", signed=True)).decode()}

    packed = {"$bytes": base64.b64encode(b'[{"n": 1}]').decode()}
    every = {"type": "interval", "seconds": int64(300)}

    def cron(name: str, args: object, schedule: object) -> dict[str, object]:
        spec = {"udfPath": "jobs.js:m", "udfArgs": args, "cronSchedule": schedule}
        return {"name": name, "cronSpec": spec}

    found = described(
        crons=[
            cron("packed", packed, every),
            cron("plain", [{"n": 2}], {"type": "daily", "hourUTC": int64(-1)}),
            cron("none", {}, every),
        ]
    )
    interval: dict[str, JsonValue] = {"type": "interval", "seconds": 300}
    assert found.crons == (
        Cron("packed", "jobs:m", ({"n": 1},), interval),
        Cron("plain", "jobs:m", ({"n": 2},), {"type": "daily", "hourUTC": -1}),
        Cron("none", "jobs:m", (), interval),
    )


def test_components_are_those_that_are_mounted_and_not_the_app() -> None:
    found = described(
        components=[
            {"id": "1", "path": "", "name": None},
            {"id": "2", "path": "a/b", "name": "b"},
        ],
        hashes={
            "config": {"authInfo": [{"domain": "https://a.example"}]},
            "moduleHashes": [{"path": "b.js"}, {"path": "a.js"}],
        },
    )
    assert found.components == (Component("a/b", "b"),)
    assert found.auth == ({"domain": "https://a.example"},)
    assert found.files == ("b.js", "a.js")


@pytest.mark.parametrize(
    ("identifier", "path"),
    [("a/b.js:f", "a/b:f"), ("a/b:f", "a/b:f"), ("a.js", "a:default"), ("a.js.js:f", "a.js:f")],
)
def test_a_functions_path_is_its_modules_and_its_exports(identifier: str, path: str) -> None:
    assert function_path(identifier) == path


def test_what_is_unheard_of_is_no_description() -> None:
    with pytest.raises(ValidationError):
        described(spec=[{"functionType": "Dream", "identifier": "a.js:f"}])
