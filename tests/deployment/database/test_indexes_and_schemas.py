"""What a table's indexes hold after each kind of write, roll-back and schema change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer


def test_an_index_that_changes_its_fields_is_made_anew(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { by_own: ["a"] } });
      commit(tables, (it) => { it.insert("", "t", { a: 1, b: 2 }); it.insert("", "t", { a: 2,
        b: 1 }); });
      const before = plain(rows(tables, "t", "by_own"));
      tables.useSchemas(new Map([["", schema({ t: { by_own: ["b"] } })]]));
      const range = [{ type: "Eq", fieldPath: "b", value: 2 }];
      return [before, plain(rows(tables, "t", "by_own")), plain(rows(tables, "t", "by_own",
        range))];
    """)
    first, second = {"a": 1, "b": 2}, {"a": 2, "b": 1}
    assert found == [[first, second], [second, first], [first]]


def test_an_index_that_is_new_holds_what_was_there(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: {} });
      commit(tables, (it) => { for (const a of [3, 1, 2]) it.insert("", "t", { a }); });
      const before = await thrown(() => rows(tables, "t", "by_a"));
      tables.useSchemas(new Map([["", schema({ t: { by_a: ["a"] } })]]));
      commit(tables, (it) => it.insert("", "t", { a: 0 }));
      return [before, plain(rows(tables, "t", "by_a")).map(({ a }) => a)];
    """)
    assert found == ["Index t.by_a not found.", [0, 1, 2, 3]]


def test_an_index_that_stays_is_not_made_anew_and_goes_on(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { by_a: ["a"] } });
      commit(tables, (it) => it.insert("", "t", { a: 2 }));
      const known = tables.find("", "t").indexes.get("by_a");
      tables.useSchemas(new Map([["", schema({ t: { by_a: ["a"], by_b: ["b"] } })]]));
      commit(tables, (it) => it.insert("", "t", { a: 1 }));
      return [tables.find("", "t").indexes.get("by_a") === known, plain(rows(tables, "t", "by_a")),
        [...tables.find("", "t").indexes.keys()]];
    """)
    assert found == [
        True,
        [{"a": 1}, {"a": 2}],
        ["by_creation_time", "by_id", "by_a", "by_b"],
    ]


def test_an_index_can_be_staged_and_enabled_again(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { by_a: ["a"] } });
      commit(tables, (it) => it.insert("", "t", { a: 2 }));
      const staged = schema({ t: { indexes: {}, staged: { by_a: ["a"] } } });
      tables.useSchemas(new Map([["", staged]]));
      const refused = await thrown(() => rows(tables, "t", "by_a"));
      commit(tables, (it) => it.insert("", "t", { a: 1 }));
      tables.useSchemas(new Map([["", schema({ t: { by_a: ["a"] } })]]));
      return [refused, plain(rows(tables, "t", "by_a"))];
    """)
    assert found == [
        "Index t.by_a is currently staged and not available to query until it is enabled.",
        [{"a": 1}, {"a": 2}],
    ]


def test_an_index_that_is_gone_can_not_be_read(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { by_a: ["a"] } });
      commit(tables, (it) => it.insert("", "t", { a: 2 }));
      tables.useSchemas(new Map([["", schema({ t: {} })]]));
      const refused = await thrown(() => rows(tables, "t", "by_a"));
      tables.useSchemas(new Map([["", null]]));
      return [refused, plain(rows(tables, "t"))];
    """)
    assert found == ["Index t.by_a not found.", [{"a": 2}]]


WRITES: dict[str, tuple[str, list[Any]]] = {
    "insert": ('it.insert("", "t", { a: 2.5 });', [1, 2, 2.5, 3]),
    "patch": ('it.patch("", { id: ids[0], value: { a: 9 } });', [2, 3, 9]),
    "patch back": (
        'it.patch("", { id: ids[0], value: { a: 9 } });'
        'it.patch("", { id: ids[0], value: { a: 1 } });',
        [1, 2, 3],
    ),
    "replace": ('it.replace("", { id: ids[1], value: { a: 0 } });', [0, 1, 3]),
    "delete": ('it.remove("", { id: ids[2] });', [1, 2]),
    "all of one": (
        'it.patch("", { id: ids[0], value: { a: 9 } }); it.remove("", { id: ids[0] });'
        'it.insert("", "t", { a: 1.5 });',
        [1.5, 2, 3],
    ),
}


