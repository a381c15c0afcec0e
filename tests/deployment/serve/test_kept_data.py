"""What a folder of data gives back: everything that was done, and nothing that was not.

One deployment writes to the folder, and another reads it, in one process and without ports; how
processes end is told in `test_serve_data.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

LIVE = """
  const functions = { "a:write": "Mutation", "a:act": "Action" };
  const live = push({ tables: { t: { by_a: ["a"] } }, functions, crons: args.crons ?? [] });
  const folder = newFolder();
  const run = ({ args: given }, transaction) => (transaction?.insert("", "ran", { by: given.by }),
    null);
  let journal;
  const start = async (before = () => {}) => {
    const app = deploy(null, { run });
    before();
    journal = new Journal(new Store(folder));
    await app.keep(journal);
    return app;
  };
  const restart = async (before) => {
    app.services.scheduler.pause();
    await journal.store.close();
    return await start(before);
  };
  let app = await start();
  app.goLive(live);
  const all = (work) => app.services.functions.transaction(work);
  const read = (table, index) => plain(rows(app.services.tables, table, index));
  const state = () => JSON.stringify(app.services.tables.all().map(({ component, name, number,
    documents }) =>
    [component, name, number, [...documents]]).sort());
  const schedule = (it, after, given = {}, name = "a:write") => app.services.scheduler.schedule(
    it, { component: "" },
    { name, ts: (it.now + after) / 1000, args: given });
  const kinds = () => app.services.tables.find("", "_scheduled_functions").inOrder().map(
    ({ state }) => state.kind);
  const store = (text) => (it) => app.services.storage.store(it, "", { bytes: Buffer.from(text),
    contentType: "a/b" });
"""

WORK: dict[str, str] = {
    "inserts": 'it.insert("", "t", { a: 2, b: { $integer: "AQAAAAAAAAA=" } });',
    "patches": 'it.patch("", { id, value: { a: 3 } });',
    "patches twice": (
        'it.patch("", { id, value: { a: 3 } }); it.patch("", { id, value: { a: 4, b: 1 } });'
    ),
    "replaces": 'it.replace("", { id, value: { b: 3 } });',
    "deletes": 'it.remove("", { id });',
    "changes and deletes": 'it.patch("", { id, value: { a: 3 } }); it.remove("", { id });',
    "inserts and deletes": 'it.remove("", { id: it.insert("", "t", { a: 2 }) });',
    "makes a table": 'it.insert("", "made", { a: 2 });',
    "schedules": "schedule(it, 1000);",
    "cancels": 'app.services.scheduler.cancel(it, "", job);',
    "stores a file": 'store("new")(it);',
    "deletes a file": 'app.services.storage.delete(it, "", file);',
    "takes a part back": (
        "const place = it.savepoint(); it.remove('', { id }); schedule(it, 0); store('x')(it); "
        "app.services.storage.delete(it, '', file); it.rollBack(place); it.insert('', 't', {});"
    ),
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_what_is_committed_is_there_after_a_restart_and_nothing_else(
    in_server: InServer, work: str
) -> None:
    """The work is done in vain first: a throw, or a restart between the two, must leave nothing."""
    found = in_server(
        f"""{LIVE}
        const [id, job, file] = await all((it) =>
          [it.insert("", "t", {{ a: 1 }}), schedule(it, 60_000), store("old")(it)]);
        const counters = () => JSON.stringify(app.services.tables.counters);
        const before = state();
        const message = await thrown(() => all((it) => {{ eval(args.work);
          throw new UserError("no"); }}));
        const failed = state();
        app = await restart();
        const restored = state();
        await all((it) => {{ eval(args.work); }});
        const [after, counted] = [state(), counters()];
        app = await restart();
        const {{ documents }} = app.services.tables.find("", "t");
        const files = [...app.services.tables.find("", "_storage").documents.keys()].map((each) =>
          app.services.storage.bytesOf(each).toString());
        return [message, before.includes(job), failed === before, restored === before,
          after !== before,
          state() === after, counters() === counted, rows(app.services.tables, "t",
            "by_a").length === documents.size, files];
        """,
        work=work,
    )
    changes = work != WORK["inserts and deletes"]
    files = {WORK["stores a file"]: ["old", "new"], WORK["deletes a file"]: []}
    assert found == ["no", True, True, True, changes, True, True, True, files.get(work, ["old"])]


def test_rows_that_changed_keep_their_order(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const ids = await all((it) => [1, 2, 3].map((a) => it.insert("", "t", {{ a }})));
      await all((it) => it.patch("", {{ id: ids[0], value: {{ a: 9 }} }}));
      app = await restart();
      return [[...app.services.tables.find("", "t").documents.values()].map(({{ a }}) => a),
        read("t", "by_a").map(({{ a }}) => a)];
    """)
    assert found == [[9, 2, 3], [2, 3, 9]]


