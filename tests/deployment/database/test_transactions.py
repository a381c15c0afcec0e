"""What one transaction reads, writes, counts, takes back and tells."""

from __future__ import annotations

import pytest

from tests.deployment.database.opened import OPEN
from tests.deployment.server_modules import InServer


def test_a_document_of_another_component_is_not_there(in_server: InServer) -> None:
    found = in_server(f"""{OPEN}
      const own = it.get("", {{ id, isSystem: false, table: "t" }});
      return [own.a, it.get("one", {{ id, isSystem: false }}), it.get("one", {{ id,
        isSystem: false, table: "u" }}),
        it.get("", {{ id: gone, isSystem: false }}), it.get("", {{ id: file,
          isSystem: true }})._id === file];
    """)
    assert found == [1, None, None, None, True]


def test_a_write_keeps_the_id_and_the_time_and_what_is_undefined_is_no_field(
    in_server: InServer,
) -> None:
    found = in_server(f"""{OPEN}
      const before = it.get("", {{ id, isSystem: false }});
      const system = {{ _id: before._id, _creationTime: before._creationTime }};
      it.patch("", {{ id, value: {{ ...system, a: {{ $undefined: null }}, c: 3 }} }});
      const patched = it.get("", {{ id, isSystem: false }});
      it.replace("", {{ id, value: {{ d: 4 }} }});
      const replaced = it.get("", {{ id, isSystem: false }});
      it.replace("", {{ id, value: {{ ...system, e: 5 }} }});
      const again = it.get("", {{ id, isSystem: false }});
      return [patched, replaced, again].map(({{ _id, _creationTime, ...rest }}) =>
        [_id === id && _creationTime === before._creationTime, rest]);
    """)
    assert found == [[True, {"b": 2, "c": 3}], [True, {"d": 4}], [True, {"e": 5}]]


def test_a_patch_changes_no_document_that_was_read_before(in_server: InServer) -> None:
    found = in_server(f"""{OPEN}
      const before = it.get("", {{ id, isSystem: false }});
      it.patch("", {{ id, value: {{ a: 9 }} }});
      return [before.a, it.get("", {{ id, isSystem: false }}).a];
    """)
    assert found == [1, 9]


def test_documents_have_a_largest_size_and_nesting(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: {} });
      // Ids of 32 letters and a time: 2 + (3 + 1 + 34) + (13 + 1 + 9) bytes.
      const fits = 1024 * 1024 - (2 + 38 + 23) - (1 + 1 + 2);
      const nested = (depth) => (depth === 0 ? 1 : [nested(depth - 1)]);
      const attempt = (document) => thrown(() => begin(tables).insert("", "t", document));
      return [await attempt({ a: "x".repeat(fits) }), await attempt({ a: "x".repeat(fits + 1) }),
        await attempt({ a: nested(15) }), await attempt({ a: nested(16) })];
    """)
    assert found == [
        None,
        "Value is too large (1 MiB > maximum size 1 MiB)",
        None,
        "Document is too nested (nested 17 levels deep > maximum nesting 16)",
    ]


def test_what_a_transaction_uses_is_counted(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: {} });
      const [a, b] = commit(tables, (it) => [it.insert("", "t", { n: 1 }), it.insert("", "t",
        { n: 2 })]);
      const size = sizeOf(tables.find("", "t").documents.get(a));
      const it = begin(tables);
      const steps = [];
      const step = (work) => { work(); steps.push({ ...it.used }); };
      step(() => it.get("", { id: a, isSystem: false }));
      step(() => it.insert("", "t", { n: 3 }));
      step(() => it.patch("", { id: a, value: { n: 4 } }));
      step(() => it.replace("", { id: a, value: { n: 5 } }));
      step(() => it.remove("", { id: b }));
      step(() => it.get("", { id: b, isSystem: false }));
      const names = ["documentsRead", "bytesRead", "databaseQueries", "documentsWritten",
        "bytesWritten"];
      const last = steps.at(-1);
      it.restart();
      return [steps.map((used) => names.map((name) => (name.startsWith("bytes")
        ? used[name] / size : used[name]))),
        last.functionsScheduled + last.scheduledFunctionArgsBytes, Object.values(it.used),
          it.functions];
    """)
    steps, scheduled, restarted, functions = found
    assert steps == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 2, 2],
        [1, 1, 1, 3, 3],
        [1, 1, 1, 4, 3],
        [1, 1, 2, 4, 3],
    ]
    assert (scheduled, restarted, functions) == (0, [0] * 7, 0)


