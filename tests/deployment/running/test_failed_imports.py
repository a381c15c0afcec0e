"""What an import that fails leaves: everything as it was."""

from __future__ import annotations

import pytest

from tests.deployment.running.importing import LIVE
from tests.deployment.server_modules import InServer

UNDERSCORE = (
    "Document(value: {_creationTime: TIME, _id: NEW, _own: 1.0}) isn't a valid document: Field "
    "'_own' starts with an underscore, which is only allowed for system fields like '_id'"
)
SHOWN = """
  const shown = (text) => text.replace(idOf(10001, 1), "ID1").replace(idOf(10002, 1), "ID2")
    .replace(/_creationTime: [\\d.]+, _id: "\\w+"/, "_creationTime: TIME, _id: NEW");
"""
FAILING: dict[str, tuple[str, str]] = {
    "no id of it": (
        "[{ _id: idOf(10002, 1) }, { _id: idOf(10001, 1) }]",
        't, document 2: "ID1" is no id of it',
    ),
    "no id": ('[{ _id: idOf(10002, 1) }, { _id: "x" }]', 't, document 2: "x" is no id of it'),
    "an id twice": (
        "[{ _id: idOf(10002, 1) }, { _id: idOf(10002, 1) }]",
        "t, document 2: there is a document with the id ID2 already",
    ),
    **{
        f"an id of {what}": (
            f"[{{ _id: idOf(10002, 1) }}, {{ _id: {given} }}]",
            f"t, document 2: {given} is no id of it",
        )
        for what, given in {"a number": "5", "nothing": "null", "a list": "[]"}.items()
    },
    **{
        f"a time of {what}": (
            f"[{{ _id: idOf(10002, 1) }}, {{ _creationTime: {given} }}]",
            f"t, document 2: {given} is no time of creation",
        )
        for what, given in {"text": '"x"', "nothing": "null"}.items()
    },
    "an underscore": ("[{ _id: idOf(10002, 1) }, { _own: 1 }]", f"t, document 2: {UNDERSCORE}"),
    "no value": (
        "[{ _id: idOf(10002, 1) }, {}, { $own: 1 }]",
        "t, document 3: Field name $own starts with '$', which is reserved.",
    ),
    "a number with documents": (
        "[{ _id: idOf(10003, 1) }]",
        'The ids of table "t" can\'t be kept: documents of "full" are here. Replace them too, or '
        "leave out `_id`.",
    ),
}


@pytest.mark.parametrize("mode", ["requireEmpty", "replace", "replaceAll"])
@pytest.mark.parametrize(("some", "message"), FAILING.values(), ids=FAILING.keys())
def test_an_import_that_fails_late_leaves_everything_as_it_was(
    in_server: InServer, some: str, message: str, mode: str
) -> None:
    """Documents, ids and numbers of tables; and what is inserted and imported later."""
    found = in_server(
        f"""{LIVE}{SHOWN}
        await insert("full", {{ a: 1 }});
        const file = await all.transaction((it) => storage.store(it, "",
          {{ bytes: Buffer.from("x"), contentType: null }}));
        const before = whole();
        const state = await load(eval(args.some), {{ mode: args.mode }});
        const same = whole() === before;
        const {{ error_message = null }} = state;
        const [own] = await insert("t", {{ a: 2 }});
        await insert("new", {{}});
        const after = [decodeId(own).table, number("new"), plain(rows(tables, "full")),
          storage.bytesOf(file).toString()];
        return [error_message && shown(error_message), same, after];
        """,
        some=some,
        mode=mode,
        tables={"t": {}, "empty": {}, "full": {}},
    )
    if mode == "replaceAll" and "can't be kept" in message:
        assert found == [None, False, [10003, 10005, [], "x"]], "they are replaced, too"
        return
    assert found == [message, True, [10001, 10004, [{"a": 1}], "x"]]


def test_an_import_that_fails_makes_no_table(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}{SHOWN}
      const {{ state, error_message }} = await load([{{ a: 1 }}, {{ _own: 1 }}],
        {{ table: "new" }});
      return [state, shown(error_message), number("new"), JSON.parse(whole())[0].length === 2];
    """)
    assert found == [
        "failed",
        f"new, document 2: {UNDERSCORE}",
        None,
        True,
    ]


def test_two_tables_of_one_number_can_not_be_imported(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}{SHOWN}
        const entry = (table, n) => documentsEntry("", table, [{{ _id: idOf(10050, n) }}]);
        const before = whole();
        const state = await perform(begun(writeZip([entry("t", 1), entry("u", 2)]),
          {{ format: "zip" }}));
        return [state.error_message, whole() === before];
        """,
        tables={"t": {}, "u": {}},
    )
    assert found == ["Ids of two tables of the import are of one table.", True]


def test_a_table_that_keeps_documents_keeps_its_number(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}{SHOWN}
        const [id] = await insert("t", {{ a: 1 }});
        const state = await load([{{ _id: idOf(10050, 1) }}], {{ mode: "append" }});
        const own = await load([{{ _id: idOf(10001, 1), a: 2 }}], {{ mode: "append" }});
        const again = await load([{{ _id: id }}], {{ mode: "append" }});
        return [state.error_message, number("t"), own.state, plain(rows(tables, "t")),
          again.error_message.replace(id, "ID")];
        """,
        tables={"t": {}},
    )
    assert found == [
        'The ids of table "t" can\'t be kept: documents of "t" are here. Replace them too, or '
        "leave out `_id`.",
        *(10001, "completed", [{"a": 1}, {"a": 2}]),
        "t, document 1: there is a document with the id ID already",
    ]