def test_jobs_go_on_in_their_order_and_those_that_are_over_do_not(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const cancel = (id) => all((it) => app.services.scheduler.cancel(it, "", id));
      await all((it) => schedule(it, 1000, {{ by: "done" }}));
      const [, second] = await all((it) => [schedule(it, 9000, {{ by: 1 }}), schedule(it, 9000,
        {{ by: 2 }}), schedule(it, 9000, {{ by: 3 }})]);
      await app.services.scheduler.advance(2000);
      await cancel(second);
      const kept = journal.store.database.prepare("SELECT count(*) AS jobs FROM jobs").get().jobs;
      const before = kinds();
      app = await restart();
      const after = kinds();
      app.services.scheduler.resume();
      await app.services.scheduler.advance(9000);
      const ran = app.ran.map(([, {{ by }}, at]) => [by, at]);
      app = await restart();
      await app.services.scheduler.advance(99_000);
      return [kept, before, after, ran, app.ran, read("ran").map(({{ by }}) => by)];
    """)
    states = ["success", "pending", "canceled", "pending"]
    assert found == [2, states, states, [[1, 9000], [3, 9000]], [], ["done", 1, 3]]


@pytest.mark.parametrize(("name", "state"), [("a:write", "pending"), ("a:act", "failed")])
def test_what_ran_when_it_was_stopped_runs_again_only_where_it_did_nothing(
    in_server: InServer, name: str, state: str
) -> None:
    """A mutation was not committed, or it would be over; an action must not run twice."""
    found = in_server(
        f"""{LIVE}
        const id = await all((it) => schedule(it, 1000, {{ by: 1 }}, args.name));
        let begun;
        const running = new Promise((resolve) => (begun = resolve));
        app.services.functions.run = () => {{ begun(); return new Promise(() => {{}}); }};
        void app.services.scheduler.advance(1000);
        await running;
        const during = kinds();
        app = await restart();
        const row = app.services.tables.find("", "_scheduled_functions").documents.get(id);
        await app.services.scheduler.advance(5000);
        const jobs = async () => (await journal.durable(), journal.store.database.prepare(
          "SELECT count(*) AS jobs FROM jobs").get().jobs);
        return [during, row.state, row.completedTime === undefined, app.ran.length, kinds(),
          await jobs()];
        """,
        name=name,
    )
    error = {"error": "The deployment was stopped while the action ran."}
    is_failed = state == "failed"
    assert found == [
        ["inProgress"],
        {"kind": state, **(error if is_failed else {})},
        not is_failed,
        0 if is_failed else 1,
        ["failed" if is_failed else "success"],
        0,
    ]


CRON: dict[str, Any] = {
    "name": "often",
    "function": "a:write",
    "args": [{"by": "cron"}],
    "schedule": {"type": "interval", "seconds": 60},
}


def test_a_cron_that_was_missed_runs_once_and_then_at_its_times(in_server: InServer) -> None:
    """However often it was missed."""
    found = in_server(
        f"""{LIVE}
        await app.services.scheduler.advance(30_000);
        const first = app.ran.length;
        // Four of its times go by while nobody serves: at 60, 120, 180 and 240 seconds.
        app = await restart(() => stopTime(START + 220_000));
        await app.services.scheduler.advance(0);
        const missed = app.ran.map(([, {{ by }}, at]) => [by, at / 1000]);
        await app.services.scheduler.advance(120_000);
        return [first, missed, app.ran.slice(1).map(([, , at]) => at / 1000), read("ran").length];
        """,
        crons=[CRON],
    )
    # The clock was moved by 30 seconds, and is ahead after the restart, too.
    assert found == [1, [["cron", 250]], [310, 370], 4]


def test_a_cron_that_was_not_missed_keeps_its_time(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        await app.services.scheduler.advance(30_000);
        app = await restart();
        const early = (await app.services.scheduler.advance(29_999), app.ran.length);
        await app.services.scheduler.advance(1);
        return [early, app.ran.map(([, , at]) => at / 1000)];
        """,
        crons=[CRON],
    )
    assert found == [0, [60]]


