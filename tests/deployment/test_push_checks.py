"""One project a check of the backend: its code, its message, and the place that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import Position

MODULES = (
    "Hit an error while pushing:\n"
    "Loading the pushed modules encountered the following\n    error:\n"
)
SCHEMA = "Hit an error while pushing:\nHit an error while evaluating your schema:\n"
PLAIN = "Hit an error while pushing:\n"
DOCS = "To learn more, see the schema documentation at https://docs.convex.dev/database/schemas."


@dataclass(frozen=True)
class Row:
    name: str
    files: Mapping[str, str]
    code: str
    message: str
    """The whole message, or its beginning when it ends with an ellipsis."""
    at: Position | None = None
    prefix: str = MODULES
    table: str | None = None
    index: str | None = None


def schema(name: str, tables: str, code: str, message: str, **more: Any) -> Row:
    """A row whose schema's second-last line holds the tables, at line 3."""
    text = (
        'import { defineSchema, defineTable } from "convex/server";\n'
        'import { v } from "convex/values";\n'
        f"export default defineSchema({{ {tables} }});\n"
    )
    files = {"convex/schema.ts": text}
    place = more.pop("at", "")
    line = text.splitlines()[2]
    at = Position("convex/schema.ts", 3, line.index(place) + 1) if place else None
    return Row(name, files, code, message, at, SCHEMA, **more)


def module(name: str, text: str, code: str, message: str, **more: Any) -> Row:
    line, column = more.pop("at", (0, 0))
    at = Position("convex/a.ts", line, column) if line else None
    return Row(name, {"convex/a.ts": text}, code, message, at, **more)


def crons(name: str, statement: str, code: str, message: str, **more: Any) -> Row:
    text = (
        'import { cronJobs } from "convex/server";\n'
        'import { internal, api } from "./_generated/api";\n'
        "const crons = cronJobs();\n"
        f"{statement}\n"
        "export default crons;\n"
    )
    jobs = (
        'import { query, internalMutation, httpAction } from "./_generated/server";\n'
        "export const m = internalMutation({ args: {}, handler: async () => {} });\n"
        "export const q = query({ args: {}, handler: async () => {} });\n"
        'export const h = httpAction(async () => new Response("x"));\n'
    )
    files = {"convex/crons.ts": text, "convex/jobs.ts": jobs}
    line, column = more.pop("at", (0, 0))
    at = Position("convex/crons.ts", line, column) if line else None
    return Row(name, files, code, message, at, **more)


def http(name: str, route: str, message: str) -> Row:
    text = (
        'import { httpRouter } from "convex/server";\n'
        'import { httpAction } from "./_generated/server";\n'
        "const http = httpRouter();\n"
        'const handler = httpAction(async () => new Response("x"));\n'
        f"{route}\n"
        "export default http;\n"
    )
    at = Position("convex/http.ts", 5, 6)
    full = f"Failed to analyze http.js: Uncaught Error: {message}…"
    return Row(name, {"convex/http.ts": text}, "InvalidModules", full, at)


def auth(name: str, text: str, code: str, message: str) -> Row:
    return Row(name, {"convex/auth.config.ts": text}, code, message, None, PLAIN)


INDEXES = 'In table "t": In index "i": '
FIELDS = ", ".join(f"f{i}: v.string()" for i in range(65))
NAMES = ", ".join(f'"f{i}"' for i in range(16))
MANY = "".join(f'.index("i{i}", ["f{i}"])' for i in range(65))