@pytest.mark.parametrize("how", ["abort", "rollBack", "restart"])
@pytest.mark.parametrize(("work", "after"), WRITES.values(), ids=WRITES.keys())
def test_every_index_follows_a_write_and_what_takes_it_back(
    in_server: InServer, work: str, after: list[Any], how: str
) -> None:
    """`rollBack`: to a place after another write, which stays."""
    found = in_server(
        """
        const tables = open({ t: { by_a: ["a"] } });
        const ids = commit(tables, (it) => [1, 2, 3].map((a) => it.insert("", "t", { a })));
        const state = () => ["by_a", "by_creation_time", "by_id"].map((index) =>
          rows(tables, "t", index).map(({ _id, a }) => [_id, a]));
        const it = begin(tables);
        if (args.how === "rollBack") it.patch("", { id: ids[0], value: { a: 1.25 } });
        const before = state();
        const place = it.savepoint();
        eval(args.work);
        const during = rows(tables, "t", "by_a").map(({ a }) => a);
        if (args.how === "rollBack") it.rollBack(place);
        else it[args.how]();
        return [during.map((a) => (a === 1.25 ? 1 : a)),
          JSON.stringify(state()) === JSON.stringify(before),
          tables.find("", "t").documents.size];
        """,
        work=work,
        how=how,
    )
    assert found == [after, True, 3]


def test_a_table_that_was_made_in_vain_is_forgotten(in_server: InServer) -> None:
    found = in_server("""
      const tables = open();
      const names = () => tables.of("").map(({ name }) => name);
      const before = [names(), tables.all().length];
      const it = begin(tables);
      const id = it.insert("", "made", {});
      const during = [names().includes("made"), tables.tableOf(id).name];
      it.abort();
      return [before, during, [names(), tables.all().length], tables.tableOf(id) === undefined];
    """)
    before, during, after, is_gone = found
    assert during == [True, "made"]
    assert after == before
    assert before == [["_storage", "_scheduled_functions"], 2]
    assert is_gone


def test_a_table_that_a_push_made_outlives_the_transaction_that_made_it_first(
    in_server: InServer,
) -> None:
    """A table of the same name that is another is not the transaction's to forget."""
    found = in_server("""
      const tables = open();
      const it = begin(tables);
      it.insert("", "t", {});
      const own = tables.find("", "t");
      tables.clear();
      tables.useSchemas(new Map([["", schema({ t: {} })]]));
      tables.forget(own);
      return tables.find("", "t") === tables.tableOf(commit(tables, (it) => it.insert("", "t",
        {})));
    """)
    assert found is True


def test_a_component_that_is_gone_loses_its_tables(in_server: InServer) -> None:
    found = in_server("""
      const tables = open();
      const both = () => tables.useSchemas(new Map([["", null], ["one", schema({ t: {} })]]));
      both();
      const id = commit(tables, (it) => it.insert("one", "t", { a: 1 }));
      const app = commit(tables, (it) => it.insert("", "t", { a: 2 }));
      const names = tables.namesFor("one");
      const before = [names(id), names(app) ?? "none", names("x")];
      tables.useSchemas(new Map([["", null]]));
      const gone = [tables.of("one"), tables.tableOf(id) ?? "none", tables.schemas.has("one")];
      both();
      return [before, gone, tables.find("one", "t").documents.size, plain(rows(tables, "t"))];
    """)
    assert found == [["t", "none", None], [[], "none", False], 0, [{"a": 2}]]