def test_a_cron_that_a_push_removed_is_not_there_after_a_restart(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        await app.services.scheduler.advance(0);
        app.goLive(push({{ functions, crons: [{{ ...args.crons[0], name: "other" }}] }}));
        app = await restart();
        return app.services.scheduler.crons().map(({{ cron, next }}) => [cron.name, next - START]);
        """,
        crons=[CRON],
    )
    assert found == [["other", 0]]


def test_a_cron_that_a_push_changed_keeps_its_new_time(in_server: InServer) -> None:
    found = in_server(
        f"""{LIVE}
        const slower = {{ ...args.crons[0], schedule: {{ type: "interval", seconds: 90 }} }};
        app.goLive(push({{ functions, crons: [slower] }}));
        await app.services.scheduler.advance(30_000);
        app = await restart();
        return app.services.scheduler.crons().map(({{ next }}) => next - START);
        """,
        crons=[CRON],
    )
    assert found == [90_000]


def test_time_calls_variables_and_code_are_kept(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      await app.services.scheduler.advance(5000);
      app.services.functions.restore(7);
      app.updateVariables([{{ name: "A", value: "1" }}, {{ name: "B", value: "2" }}]);
      app.updateVariables([{{ name: "A", value: null }}, {{ name: "B", value: "3" }}]);
      await all((it) => it.insert("", "t", {{ a: 1 }}));
      journal.useInstance({{ name: "own", secret: "ab" }});
      app = await restart();
      return [app.services.clock.now() - START, app.services.functions.calls, app.environment(),
        [...app.live.definitions.get("").functions.keys()], journal.instance(),
          app.services.tables.schemas.get("").tables.length];
    """)
    assert found == [
        *(5000, 7, {"B": "3"}, ["a.js", "crons.js"]),
        *({"name": "own", "secret": "ab"}, 1),
    ]


def test_variables_are_all_or_none(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      app.updateVariables([{{ name: "A", value: "1" }}]);
      const refused = await thrown(() => app.updateVariables([{{ name: "A", value: "2" }},
        {{ name: "1", value: "x" }}]));
      const now = app.environment();
      app = await restart();
      return [refused, now, app.environment()];
    """)
    refused = (
        'Environment variable name "1" is invalid: it must begin with a letter or an underscore, '
        "and have letters, digits and underscores only."
    )
    assert found == [refused, {"A": "1"}, {"A": "1"}]


@pytest.mark.parametrize("whole", [True, False])
def test_a_reset_leaves_nothing_in_the_folder(in_server: InServer, whole: bool) -> None:
    found = in_server(
        f"""{LIVE}
        await all((it) => {{ it.insert("", "t", {{ a: 1 }}); it.insert("", "made", {{}});
          schedule(it, 1000); store("x")(it); }});
        app.updateVariables([{{ name: "A", value: "1" }}]);
        await app.services.scheduler.advance(500);
        if (args.whole) app.reset();
        else app.resetData();
        await app.services.durable();
        const count = (table) => journal.store.database.prepare(
          `SELECT count(*) AS n FROM ${{table}}`).get().n;
        const counted = ["documents", "files", "jobs", "variables"].map(count);
        const names = journal.store.database.prepare(
          "SELECT name FROM tables ORDER BY number").all().map(({{ name }}) => name);
        app = await restart();
        await app.services.scheduler.advance(0);
        const [id] = await all((it) => [it.insert("", "t", {{ a: 2 }})]);
        const now = app.services.clock.now() - START;
        app = await restart();
        return [counted, names, app.ran, now, read("t"), app.live === null, app.environment(),
          kinds()];
        """,
        whole=whole,
    )
    tables = ["_storage", "_scheduled_functions"]
    assert found == [
        [0, 0, 0, 0 if whole else 1],
        tables if whole else [*tables, "t"],
        *([], 0, [{"a": 2}]),
        *(whole, {} if whole else {"A": "1"}, []),
    ]


def test_an_import_that_renumbers_is_kept_and_a_failed_one_is_not(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      await all((it) => it.insert("", "t", {{ a: 1 }}));
      const load = async (rows, mode) => {{
        const token = app.imports.startUpload();
        app.imports.addPart(token, 1, Buffer.from(rows.map((row) => JSON.stringify(row)).join(
          "\\n")));
        const id = app.imports.finishUpload(token, {{ format: "jsonLines", mode, table: "t",
          component: null }});
        await app.imports.perform(id);
        return app.imports.describe(id).state.state;
      }};
      const idOf = (n) => encodeId(10050, Buffer.alloc(16, n));
      const failed = await load([{{ _id: idOf(1), a: 2 }}, {{ _own: 1 }}], "replace");
      const before = state();
      app = await restart();
      const same = state() === before;
      const done = await load([{{ _id: idOf(1), a: 3 }}], "replace");
      const after = state();
      app = await restart();
      const [made] = await all((it) => [it.insert("", "t", {{ a: 4 }})]);
      const stored = journal.store.database.prepare(
        "SELECT count(*) AS n FROM tables WHERE name = 't'").get().n;
      return [failed, same, read("t"), done, JSON.parse(after).find(([, name]) =>
        name === "t")[2], decodeId(made).table, stored];
    """)
    assert found == ["failed", True, [{"a": 3}, {"a": 4}], "completed", 10050, 10050, 1]