ROWS = [
    # Paths
    Row(
        "module path with a dash",
        {"convex/my-file.ts": "export const x = 1;\n"},
        "BadConvexModuleIdentifier",
        "my-file.js is not a valid path to a Convex module. Path component my-file.js can only "
        "contain alphanumeric characters, underscores, or periods.",
        Position("convex/my-file.ts", 1, 1),
        PLAIN,
    ),
    Row(
        "module path that is too long",
        {f"convex/{'x' * 62}.ts": "export const x = 1;\n"},
        "BadConvexModuleIdentifier",
        f"{'x' * 62}.js is not a valid path to a Convex module. Path component is too long "
        f"(65 > maximum 64): {'x' * 62}.js.",
        Position(f"convex/{'x' * 62}.ts", 1, 1),
        PLAIN,
    ),
    # Import
    module(
        "import that throws",
        'export const x = 1;\nthrow new Error("boom");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: boom\n    at <anonymous> (../convex/a.ts:2:7)",
        at=(2, 7),
    ),
    module(
        "import that throws in a function, after logging",
        'console.log("hi", { a: 1 });\nfunction deep(): never {\n'
        '  throw new TypeError("boom");\n}\n'
        "export const x = deep();\n",
        "InvalidModules",
        "Failed to analyze a.js: Uncaught TypeError: boom\n    at deep (../convex/a.ts:3:9)\n"
        "    at <anonymous> (../convex/a.ts:5:18)\n[LOG] 'hi' { a: 1 }",
        at=(3, 9),
    ),
    module(
        "fetch at import",
        'export const x = fetch("https://example.com");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: fetch() unsupported at import time…",
        at=(1, 18),
    ),
    module(
        "setTimeout at import",
        "setTimeout(() => {}, 1);\nexport const x = 1;\n",
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: setTimeout unsupported at import time…",
        at=(1, 1),
    ),
    module(
        "setInterval at import",
        "setInterval(() => {}, 1);\nexport const x = 1;\n",
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: setInterval unsupported at import time…",
        at=(1, 1),
    ),
    module(
        "database at import",
        'export const x = (globalThis as any).Convex.syscall("1.0/queryStream", "{}");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: Can't use database at import time…",
    ),
    module(
        "syscall at import",
        'export const x = (globalThis as any).Convex.syscall("1.0/storageGetUrl", "{}");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: Syscall 1.0/storageGetUrl unsupported at import "
        "time…",
    ),
    module(
        "top-level await that suspends",
        "await new Promise(() => {});\nexport const x = 1;\n",
        "InvalidModules",
        "Failed to analyze a.js: Top-level awaits in source files are unsupported",
        at=(1, 1),
    ),
    module(
        "undefined validator",
        'import { query } from "./_generated/server";\nimport { v } from "convex/values";\n'
        "const missing = (globalThis as any).nothing;\n"
        "export const f = query({ args: { x: missing }, handler: async () => 1 });\n"
        "export const g = v.object({ x: missing });\n",
        "InvalidModules",
        'Failed to analyze a.js: Uncaught Error: A validator is undefined for field "x" in '
        "v.object(). This is often caused by circular imports. See "
        "https://docs.convex.dev/error#undefined-validator for details.…",
    ),
    # Exports
    module(
        "function name that is no identifier",
        'import { query } from "./_generated/server";\n'
        "export const $f = query({ args: {}, handler: async () => 1 });\n",
        "InvalidFunctionName",
        "Invalid function name used in `a.js`: …",
        at=(2, 46),
    ),
    module(
        "function name of underscores",
        'import { query } from "./_generated/server";\n'
        "export const __ = query({ args: {}, handler: async () => 1 });\n",
        "InvalidFunctionName",
        "Invalid function name used in `a.js`: …",
    ),
    module(
        "handler that is no function",
        'import { query } from "./_generated/server";\n'
        "export const f = query({ args: {}, handler: 3 as any });\n",
        "InvalidModules",
        "a.js:f.handler is not a function.",
    ),
    module(
        "exportArgs that is no function",
        "export const f = { isQuery: true, isPublic: true, exportArgs: 3, invokeQuery() {} };\n",
        "InvalidModules",
        "a.js:f.exportArgs is not a function or `undefined`.",
    ),
    module(
        "exportReturns that is no validator",
        "export const f = { isQuery: true, isPublic: true, exportReturns: () => '{}' };\n",
        "InvalidModules",
        "Invalid JSON returned from a.js:f.exportReturns(): …",
    ),
    module(
        "record with literal keys in arguments",
        'import { query } from "./_generated/server";\nimport { v } from "convex/values";\n'
        'const keys = v.union(v.literal("a"), v.literal("b")) as any;\n'
        "export const f = query({ args: { x: v.record(keys, v.string()) }, handler: async () => 1 "
        "});\n",
        "InvalidRecordType",
        "Invalid JSON returned from a.js:f.exportArgs(): Records cannot have string literal keys",
    ),
    # "use node"
    module(
        "query in a Node module",
        '"use node";\nimport { query } from "./_generated/server";\n'
        "export const f = query({ args: {}, handler: async () => 1 });\n",
        "InvalidModules",
        "`f` defined in `a.js` is a Query function. Only actions can be defined in Node.js. See "
        "https://docs.convex.dev/functions/actions for more details.",
        at=(3, 45),
    ),
    module(
        "Node module that throws",
        '"use node";\nimport fs from "node:fs";\nexport const x = fs;\nthrow new Error("boom");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: boom\n    at <anonymous> (../convex/a.ts:4:7)",
        at=(4, 7),
    ),
    # http
    Row(
        "http without a router",
        {"convex/http.ts": "export const x = 1;\n"},
        "InvalidModules",
        "`convex/http.js` must have a default export of a Router.",
        Position("convex/http.ts", 1, 1),
    ),
    Row(
        "http that exports something else",
        {"convex/http.ts": "export default { a: 1 };\n"},
        "InvalidModules",
        "The default export of `convex/http.js` is not a Router.",
        Position("convex/http.ts", 1, 1),
    ),
    http(
        "route without a slash",
        'http.route({ path: "hello", method: "GET", handler });',
        "path 'hello' does not start with a /",
    ),
    http(
        "prefix without a final slash",
        'http.route({ pathPrefix: "/a", method: "GET", handler });',
        "pathPrefix /a must end with a /",
    ),
    http(
        "route that is reserved",
        'http.route({ path: "/.files/x", method: "GET", handler });',
        "path '/.files/x' is reserved",
    ),
    http(
        "method that is none",
        'http.route({ path: "/x", method: "FETCH" as any, handler });',
        "'FETCH' is not an allowed HTTP method",
    ),
    # crons
    Row(
        "crons without an export",
        {"convex/crons.ts": "export const x = 1;\n"},
        "InvalidModules",
        "`convex/crons.js` must have a default export of a Crons object.",
        Position("convex/crons.ts", 1, 1),
    ),
    Row(
        "crons that exports something else",
        {"convex/crons.ts": "export default 3;\n"},
        "InvalidModules",
        "The default export of `convex/crons.js` is not a Crons object.",
        Position("convex/crons.ts", 1, 1),
    ),
    crons(
        "cron for a missing function",
        'crons.interval("x", { seconds: 1 }, (internal as any).nope.f);',
        "InvalidModules",
        "The cron job 'x' schedules a function that does not exist: nope.js:f",
        at=(4, 16),
    ),
    crons(
        "cron for a query",
        'crons.interval("x", { seconds: 1 }, api.jobs.q as any);',
        "InvalidModules",
        "The cron job 'x' schedules a query function, only actions and mutations can be "
        "scheduled: jobs.js:q",
        at=(4, 16),
    ),
    crons(
        "cron for an HTTP action",
        'crons.interval("x", { seconds: 1 }, (api as any).jobs.h);',
        "InvalidModules",
        "The cron job 'x' schedules an HTTP action, only actions and mutations can be scheduled: "
        "jobs.js:h",
        at=(4, 16),
    ),
    crons(
        "cron expression that is none",
        'crons.cron("x", "every day", internal.jobs.m);',
        "InvalidCron",
        "The cron job 'x' is invalid: …",
        at=(4, 12),
    ),
    crons(
        "cron expression that never matches",
        'crons.cron("x", "0 0 31 2 *", internal.jobs.m);',
        "InvalidCron",
        "The cron job 'x' is invalid: …",
        at=(4, 12),
    ),
    crons(
        "cron interval that is checked by the library",
        'crons.interval("x", { seconds: 0 }, internal.jobs.m);',
        "InvalidModules",
        "Failed to analyze crons.js: Uncaught Error: Interval must be an integer greater than 0…",
        at=(4, 7),
    ),
    # auth
    auth(
        "auth without an export",
        "export const x = 1;\n",
        "AuthConfigMissingExportError",
        "auth config file is missing default export. To learn more, see the auth documentation at "
        "https://docs.convex.dev/auth.",
    ),
    auth(
        "auth without providers",
        "export default {};\n",
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with a misspelt applicationID",
        'export default { providers: [{ domain: "https://a.example", applicationId: "x" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with a domain for custom JWT",
        'export default { providers: [{ type: "customJwt", domain: "https://a.example", '
        'jwks: "https://a.example/jwks", algorithm: "RS256" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with an issuer for OIDC",
        'export default { providers: [{ issuer: "https://a.example", applicationID: "x" }] };\n',
        "AuthConfigNotMatchingSchemaError",
        "auth config file must include a list of provider credentials: …",
    ),
    auth(
        "auth with an unset variable",
        'export default { providers: [{ domain: process.env.ISSUER!, applicationID: "x" }] };\n',
        "AuthConfigMissingEnvironmentVariable",
        "Environment variable ISSUER is used in auth config file but its value was not set",
    ),
    # The schema file
    Row(
        "schema without a default export",
        {"convex/schema.ts": "export const x = 1;\n"},
        "MissingSchemaExportError",
        f"Schema file missing default export. {DOCS}",
        Position("convex/schema.ts", 1, 1),
        SCHEMA,
    ),
    Row(
        "schema that is none",
        {"convex/schema.ts": "export default { a: 1 };\n"},
        "InvalidSchemaExport",
        f"Default export from schema file isn't a Convex schema. {DOCS}",
        Position("convex/schema.ts", 1, 1),
        SCHEMA,
    ),
    Row(
        "schema that reads the environment",
        {
            "convex/schema.ts": 'import { defineSchema } from "convex/server";\n'
            "const x = process.env.X;\nexport default defineSchema({ ...(x as any) });\n"
        },
        "InvalidSchema",
        "Uncaught Error: Environment variables unsupported when evaluating schema…",
        Position("convex/schema.ts", 2, 23),
        SCHEMA,
    ),
    # Tables
    schema(
        "table name with a dash",
        '"my-table": defineTable({ a: v.string() })',
        "InvalidTableName",
        'Invalid table name: "my-table". Identifiers must start with a letter and can only contain '
        "letters, digits, and underscores.",
        at='"my-table"',
        table="my-table",
    ),
    schema(
        "table name that is reserved",
        "_x: defineTable({ a: v.string() })",
        "TableNameReserved",
        "_x is a reserved table name.",
        table="_x",
    ),
    schema(
        "document that is a string",
        "t: defineTable(v.string() as any)",
        "InvalidTopLevelTypeInSchemaError",
        'In table "t": The document validator in a schema must be an object, a union of objects, '
        f"or `v.any()`. Found v.string(). {DOCS}",
        at="t:",
        table="t",
    ),
    schema(
        "document that is a union with a string",
        "t: defineTable(v.union(v.object({}), v.string()) as any)",
        "InvalidTopLevelTypeInSchemaError",
        'In table "t": The document validator in a schema must be an object, a union of objects, '
        f"or `v.any()`. Found v.union(v.object({{}}), v.string()). {DOCS}",
        table="t",
    ),
    schema(
        "record with number keys",
        "t: defineTable({ a: v.record(v.number() as any, v.string()) })",
        "InvalidRecordType",
        'In table "t": Records can only have string keys. Your validator contains a record with '
        "key typed as `v.float64()`, which is not a subtype of `v.string()`",
        table="t",
    ),
    # Indexes
    schema(
        "index name with a dash",
        't: defineTable({ a: v.string() }).index("x-y", ["a"])',
        "InvalidIndexName",
        'In table "t": Invalid index name: "x-y". Identifiers must be 64 characters or less, start '
        "with a letter, and only contain letters, digits, underscores.",
        at='"x-y"',
        table="t",
        index="x-y",
    ),
    *(
        schema(
            f"index named {name}",
            f't: defineTable({{ a: v.string() }}).index("{name}", ["a"])',
            "IndexNameReserved",
            f'In table "t" cannot name an index "{name}" because the name is reserved. Indexes may '
            'not start with an underscore or be named "by_id" or "by_creation_time".',
            at=f'"{name}"',
            table="t",
            index=name,
        )
        for name in ("by_id", "by_creation_time", "_i")
    ),
    schema(
        "index without fields",
        't: defineTable({ a: v.string() }).index("i", [] as any)',
        "EmptyIndex",
        'In table "t" index "i" must have at least one field.',
        at='"i"',
        table="t",
        index="i",
    ),
    schema(
        "staged index without fields",
        't: defineTable({ a: v.string() }).index("i", { fields: [] as any, staged: true })',
        "EmptyIndex",
        'In table "t" staged index "i" must have at least one field.',
        at='"i"',
        table="t",
        index="i",
    ),
    schema(
        "index with a field twice",
        't: defineTable({ f: v.string() }).index("i", ["f", "f"])',
        "FieldsNotUniqueWithinIndex",
        f"{INDEXES}Duplicate field f. Index fields must be unique within an index.",
        at='"i"',
        table="t",
        index="i",
    ),
    schema(
        "index on _id",
        't: defineTable({ f: v.string() }).index("i", ["_id"] as any)',
        "IndexFieldsContainId",
        f"{INDEXES}`_id` is not a valid index field. To load documents by ID, use `db.get(id)`.",
        table="t",
        index="i",
    ),
    schema(
        "index on _creationTime",
        't: defineTable({ f: v.string() }).index("i", ["f", "_creationTime"])',
        "IndexFieldsContainCreationTime",
        f"{INDEXES}`_creationTime` is automatically added to the end of each index. It should not "
        "be added explicitly in the index definition. See https://docs.convex.dev/using/indexes "
        "for more details.",
        at='"i"',
        table="t",
        index="i",
    ),
    schema(
        "index on another reserved field",
        't: defineTable({ f: v.string() }).index("i", ["_x"] as any)',
        "IndexFieldNameReserved",
        f"{INDEXES}Reserved fields (starting with `_`) are not allowed in indexes.",
        table="t",
        index="i",
    ),
    schema(
        "index of 16 fields",
        f't: defineTable({{ {FIELDS} }}).index("i", [{NAMES}] as any)',
        "IndexTooManyFields",
        f"{INDEXES}Indexes may have up to 16 fields.",
        table="t",
        index="i",
    ),
    schema(
        "indexes of one name",
        't: defineTable({ a: v.string(), b: v.string() }).index("i", ["a"])'
        '.searchIndex("i", { searchField: "b" })',
        "IndexNamesNotUnique",
        'Table "t" has two or more definitions of index "i".',
        table="t",
        index="i",
    ),
    schema(
        "indexes of the same fields",
        't: defineTable({ a: v.string() }).index("x", ["a"]).index("y", ["a"])',
        "IndexNotUnique",
        'In table "t" index "x" and index "y" have the same fields. Indexes must be unique within '
        "a table.",
        at='"y"',
        table="t",
        index="y",
    ),
    schema(
        "search indexes of the same field",
        't: defineTable({ a: v.string() }).searchIndex("x", { searchField: "a" })'
        '.searchIndex("y", { searchField: "a" })',
        "SearchIndexFieldNotUnique",
        'In table "t" search index "x" and search index "y"…',
        table="t",
        index="y",
    ),
    schema(
        "vector indexes of the same field",
        't: defineTable({ a: v.array(v.number()) }).vectorIndex("x", { vectorField: "a", '
        'dimensions: 3 }).vectorIndex("y", { vectorField: "a", dimensions: 3 })',
        "VectorIndexFieldNotUnique",
        'In table "t" vector index "x" and vector index "y"…',
        table="t",
        index="y",
    ),
    schema(
        "65 indexes",
        f"t: defineTable({{ {FIELDS} }}){MANY}",
        "TooManyIndexes",
        'Table "t" cannot have more than 64 indexes.',
        table="t",
    ),
    schema(
        "search index with 17 filter fields",
        f't: defineTable({{ {FIELDS} }}).searchIndex("i", {{ searchField: "f0", filterFields: '
        f'[{NAMES}, "f20"] }})',
        "IndexTooManyFilterFields",
        f"{INDEXES}Search indexes may have up to 16 filter fields.",
        table="t",
        index="i",
    ),
    *(
        schema(
            f"vector index of {dimensions} dimensions",
            't: defineTable({ a: v.array(v.number()) }).vectorIndex("i", { vectorField: "a", '
            f"dimensions: {dimensions} }})",
            "InvalidVectorDimensionError",
            f"{INDEXES}Dimensions {dimensions} must be between 2 and 4096.",
            at='"i"',
            table="t",
            index="i",
        )
        for dimensions in (1, 4097)
    ),
    schema(
        "vector index on a string",
        't: defineTable({ f: v.string() }).vectorIndex("i", { vectorField: "f", dimensions: 3 })',
        "SchemaDefinitionError",
        'In table "t" the vector index "i" is invalid because it references the field f that is '
        "neither an array of float64 or optional array of float64.",
        at='"i"',
        table="t",
        index="i",
    ),
    schema(
        "index on a field that is not there",
        't: defineTable({ a: v.string() }).index("by_b", ["b"] as any)',
        "SchemaDefinitionError",
        'In table "t" the index "by_b" is invalid because it references the field b that does not '
        "exist.",
        at='"by_b"',
        table="t",
        index="by_b",
    ),
    schema(
        "index on a nested field that is not there",
        't: defineTable({ a: v.object({ b: v.string() }) }).index("i", ["a.c"] as any)',
        "SchemaDefinitionError",
        'In table "t" the index "i" is invalid because it references the field a.c that does not '
        "exist.",
        table="t",
        index="i",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_wrong_project_is_refused_with_the_backends_words(
    row: Row,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    answer = push_over_http(bundle(row.files))

    outcome = deployment.last_push()
    assert (answer.status, outcome.status) == (400, "refused"), answer
    assert outcome.message is not None
    if row.message.endswith("…"):
        assert outcome.message.startswith(row.message[:-1])
    else:
        assert outcome.message == row.message
    assert outcome.code == row.code == answer.body["code"]
    assert answer.body["message"] == row.prefix + outcome.message
    if row.at is not None:
        assert outcome.position == row.at
    assert (outcome.table, outcome.index) == (row.table, row.index)
    assert deployment.deployed().files == ()


GOOD_SCHEMAS = {
    "index of 15 fields": f't: defineTable({{ {FIELDS} }}).index("i", [{NAMES[:-7]}] as any)',
    "64 indexes": f"t: defineTable({{ {FIELDS} }}){MANY.rpartition('.index')[0]}",
    "index on nested fields": "t: defineTable({ a: v.object({ b: v.optional(v.string()) }) })"
    '.index("i", ["a.b"])',
    "index on a field of one member of a union": "t: defineTable(v.union(v.object({ a: v.string() "
    '}), v.object({ b: v.string() }))).index("i", ["a"] as any)',
    "reference to a table that is not there": 't: defineTable({ a: v.id("nowhere") })',
    "optional vector": "t: defineTable({ a: v.optional(v.array(v.float64())) })"
    '.vectorIndex("i", { vectorField: "a", dimensions: 2 })',
    "document of any kind": 't: defineTable(v.any()).index("i", ["a"] as any)',
}


@pytest.mark.parametrize("tables", GOOD_SCHEMAS.values(), ids=GOOD_SCHEMAS.keys())
def test_a_schema_at_the_edge_of_a_rule_is_taken(
    tables: str, bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
    files = schema("", tables, "", "").files
    assert push_over_http(bundle(files)).status == 200


def test_field_existence_is_not_checked_without_schema_validation(
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
    files = schema("", 't: defineTable({ a: v.string() }).index("i", ["b"] as any)', "", "").files
    text = files["convex/schema.ts"].replace("});", "}, { schemaValidation: false });")
    assert push_over_http(bundle({"convex/schema.ts": text})).status == 200


def test_what_is_random_or_timed_at_import_is_allowed(
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
    text = (
        "export const a = [Math.random(), Date.now(), new Date(), crypto.randomUUID(), "
        "crypto.getRandomValues(new Uint8Array(4)), process.env.NOTHING, structuredClone({}), "
        'new URL("https://a.example"), new Response("hi", { headers: { a: "b" } }), '
        "new FormData(), new TextEncoder(), AbortSignal.abort(), typeof Buffer];\n"
        'if (typeof Buffer !== "undefined" || (process as any).version) throw new Error("Node");\n'
        "if (Date.now() !== new Date().getTime()) throw new Error('time moves');\n"
        "if (!(new Date() instanceof Date)) throw new Error('no date');\n"
        "if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(crypto.randomUUID())) throw 1;\n"
        "await null;\n"
    )
    answer = push_over_http(bundle({"convex/a.ts": text}))
    assert answer.status == 200, answer.body


def test_node_18_and_external_packages_are_not_taken(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    request = bundle({"convex/a.ts": "export const x = 1;\n"})

    answer = push_over_http({**request, "nodeVersion": "18"})
    assert answer.body["code"] == "NodeVersionNotSupported"

    external = [{"name": "sharp", "version": "1.0.0"}]
    answer = push_over_http({**request, "nodeDependencies": external})
    assert deployment.last_push().status == "failed", "not the code's fault"


def test_too_many_modules_are_refused(
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
    request = bundle({"convex/a.ts": "export const x = 1;\n"})
    (module,) = request["appDefinition"]["changedModules"]
    copies = [{**module, "path": f"m{i}.js"} for i in range(4097)]
    request["appDefinition"]["changedModules"] = copies
    answer = push_over_http(request)
    assert answer.body["code"] == "InvalidModules"
    assert "Too many function files (4097 > maximum 4096)" in answer.body["message"]
