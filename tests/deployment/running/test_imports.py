"""Imports of data: what they write, what they replace, and what a failure leaves."""

from __future__ import annotations

import pytest

from tests.deployment.running.importing import LIVE
from tests.deployment.server_modules import InServer


def test_rows_become_documents(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        const state = await load([{{ a: 1, _creationTime: 5 }},
          {{ b: {{ $integer: "AQAAAAAAAAA=" }} }}]);
        const [first, second] = rows(tables, "t");
        return [state, plain([first, second]), first._creationTime, second._creationTime - START];
        """
    )
    state, documents, first, second = found
    assert state == {"state": "completed", "num_rows_written": {"$integer": "AgAAAAAAAAA="}}
    assert documents == [{"a": 1}, {"b": {"$integer": "AQAAAAAAAAA="}}]
    assert (first, second) == (5, 0)


MODES: dict[str, tuple[str, list[int], list[int]]] = {
    "append": ("append", [1, 2, 9], [3]),
    "replace": ("replace", [9], [3]),
    "replace all": ("replaceAll", [9], []),
}


@pytest.mark.parametrize(("mode", "own", "other"), MODES.values(), ids=MODES.keys())
def test_a_mode_says_what_stays(
    in_server: InServer, mode: str, own: list[int], other: list[int]
) -> None:
    found = in_server(
        f"""{LIVE}
        await insert("t", {{ a: 1 }}, {{ a: 2 }});
        await insert("u", {{ a: 3 }});
        const file = await all.transaction((it) => storage.store(it, "",
          {{ bytes: Buffer.from("x"), contentType: null }}));
        const id = begun(lines([{{ a: 9 }}]), {{ mode: args.mode }});
        const {{ message_to_confirm, require_manual_confirmation }} = imports.describe(id).state;
        const state = await perform(id);
        const left = (table) => plain(rows(tables, table)).map(({{ a }}) => a);
        return [message_to_confirm, require_manual_confirmation, state.state, left("t"),
          left("u"), storage.bytesOf(file).toString()];
        """,
        mode=mode,
    )
    message = {
        "append": "table t: 1 documents to add",
        "replace": "table t: 1 documents to add, 2 to delete",
        "replaceAll": "table t: 1 documents to add, 2 to delete\ntable u: 1 to delete",
    }[mode]
    assert found == [message, mode != "append", "completed", own, other, "x"]


def test_replacing_nothing_needs_no_confirmation(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      tables.create("", "u");
      return ["replace", "replaceAll", "requireEmpty"].map((mode) => {{
        const {{ state, message_to_confirm, require_manual_confirmation }} = imports.describe(
          begun(lines([{{}}]), {{ mode }})).state;
        return [state, message_to_confirm, require_manual_confirmation];
      }});
    """)
    assert found == [["waiting_for_confirmation", "table t: 1 documents to add", False]] * 3


def test_a_table_must_be_empty_when_nobody_says_otherwise(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const early = begun(lines([{{ a: 2 }}]));
      await insert("t", {{ a: 1 }});
      const late = begun(lines([{{ a: 2 }}]));
      return [imports.describe(late).state, await perform(early), plain(rows(tables, "t")),
        await perform(late), rows(tables, "t").length];
    """)
    failed = {
        "state": "failed",
        "error_message": 'table "t" has documents already: pass --append to keep them, '
        "--replace to replace them, or --replace-all",
    }
    assert found == [failed, failed, [{"a": 1}], failed, 1]


def test_an_import_is_performed_once(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = begun(lines([{{ a: 1 }}]), {{ mode: "append" }});
      await perform(id);
      const again = await thrown(() => imports.perform(id));
      return [again, await thrown(() => imports.perform("none")), rows(tables, "t").length,
        imports.describe("none")];
    """)
    gone = "There is no such import."
    assert found == [gone, gone, 1, None]


def test_an_import_with_ids_gives_its_table_their_number(in_server: InServer) -> None:
    """Of the tables that have that number and no documents, each is given another."""
    found = in_server(
        f"""{LIVE}
        await insert("full", {{ a: 1 }});
        const before = ["t", "empty", "full"].map(number);
        const state = await load([{{ _id: idOf(10002, 1), a: 1 }}, {{ _id: idOf(10002, 2),
          a: 2 }}, {{ a: 3 }}]);
        const after = ["t", "empty", "full"].map(number);
        const [made] = await insert("new", {{}});
        const [own] = await insert("t", {{ a: 4 }});
        const [moved] = await insert("empty", {{ a: 5 }});
        return [before, state.state, after, number("new"), decodeId(own).table,
          decodeId(moved).table,
          plain(rows(tables, "t")).map(({{ a }}) => a), new Set(tables.all().map(({{ number }}) =>
            number)).size === tables.all().length];
        """,
        tables={"t": {}, "empty": {}, "full": {}},
    )
    assert found == [
        [10001, 10002, 10003],
        "completed",
        [10002, 10004, 10003],
        *(10005, 10002, 10004),
        [1, 2, 3, 4],
        True,
    ]