def test_tables_that_change_their_numbers_with_each_other_are_kept(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      app.goLive(push({{ tables: {{ t: {{}}, u: {{}} }} }}));
      const numbers = () => ["t", "u"].map((name) => app.services.tables.find("", name).number);
      const before = numbers();
      const entry = (name, number) =>
        documentsEntry("", name, [{{ _id: encodeId(number, Buffer.alloc(16, 1)), by: name }}]);
      const token = app.imports.startUpload();
      app.imports.addPart(token, 1, writeZip([entry("t", before[1]), entry("u", before[0])]));
      const id = app.imports.finishUpload(token,
        {{ format: "zip", mode: "requireEmpty", table: null, component: null }});
      await app.imports.perform(id);
      app = await restart();
      return [before, numbers(), read("t"), read("u")];
    """)
    assert found == [[10001, 10002], [10002, 10001], [{"by": "t"}], [{"by": "u"}]]


def test_a_component_that_is_gone_leaves_nothing_in_the_folder(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const withOne = structuredClone(live);
      withOne.tree.children.push(["one", {{ definitionPath: "one", componentPath: "one",
        children: [] }}]);
      withOne.definitions.set("one", structuredClone(live.definitions.get("")));
      app.goLive(withOne);
      await all((it) => {{
        it.insert("one", "t", {{ a: 1 }});
        it.insert("", "t", {{ a: 2 }});
        for (const component of ["", "one"]) app.services.storage.store(it, component,
          {{ bytes: Buffer.from(component), contentType: null }});
      }});
      app = await restart();
      const kept = app.services.tables.find("one", "t").documents.size;
      app.goLive(live);
      await app.services.durable();
      const left = ["tables", "files"].map((table) => journal.store.database.prepare(
        `SELECT DISTINCT component FROM ${{table}}`).all()
        .map(({{ component }}) => component));
      const documents = journal.store.database.prepare("SELECT count(*) AS n FROM documents").get(
        ).n;
      return [kept, left, documents];
    """)
    assert found == [1, [[""], [""]], 2]


def test_only_the_last_answers_are_kept(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const known = async () => {{
        journal.store.flush();
        await journal.durable();
        return journal.answers();
      }};
      for (let i = 0; i < 5; i++) journal.answer(`key ${{i}}`, {{ i }}, 3);
      const three = await known();
      journal.answer("key 3", {{ i: "again" }}, 3);
      return [three, await known()];
    """)
    three, after = found
    assert three == [[f"key {i}", {"i": i}] for i in (2, 3, 4)]
    assert after == [["key 4", {"i": 4}], ["key 3", {"i": "again"}]]


def test_nobody_is_told_before_it_is_on_the_disk(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const count = () => journal.store.database.prepare(
        "SELECT count(*) AS n FROM documents").get().n;
      const seen = [];
      const calls = [1, 2, 3].map((a) => all((it) => it.insert("", "t", {{ a }})).then(() =>
        seen.push(count() >= a)));
      await Promise.all(calls);
      await journal.durable();
      return seen;
    """)
    assert found == [True, True, True]