ADVICE = (
    "Consider using smaller limits in your queries, paginating your queries, or using indexed "
    "queries with a selective index range expressions."
)
LIMITS: dict[str, tuple[int, str]] = {
    "documentsRead": (
        32_000,
        f"Too many documents read in a single function execution (limit: 32000). {ADVICE}",
    ),
    "bytesRead": (
        16 * 2**20,
        f"Too many bytes read in a single function execution (limit: 16777216 bytes). {ADVICE}",
    ),
    "databaseQueries": (
        4096,
        f"Too many reads in a single function execution (limit: 4096). {ADVICE}",
    ),
    "documentsWritten": (
        16_000,
        "Too many writes in a single function execution (limit: 16000)",
    ),
    "bytesWritten": (
        16 * 2**20,
        "Too many bytes written in a single function execution (limit: 16777216 bytes)",
    ),
    "functionsScheduled": (
        1000,
        "Too many functions scheduled by this mutation (limit: 1000)",
    ),
    "scheduledFunctionArgsBytes": (
        16 * 2**20,
        "Too large total size of the arguments of scheduled functions from this mutation (limit: "
        "16777216 bytes)",
    ),
}


@pytest.mark.parametrize("metric", LIMITS)
def test_what_may_be_used_is_limited_to_the_last_one(in_server: InServer, metric: str) -> None:
    limit, message = LIMITS[metric]
    found = in_server(
        """
        const { metric, limit } = args;
        const it = begin(open());
        const start = it.remaining(metric);
        const all = await thrown(() => it.use(metric, limit));
        const left = it.remaining(metric);
        const more = await thrown(() => it.use(metric));
        const free = begin(open());
        free.isLimited = false;
        return [start, all, left, more, it.remaining(metric), await thrown(() => free.use(metric,
          limit + 1))];
        """,
        metric=metric,
        limit=limit,
    )
    assert found == [limit, None, 0, message, 0, None]


def test_work_can_be_limited_further_and_never_less(in_server: InServer) -> None:
    found = in_server("""
      const it = begin(open());
      it.use("documentsWritten", 10);
      const remaining = () => it.remaining("documentsWritten");
      const seen = [];
      const inner = async () => {
        seen.push(remaining());
        it.use("documentsWritten", 2);
        await it.within({ documentsWritten: 50 }, async () => seen.push(remaining()));
        await it.within({ documentsRead: 1, nonsense: 1, documentsWritten: "x" },
          async () => seen.push(remaining()));
        await it.within({ documentsWritten: 1 }, async () => { seen.push(remaining());
        it.use("documentsWritten", 2); });
      };
      seen.push(await thrown(() => it.within({ documentsWritten: 5 }, inner)));
      seen.push(remaining(), await it.within({}, async () => "value"));
      seen.push(await thrown(() => it.within({ documentsRead: 3 },
        async () => it.use("documentsRead", 4))));
      return seen;
    """)
    assert found == [
        *(5, 3, 3, 1),
        "Too many writes in a single function execution (limit: 1)",
        *(16_000 - 14, "value"),
        f"Too many documents read in a single function execution (limit: 3). {ADVICE}",
    ]


def test_what_is_done_afterwards_is_done_once_and_only_for_what_stays(
    in_server: InServer,
) -> None:
    found = in_server("""
      const seen = [];
      const it = begin(open({ t: {} }));
      it.afterwards(() => seen.push("first"));
      const outer = it.savepoint();
      it.afterwards(() => seen.push("outer"));
      const inner = it.savepoint();
      it.afterwards(() => seen.push("inner"));
      it.rollBack(inner);
      it.afterwards(() => seen.push("second"));
      const last = it.savepoint();
      it.afterwards(() => seen.push("last"));
      it.rollBack(last);
      it.rollBack(it.savepoint());
      const before = [...seen];
      it.commit();
      const aborted = begin(open());
      aborted.afterwards(() => seen.push("aborted"));
      aborted.abort();
      aborted.commit();
      const both = begin(open());
      both.afterwards(() => seen.push("never"));
      both.rollBack({ changes: 0, afterwards: 0 });
      both.commit();
      return [before, seen];
    """)
    assert found == [[], ["first", "outer", "second"]]