def test_two_tables_can_change_their_numbers(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        const entry = (table, ids) => documentsEntry("", table, ids.map((_id) => ({{ _id }})));
        const archive = writeZip([entry("t", [idOf(10002, 1)]), entry("u", [idOf(10001, 1)])]);
        const state = await perform(begun(archive, {{ format: "zip" }}));
        const [own] = await insert("new", {{}});
        return [state.state, number("t"), number("u"), decodeId(own).table,
          tables.tableOf(idOf(10002, 1)).name];
        """,
        tables={"t": {}, "u": {}},
    )
    assert found == ["completed", 10002, 10001, 10003, "t"]


def test_numbers_of_tables_to_come_are_greater_than_those_of_an_import(
    in_server: InServer,
) -> None:
    found = in_server(f"""{LIVE}
      await load([{{ _id: idOf(10050, 1) }}]);
      await insert("new", {{}});
      const file = encodeId(40, Buffer.alloc(16, 3));
      const archive = writeZip([documentsEntry("", "_storage", [{{ _id: file }}]),
        [`_storage/${{file}}`, Buffer.from("x")]]);
      const state = await perform(begun(archive, {{ format: "zip" }}));
      return [number("t"), number("new"), state.state, number("_storage"),
        storage.bytesOf(file).toString()];
    """)
    assert found == [10050, 10051, "completed", 40, "x"]


def test_a_schema_is_kept_to(in_server: InServer) -> None:
    number = {"fieldType": {"type": "number"}, "optional": False}
    document = {"type": "object", "value": {"a": number}}
    found = in_server(
        f"""{LIVE}
        const {{ error_message }} = await load([{{ a: 1 }}, {{ a: "x" }}]);
        return [error_message.split("\\n").slice(0, 2), rows(tables, "t").length];
        """,
        tables={"t": {"indexes": {}, "document": document}},
    )
    assert found == [
        [
            't, document 2: Failed to insert or update a document in table "t" because it does not '
            "match the schema: Value does not match validator.",
            "Path: .a",
        ],
        0,
    ]


REFUSED: dict[str, tuple[str, str]] = {
    "no table's name": ('{ table: "a-b" }', 'Invalid table name: "a-b". Identifiers must start'),
    "no component": ('{ component: "one" }', "there is no component one"),
    "no table": ("{ table: null }", "a table must be named"),
    "no format": ('{ format: "xml" }', 'unknown format "xml"'),
    "no archive": ('{ format: "zip" }', "The file is no ZIP archive."),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_imported_is_told_before(
    in_server: InServer, options: str, message: str
) -> None:
    found = in_server(
        f"""{LIVE}
        const {{ state, error_message }} = imports.describe(begun(lines([{{}}]),
          eval(`(${{args.options}})`))).state;
        return [state, error_message];
        """,
        options=options,
    )
    assert found[0] == "failed"
    assert found[1].startswith(message)


def test_uploads_are_put_together_by_their_numbers_and_used_once(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const token = imports.startUpload();
      imports.addPart(token, 10, Buffer.from('}}'));
      imports.addPart(token, 2, Buffer.from('"a":'));
      imports.addPart(token, 1, Buffer.from('{{'));
      imports.addPart(token, 3, Buffer.from('5'));
      const options = {{ format: "jsonLines", mode: "append", table: "t", component: null }};
      const id = imports.finishUpload(token, options);
      await perform(id);
      const again = await thrown(() => imports.finishUpload(token, options));
      const none = await thrown(() => imports.addPart(null, 1, Buffer.from("")));
      const mode = await thrown(() => imports.finishUpload(imports.startUpload(),
        {{ ...options, mode: "merge" }}));
      return [plain(rows(tables, "t")), again, none, mode, imports.list().length];
    """)
    gone = "There is no such upload."
    assert found == [[{"a": 5}], gone, gone, 'Unknown mode "merge".', 1]


def test_the_last_imports_and_uploads_are_known(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const ids = Array.from({{ length: 21 }}, () => begun(lines([{{}}])));
      const tokens = Array.from({{ length: 21 }}, () => imports.startUpload());
      const known = (token) => thrown(() => imports.addPart(token, 1, Buffer.from("")));
      return [imports.describe(ids[0]), imports.describe(ids[1])._id === ids[1],
        imports.list().length,
        imports.list().at(-1)._id === ids[20], await known(tokens[0]), await known(tokens[1])];
    """)
    assert found == [None, True, 20, True, "There is no such upload.", None]


def test_who_watches_imports_is_told(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const told = [];
      services.onChange((changed) => told.push(changed === null ? null : [...changed]));
      await load([{{}}]);
      await load([{{ _own: 1 }}], {{ mode: "append" }});
      return told;
    """)
    assert found == [["/t"], ["/_imports"], ["/_imports"]]


def test_one_can_not_go_back_behind_an_import(in_server: InServer) -> None:
    """Numbers of tables are no documents: what was before can't be told from these alone."""
    found = in_server(f"""{LIVE}
      const before = services.history.now();
      await load([{{ a: 1 }}]);
      return (await services.history.at(before, async () => "seen").catch((error) => error.code));
    """)
    assert found == "TimestampOutOfRetention"


def test_an_import_may_be_larger_than_a_transaction(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const state = await load(Array.from({{ length: 16_001 }}, () => ({{}})));
      return [state.state, rows(tables, "t").length];
    """)
    assert found == ["completed", 16001]