def test_tables_of_the_system_have_numbers_of_their_own(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ first: {}, second: {} });
      commit(tables, (it) => it.insert("", "third", {}));
      const numbers = tables.all().map(({ name, number, isSystem }) => [name, number, isSystem]);
      const { counters } = tables;
      tables.clear();
      return [numbers, { ...counters, lastCreationTime: 0 }, tables.all(), tables.counters];
    """)
    numbers, counters, none, cleared = found
    assert numbers == [
        ["_storage", 1, True],
        ["_scheduled_functions", 2, True],
        ["first", 10001, False],
        ["second", 10002, False],
        ["third", 10003, False],
    ]
    assert counters == {"userTables": 3, "systemTables": 2, "ids": 1, "lastCreationTime": 0}
    assert none == []
    assert cleared == {"userTables": 0, "systemTables": 0, "ids": 0, "lastCreationTime": 0}


def test_creation_times_grow_though_time_stands_still_or_goes_back(in_server: InServer) -> None:
    times = in_server("""
      const tables = open();
      return [1000, 1000, 999, 1001, 5].map((now) => tables.newCreationTime(now));
    """)
    step = 2**-12
    assert times == [1000, 1000 + step, 1000 + 2 * step, 1001, 1001 + step]


def test_what_was_saved_is_restored_with_its_numbers_and_counters(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { by_a: ["a"] } });
      commit(tables, (it) => { for (const a of [2, 1]) it.insert("", "t", { a }); });
      const saved = tables.all().map(({ number, component, name, documents }) =>
        ({ number, component, name, documents: [...documents.values()] }));
      const other = new Tables();
      other.restore(tables.counters, saved);
      other.useSchemas(new Map([["", schema({ t: { by_a: ["a"] } })]]));
      const same = JSON.stringify(other.counters) === JSON.stringify(tables.counters);
      const next = [tables, other].map((each) => commit(each, (it) => it.insert("", "t",
        { a: 0 })));
      return [same, next[0] === next[1], plain(rows(other, "t", "by_a")), other.find("",
        "t").number];
    """)
    assert found == [True, True, [{"a": 0}, {"a": 1}, {"a": 2}], 10001]


def test_ids_that_were_imported_are_not_given_again(in_server: InServer) -> None:
    found = in_server("""
      const elsewhere = open({ t: {} });
      const ids = commit(elsewhere, (it) => [1, 2].map(() => it.insert("", "t", {})));
      const tables = open({ t: {} });
      commit(tables, (it) => { for (const _id of ids) it.put(tables.find("", "t"), { _id,
        _creationTime: 1 }); });
      const made = [1, 2].map(() => commit(tables, (it) => it.insert("", "t", {})));
      return [new Set([...ids, ...made]).size, tables.find("", "t").documents.size];
    """)
    assert found == [4, 4]


VALIDATED = """{ t: { indexes: {}, document: { type: "object",
  value: { a: { fieldType: { type: "number" }, optional: false } } } } }"""


def test_a_schema_says_which_document_it_does_not_allow(in_server: InServer) -> None:
    found = in_server(
        f"""
      const tables = open({{ t: {{}} }});
      const wanted = (options) => new Map([["", schema({VALIDATED}, options)]]);
      const none = tables.violation(wanted());
      const id = commit(tables, (it) => {{ it.insert("", "t", {{ a: 1 }}); return it.insert("",
        "t", {{ a: "x" }}); }});
      const late = tables.violation(wanted());
      const other = tables.violation(new Map([["other", null], ...wanted()]));
      const off = tables.violation(wanted({{ schemaValidation: false }}));
      return [none, late, id, JSON.stringify(other) === JSON.stringify(late), off];
        """
    )
    none, violation, id, same, off = found
    assert none is None
    assert violation == {
        "component": "",
        "table": "t",
        "error": f'Document with ID "{id}" in table "t" does not match the schema: Value does not '
        'match validator.\nPath: .a\nValue: "x"\nValidator: v.float64()\n',
    }
    assert same
    assert off is None


def test_a_write_is_checked_where_the_schema_is(in_server: InServer) -> None:
    found = in_server(
        f"""
      const tables = open({VALIDATED});
      const wrong = [await thrown(() => begin(tables).insert("", "t", {{ a: "x" }})), rows(tables,
        "t").length];
      const id = commit(tables, (it) => it.insert("", "t", {{ a: 1 }}));
      const patched = await thrown(() => begin(tables).patch("", {{ id, value: {{ a: "x" }} }}));
      tables.useSchemas(new Map([["", schema({VALIDATED}, {{ schemaValidation: false }})]]));
      commit(tables, (it) => it.patch("", {{ id, value: {{ a: "x" }} }}));
      return [wrong, patched, plain(rows(tables, "t"))];
        """
    )
    (wrong, count), patched, after = found
    assert wrong.startswith(
        'Failed to insert or update a document in table "t" because it does not match the schema: '
        "Value does not match validator.\nPath: .a\n"
    )
    assert (count, patched, after) == (0, wrong, [{"a": "x"}])