def test_a_roll_back_of_an_aborted_transaction_does_nothing(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: {} });
      const it = begin(tables);
      it.insert("", "t", { a: 1 });
      const place = it.savepoint();
      it.insert("", "t", { a: 2 });
      it.abort();
      commit(tables, (other) => other.insert("", "t", { a: 3 }));
      it.rollBack(place);
      return [plain(rows(tables, "t")), it.changes.length];
    """)
    assert found == [[{"a": 3}], 0]


def test_a_commit_tells_which_tables_it_changed(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: {}, u: {} });
      const [id] = commit(tables, (it) => [it.insert("", "t", {})]);
      const version = (name) => tables.find("", name).version;
      const start = [version("t"), version("u")];
      const nothing = begin(tables);
      nothing.insert("", "t", {});
      nothing.abort();
      const taken = begin(tables);
      taken.rollBack((taken.insert("", "u", {}), { changes: 0, afterwards: 0 }));
      const removed = begin(tables);
      removed.remove("", { id });
      const made = begin(tables);
      made.insert("", "new", {});
      made.insert("", "u", {});
      made.insert("", "u", {});
      const file = begin(tables);
      const own = tables.find("", "_storage");
      file.put(own, { _id: tables.newId(own), _creationTime: 1 });
      const told = [nothing, taken, removed, made, file].map((it) => [...it.commit()]);
      return [start, told, [version("t"), version("u"), version("new")]];
    """)
    start, told, versions = found
    assert start == [1, 0]
    assert told == [[], [], ["/t"], ["/new", "/u"], ["/_storage"]]
    assert versions == [2, 1, 1]


def test_changed_documents_are_each_told_once(in_server: InServer) -> None:
    found = in_server(f"""{OPEN}
      it.patch("", {{ id, value: {{ a: 2 }} }});
      it.remove("", {{ id }});
      const made = it.insert("", "fresh", {{}});
      const changed = [...it.changedDocuments()].map(([each, table]) => [each, table.name]);
      return [changed.length, changed[0][0] === id, changed[1][0] === made, changed.map(([,
        name]) => name)];
    """)
    assert found == [2, True, True, ["t", "fresh"]]


def test_reads_are_what_a_query_depends_on(in_server: InServer) -> None:
    found = in_server(f"""{OPEN}
      it.get("", {{ id, isSystem: false }});
      it.get("", {{ id: file, isSystem: true }});
      it.get("one", {{ id, isSystem: false }});
      new QueryStream(it, "one", {{ source: {{ type: "FullTableScan", tableName: "u",
        order: null }}, operators: [] }});
      const reads = [...it.reads];
      it.insert("", "u", {{}});
      it.restart();
      return [reads, [...it.reads], [...it.commit()]];
    """)
    assert found == [["/t", "/_storage", "one/u"], [], []]


def test_a_snapshot_is_that_of_before_the_transaction(in_server: InServer) -> None:
    found = in_server("""
      const tables = open({ t: { by_a: ["a"] } });
      const [one, two] = commit(tables, (it) => [it.insert("", "t", { a: 1 }), it.insert("", "t",
        { a: 2 })]);
      const it = begin(tables);
      it.insert("", "t", { a: 3 });
      it.patch("", { id: one, value: { a: 9 } });
      it.patch("", { id: one, value: { a: 8 } });
      it.remove("", { id: two });
      it.insert("", "fresh", { n: 1 });
      const state = () => [plain(rows(tables, "t", "by_a")).map(({ a }) => a), tables.find("",
        "fresh").documents.size];
      const now = state();
      const seen = await it.onSnapshot(async () => [state(), it.changes.length]);
      const back = state();
      const failed = await thrown(() => it.onSnapshot(async () =>
        { throw new Error("in the past"); }));
      const after = [state(), it.changes.length];
      it.abort();
      return [now, seen, back, failed, after, state.call(null, tables.create("", "fresh"))];
    """)
    now, then = [[3, 8], 1], [[1, 2], 0]
    # A table that was made stands among the changes, too.
    assert found == [now, [then, 0], now, "in the past", [now, 6], then]


def test_a_table_more_than_there_may_be_is_refused(in_server: InServer) -> None:
    found = in_server("""
      const tables = open();
      for (let i = 0; i < 9_999; i++) tables.create("", `t${i}`);
      const last = [tables.isFull, await thrown(() => commit(tables, (it) => it.insert("", "last",
        {})))];
      const refused = await thrown(() => commit(tables, (it) => it.insert("", "more", {})));
      return [last, tables.isFull, refused, await thrown(() => commit(tables,
        (it) => it.insert("", "t5", {})))];
    """)
    assert found == [[False, None], True, "Number of tables cannot exceed 10000.", None]
