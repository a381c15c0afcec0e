"""Indexes: one project a check of the backend, pushed as the CLI would."""

from __future__ import annotations

import pytest

from tests.deployment.push.conftest import CheckRefusal
from tests.deployment.push.rows import FIELDS, MANY, NAMES, Row, schema

FILTER = "'s filter"
INDEXES = 'In table "t": In index "i": '
SIXTY_ONE = "".join(f'.index("i{i}", ["f{i}"])' for i in range(61))
ROWS = [
    # Indexes
    *(
        schema(
            f"index name that is {what}",
            f't: defineTable({{ a: v.string() }}).index("{name}", ["a"])',
            "InvalidIndexName",
            f'In table "t": Invalid index name: "{name}". Identifiers must be 64 characters or '
            "less, start with a letter, and only contain letters, digits, underscores.",
            at=f'"{name}"',
            table="t",
            index=name,
        )
        for what, name in {"too long": "i" * 65, "a number": "1"}.items()
    ),
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
        f'{INDEXES}Duplicate field "f". Index fields must be unique within an index.',
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
    *(
        schema(
            f"{kind} of an index's name",
            f't: defineTable({{ a: v.array(v.number()), b: v.string() }}).index("i", ["b"]){more}',
            "IndexNamesNotUnique",
            'Table "t" has two or more definitions of index "i".',
            table="t",
            index="i",
        )
        for kind, more in {
            "vector index": '.vectorIndex("i", { vectorField: "a", dimensions: 3 })',
            "staged index": '.index("i", { fields: ["a"], staged: true })',
            "staged search index": '.searchIndex("i", { searchField: "b", staged: true })',
        }.items()
    ),
    schema(
        "staged index of an index's fields",
        't: defineTable({ a: v.string() }).index("x", ["a"])'
        '.index("y", { fields: ["a"], staged: true })',
        "IndexNotUnique",
        'In table "t" index "x" and index "y" have the same fields. Indexes must be unique within '
        "a table.",
        table="t",
        index="y",
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
        "65 indexes of all kinds",
        f"t: defineTable({{ {FIELDS}, a: v.array(v.number()) }}){SIXTY_ONE}"
        '.index("staged", { fields: ["f61"], staged: true }).searchIndex("s", { searchField: "f1" '
        '}).searchIndex("t", { searchField: "f2", staged: true })'
        '.vectorIndex("v", { vectorField: "a", dimensions: 2 })',
        "TooManyIndexes",
        'Table "t" cannot have more than 64 indexes.',
        table="t",
    ),
    schema(
        "vector index with 17 filter fields",
        f't: defineTable({{ {FIELDS}, a: v.array(v.number()) }}).vectorIndex("i", {{ vectorField: '
        f'"a", dimensions: 2, filterFields: [{NAMES}, "f20"] }})',
        "IndexTooManyFilterFields",
        f"{INDEXES}Search indexes may have up to 16 filter fields.",
        table="t",
        index="i",
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
        'In table "t" the vector index "i" is invalid because it references the field "f" that is '
        "neither an array of float64 or optional array of float64.",
        at='"i"',
        table="t",
        index="i",
    ),
    schema(
        "index on a field that is not there",
        't: defineTable({ a: v.string() }).index("by_b", ["b"] as any)',
        "SchemaDefinitionError",
        'In table "t" the index "by_b" is invalid because it references the field "b" that does '
        "not exist.",
        at='"by_b"',
        table="t",
        index="by_b",
    ),
    *(
        schema(
            f"{kind} on a field that is not there",
            f"t: defineTable({{ a: v.array(v.number()), b: v.string() }}){index}",
            "SchemaDefinitionError",
            f'In table "t" the {kind.removesuffix(FILTER).removeprefix("search ")} "i" is invalid '
            'because it references the field "c" that does not exist.',
            at='"i"',
            table="t",
            index="i",
        )
        for kind, index in {
            "search index": '.searchIndex("i", { searchField: "c" as any })',
            "search index's filter": (
                '.searchIndex("i", { searchField: "b", filterFields: ["c" as any] })'
            ),
            "vector index": '.vectorIndex("i", { vectorField: "c" as any, dimensions: 2 })',
            "vector index's filter": (
                '.vectorIndex("i", { vectorField: "a", dimensions: 2, filterFields: ["c" as any] })'
            ),
        }.items()
    ),
    schema(
        "vector index on an array of strings",
        't: defineTable({ f: v.array(v.string()) }).vectorIndex("i", { vectorField: "f", '
        "dimensions: 3 })",
        "SchemaDefinitionError",
        'In table "t" the vector index "i" is invalid because it references the field "f" that is '
        "neither an array of float64 or optional array of float64.",
        table="t",
        index="i",
    ),
    schema(
        "index on a nested field that is not there",
        't: defineTable({ a: v.object({ b: v.string() }) }).index("i", ["a.c"] as any)',
        "SchemaDefinitionError",
        'In table "t" the index "i" is invalid because it references the field "a.c" that does not '
        "exist.",
        table="t",
        index="i",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_wrong_index_is_refused_with_the_backends_words(
    row: Row, check_refusal: CheckRefusal
) -> None:
    check_refusal(row)


def test_the_cli_prints_what_the_backend_says(check_refusal: CheckRefusal) -> None:
    check_refusal(ROWS[0], cli=True)
