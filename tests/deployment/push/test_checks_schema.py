"""Schemas and their tables: one project a check of the backend, pushed as the CLI would."""

from __future__ import annotations

import pytest

from pytest_convex_eval.places import Place
from tests.deployment.fixtures import Bundle, PushOverHttp
from tests.deployment.push.conftest import CheckRefusal
from tests.deployment.push.rows import DOCS, FIELDS, MANY, NAMES, SCHEMA, Row, schema

WITH_DASH = (
    "Identifier a-b has invalid character '-': Identifiers can only contain alphanumeric "
    "characters or underscores"
)
ROWS = [
    # The schema file
    Row(
        "schema without a default export",
        {"convex/schema.ts": "export const x = 1;\n"},
        "MissingSchemaExportError",
        f"Schema file missing default export. {DOCS}",
        Place("convex/schema.ts", 1, 1),
        SCHEMA,
    ),
    Row(
        "schema that is none",
        {"convex/schema.ts": "export default { a: 1 };\n"},
        "InvalidSchemaExport",
        f"Default export from schema file isn't a Convex schema. {DOCS}",
        Place("convex/schema.ts", 1, 1),
        SCHEMA,
    ),
    Row(
        "schema that reads the environment",
        {
            "convex/schema.ts": 'import { defineSchema } from "convex/server";\n'
            "const x = process.env.X;\nexport default defineSchema({ ...(x as any) });\n"
        },
        "InvalidSchema",
        "Uncaught Error: Environment variables unsupported when evaluating schema\n"
        "    at <anonymous> (../convex/schema.ts:2:23)",
        Place("convex/schema.ts", 2, 23),
        SCHEMA,
    ),
    Row(
        "schema that throws",
        {"convex/schema.ts": 'export const x = 1;\nthrow new Error("boom");\n'},
        "InvalidSchema",
        "Uncaught Error: boom\n    at <anonymous> (../convex/schema.ts:2:7)",
        Place("convex/schema.ts", 2, 7),
        SCHEMA,
    ),
    # Tables
    schema(
        "table name that is too long",
        f"{'x' * 65}: defineTable({{ a: v.string() }})",
        "InvalidTableName",
        f'Invalid table name: "{"x" * 65}". Identifier is too long (65 > maximum 64).',
        table="x" * 65,
    ),
    schema(
        "10,001 tables",
        '...Object.fromEntries(Array.from({ length: 10001 }, (_, i) => ["t" + i, '
        "defineTable({ a: v.string() })]))",
        "TooManyTables",
        "Number of tables cannot exceed 10000.",
    ),
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
    *(
        schema(
            name,
            f"t: defineTable({document})",
            "InvalidIdentifier",
            f'In table "t": {message}',
            table="t",
        )
        for name, document, message in (
            ("field with a dash", '{ "a-b": v.string() }', WITH_DASH),
            ("nested field with a dash", '{ a: v.object({ "a-b": v.any() }) }', WITH_DASH),
            (
                "field of a member of a union",
                'v.union(v.object({}), v.object({ "a-b": v.any() }))',
                WITH_DASH,
            ),
            (
                "field of a record's values",
                '{ a: v.record(v.string(), v.object({ "a-b": v.any() })) }',
                WITH_DASH,
            ),
            (
                "field that is too long",
                f"{{ {'a' * 65}: v.any() }}",
                "Identifier is too long (65 > maximum 64)",
            ),
            ("table of an id with a dash", '{ a: v.id("a-b") }', WITH_DASH),
        )
    ),
    *(
        schema(
            f"{name} with a dash",
            f"t: defineTable(v.any()).{index}",
            "InvalidIdentifier",
            f'In table "t": In index "i": {WITH_DASH}',
            index="i",
            table="t",
        )
        for name, index in {
            "indexed field": 'index("i", ["x.a-b" as any])',
            "searched field": 'searchIndex("i", { searchField: "a-b" as any })',
            "field that filters a search": (
                'searchIndex("i", { searchField: "a", filterFields: ["a-b" as any] })'
            ),
            "field of a vector": 'vectorIndex("i", { vectorField: "a-b" as any, dimensions: 2 })',
        }.items()
    ),
    *(
        schema(
            f"field of the system's in {name}",
            f"t: defineTable({document})",
            "SchemaDefinitionError",
            "In table \"t\": Field '_a' starts with an underscore, which is only allowed for "
            "system fields like '_id'",
            table="t",
        )
        for name, document in {
            "a document": "{ _a: v.string() }",
            "a member of a union": "v.union(v.object({}), v.object({ _a: v.string() }))",
        }.items()
    ),
    schema(
        "record with number keys",
        "t: defineTable({ a: v.record(v.number() as any, v.string()) })",
        "InvalidRecordType",
        'In table "t": Records can only have string keys. Your validator contains a record with '
        "key typed as `v.float64()`, which is not a subtype of `v.string()`",
        table="t",
    ),
    schema(
        "record with optional values",
        "t: defineTable({ a: v.record(v.string(), v.optional(v.string()) as any) })",
        "InvalidSchema",
        "Uncaught Error: Record validator cannot have optional values…",
        at="record(",
    ),
    schema(
        "record with literal keys",
        't: defineTable({ a: v.record(v.literal("x") as any, v.string()) })',
        "InvalidRecordType",
        'In table "t": Records cannot have string literal keys',
        table="t",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_wrong_schema_is_refused_with_the_backends_words(
    row: Row, check_refusal: CheckRefusal
) -> None:
    check_refusal(row)


def test_the_cli_prints_what_the_backend_says(check_refusal: CheckRefusal) -> None:
    check_refusal(ROWS[0], cli=True)


GOOD_SCHEMAS = {
    "fields of the system": "t: defineTable({ _id: v.id('t'), _creationTime: v.number() })",
    "nested fields with underscores": "t: defineTable({ a: v.object({ _b: v.any() }) })",
    "ids of files": 't: defineTable({ a: v.id("_storage"), b: v.id("_scheduled_functions") })',
    "ids of no table": 't: defineTable({ a: v.id("nowhere") })',
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
    tables: str, bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    files = schema("", tables, "", "").files
    assert push_over_http(bundle(files)).status == 200


def test_field_existence_is_not_checked_without_schema_validation(
    bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    files = schema("", 't: defineTable({ a: v.string() }).index("i", ["b"] as any)', "", "").files
    text = files["convex/schema.ts"].replace("});", "}, { schemaValidation: false });")
    assert push_over_http(bundle({"convex/schema.ts": text})).status == 200
