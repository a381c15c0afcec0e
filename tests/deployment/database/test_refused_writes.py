"""What can't be read or written, and what is said then."""

from __future__ import annotations

import pytest

from tests.deployment.database.opened import OPEN
from tests.deployment.server_modules import InServer

RESERVED = (
    "isn't a valid document: Field '_own' starts with an underscore, which is only allowed for "
    "system fields like '_id'"
)
SYSTEM = "System tables (prefixed with `_`) are read-only."

REFUSED: dict[str, tuple[str, str]] = {
    "get no text": (
        'it.get("", { id: 1, isSystem: false })',
        "Invalid argument `id` for `db.get`: Unable to decode ID: not a string",
    ),
    "get a short text": (
        'it.get("", { id: "x".repeat(30), isSystem: false })',
        "Invalid argument `id` for `db.get`: Unable to decode ID: Invalid ID length 30",
    ),
    "get a long text": (
        'it.get("", { id: "x".repeat(38), isSystem: false })',
        "Invalid argument `id` for `db.get`: Unable to decode ID: Invalid ID length 38",
    ),
    "get a text of a right length": (
        'it.get("", { id: "x".repeat(31), isSystem: false })',
        'Invalid argument `id` for `db.get`: Unable to decode ID: Invalid ID "' + "x" * 31 + '"',
    ),
    "get a text of the longest length": (
        'it.get("", { id: "x".repeat(37), isSystem: false })',
        'Invalid argument `id` for `db.get`: Unable to decode ID: Invalid ID "' + "x" * 37 + '"',
    ),
    "get another table's": (
        'it.get("", { id, isSystem: false, table: "u" })',
        'Invalid argument `id` for `db.get`: expected to be an Id<"u">, got Id<"t"> instead.',
    ),
    "get no id of the system's": (
        'it.get("", { id: "x", isSystem: true })',
        "Invalid argument `id` for `db.system.get`: Unable to decode ID: Invalid ID length 1",
    ),
    "get a file": (
        'it.get("", { id: file, isSystem: false })',
        "System tables can only be accessed with db.system.",
    ),
    "get a document of the system's": (
        'it.get("", { id, isSystem: true })',
        "User tables cannot be accessed with db.system.",
    ),
    "insert into the system's": ('it.insert("", "_storage", {})', SYSTEM),
    "insert into no table": (
        'it.insert("", "a-b", {})',
        "Invalid argument `table` for `db.insert`: Identifier a-b has invalid character '-': "
        "Identifiers can only contain alphanumeric characters or underscores",
    ),
    "insert into a long name": (
        'it.insert("", "a".repeat(65), {})',
        "Invalid argument `table` for `db.insert`: Identifier is too long (65 > maximum 64)",
    ),
    "insert an id": (
        'it.insert("", "t", { _id: "x" })',
        'Provided document ID "NEW" doesn\'t match \'_id\' field "x"',
    ),
    "insert another's id": (
        'it.insert("", "t", { _id: id })',
        'Provided document ID "NEW" doesn\'t match \'_id\' field "ID"',
    ),
    "insert a number as id": (
        'it.insert("", "t", { _id: 1 })',
        "Provided document ID \"NEW\" doesn't match '_id' field 1.0",
    ),
    "insert a time": (
        'it.insert("", "t", { _creationTime: 1, a: 2 })',
        "Provided creation time TIME doesn't match '_creationTime' field in "
        "{_creationTime: 1.0, a: 2.0}",
    ),
    "insert an underscore": (
        'it.insert("", "t", { b: 1, _own: 1 })',
        f'Document(value: {{_creationTime: TIME, _id: "NEW", _own: 1.0, b: 1.0}}) {RESERVED}',
    ),
    "insert a list": (
        'it.insert("", "t", [])',
        "Invalid argument `value` for `db.insert`: Value must be an Object",
    ),
    "insert a number": (
        'it.insert("", "t", 1)',
        "Invalid argument `value` for `db.insert`: Value must be an Object",
    ),
    "insert an integer": (
        'it.insert("", "t", { $integer: "AAAAAAAAAAA=" })',
        "Invalid argument `value` for `db.insert`: Value must be an Object",
    ),
    "insert what is no value": (
        'it.insert("", "t", { a: { $b: 1, c: 1 } })',
        "Invalid argument `value` for `db.insert`: Field name $b starts with '$', which is "
        "reserved.",
    ),
    "patch with a list": ('it.patch("", { id, value: [] })', "Value must be an object"),
    "patch with a number": ('it.patch("", { id, value: 1 })', "Value must be an object"),
    "patch with null": ('it.patch("", { id, value: null })', "Value must be an object"),
    "patch the id": (
        'it.patch("", { id, value: { _id: "x" } })',
        'Provided document ID "ID" doesn\'t match \'_id\' field "x"',
    ),
    "patch the time": (
        'it.patch("", { id, value: { _creationTime: 1 } })',
        "Provided creation time TIME doesn't match '_creationTime' field in "
        '{_creationTime: 1.0, _id: "ID", a: 1.0, b: 2.0}',
    ),
    "patch an underscore": (
        'it.patch("", { id, value: { _own: 1 } })',
        'Document(value: {_creationTime: TIME, _id: "ID", _own: 1.0, a: 1.0, b: 2.0}) '
        f"{RESERVED}",
    ),
    "replace the id": (
        'it.replace("", { id, value: { _id: other } })',
        'Provided document ID "ID" doesn\'t match \'_id\' field "OTHER"',
    ),
    "replace the time": (
        'it.replace("", { id, value: { _creationTime: 1 } })',
        "Provided creation time TIME doesn't match '_creationTime' field in {_creationTime: 1.0}",
    ),
    "replace an underscore": (
        'it.replace("", { id, value: { _own: 1 } })',
        f'Document(value: {{_creationTime: TIME, _id: "ID", _own: 1.0}}) {RESERVED}',
    ),
    "patch another table's": (
        'it.patch("", { id, value: {}, table: "u" })',
        'Invalid argument `id` for `db.patch`: expected to be an Id<"u">, got Id<"t"> instead.',
    ),
    "patch what is gone": (
        'it.patch("", { id: gone, value: {} })',
        "Update on nonexistent document ID ID",
    ),
    "patch a file": ('it.patch("", { id: file, value: {} })', SYSTEM),
    "replace with no value": (
        'it.replace("", { id, value: { a: { "é": 1 } } })',
        "Invalid argument `value` for `db.replace`: Field name é has invalid character 'é': Field "
        "names can only contain non-control ASCII characters",
    ),
    "replace what is gone": (
        'it.replace("", { id: gone, value: {} })',
        "Replace on nonexistent document ID ID",
    ),
    "replace another table's": (
        'it.replace("", { id, value: {}, table: "u" })',
        'Invalid argument `id` for `db.replace`: expected to be an Id<"u">, got Id<"t"> instead.',
    ),
    "replace a file": ('it.replace("", { id: file, value: {} })', SYSTEM),
    "delete what is gone": ('it.remove("", { id: gone })', "Delete on nonexistent document ID ID"),
    "delete another table's": (
        'it.remove("", { id, table: "u" })',
        'Invalid argument `id` for `db.delete`: expected to be an Id<"u">, got Id<"t"> instead.',
    ),
    "delete a file": ('it.remove("", { id: file })', SYSTEM),
    "delete another component's": (
        'it.remove("one", { id })',
        "Delete on nonexistent document ID ID",
    ),
}


@pytest.mark.parametrize(("work", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_done_is_told_and_changes_nothing(
    in_server: InServer, work: str, message: str
) -> None:
    found = in_server(
        f"""{OPEN}
        const state = () => JSON.stringify(tables.all().map((each) => [...each.documents]));
        const before = state();
        const message = await thrown(() => eval(args.work));
        const shown = message.replaceAll(id, "ID").replaceAll(gone, "ID").replaceAll(other, "OTHER")
          .replace(/"[0-9a-z]{{32}}"/g, '"NEW"').replace(/\\b1\\d{{3}}(\\.\\d+)+\\b/g, "TIME");
        return [shown, state() === before, it.changes.length];
        """,
        work=work,
    )
    assert found == [message, True, 0]
