"""The database as it was: what is kept of it, and for how long."""

from __future__ import annotations

from typing import Any

from tests.deployment.server_modules import InServer

HISTORY = """
  const tables = open({ t: { by_a: ["a"] } });
  const history = new History(args.kept);
  const write = (work) => commit(tables, work, history);
  const at = (time) => history.at(time, async () => plain(rows(tables, "t",
    "by_a")).map(({ a }) => a)).catch((error) => error.code ?? error.message);
"""


def test_each_state_of_the_past_is_seen_and_the_present_comes_back(in_server: InServer) -> None:
    states: list[Any] = in_server(f"""{HISTORY}
      const times = [history.now()];
      const mark = (value) => (times.push(history.now()), value);
      const one = mark(write((it) => it.insert("", "t", {{ a: 1 }})));
      mark(write((it) => it.insert("", "t", {{ a: 2 }})));
      mark(write((it) => {{ it.patch("", {{ id: one, value: {{ a: 5 }} }}); it.patch("",
        {{ id: one, value: {{ a: 6 }} }}); }}));
      mark(write((it) => it.remove("", {{ id: one }})));
      mark(write((it) => it.insert("", "t", {{ a: 3 }})));
      const seen = [];
      for (const time of times) seen.push(await at(time));
      for (const time of times.toReversed()) seen.push(await at(time));
      return [...seen, plain(rows(tables, "t", "by_a")).map(({{ a }}) => a)];
    """)
    past = [[], [1], [1, 2], [2, 6], [2], [2, 3]]
    assert states == [*past, *reversed(past), [2, 3]]


def test_what_is_read_in_the_past_can_fail(in_server: InServer) -> None:
    found = in_server(f"""{HISTORY}
      write((it) => it.insert("", "t", {{ a: 1 }}));
      const before = history.now();
      write((it) => it.insert("", "t", {{ a: 2 }}));
      const failed = await thrown(() => history.at(before, async () => {{ throw new Error("no");
      }}));
      return [failed, plain(rows(tables, "t", "by_a")).map(({{ a }}) => a)];
    """)
    assert found == ["no", [1, 2]]


def test_commits_have_growing_times_though_the_clock_stands(in_server: InServer) -> None:
    found = in_server(f"""stopTime();{HISTORY}
      const told = history.now();
      const same = history.now() === told;
      const times = [1, 2, 3].map((a) => (write((it) => it.insert("", "t", {{ a }})),
        history.timestamp - told));
      write(() => {{}});
      const idle = history.timestamp - told;
      return [same, times.map(Number), Number(idle), await at(told), await at(told + 2n),
        Number(told - BigInt(START) * 1_000_000n)];
    """)
    assert found == [True, [1, 2, 3], 3, [], [1, 2], 0]


def test_the_past_ends_where_it_was_cut(in_server: InServer) -> None:
    found = in_server(f"""stopTime();{HISTORY}
      const start = history.now();
      write((it) => it.insert("", "t", {{ a: 1 }}));
      const before = history.timestamp;
      history.cut();
      const cut = history.timestamp;
      write((it) => it.insert("", "t", {{ a: 2 }}));
      const whole = history.timestamp;
      const single = begin(tables);
      single.isUndoable = false;
      single.insert("", "t", {{ a: 3 }});
      history.add(single);
      single.commit();
      const messages = [];
      for (const time of [before, whole, history.timestamp + 1n]) messages.push(await thrown(() =>
        history.at(time, async () => 1)));
      const numbers = [before, history.timestamp, history.timestamp + 1n].map(String);
      return [await at(start), await at(before), await at(cut), await at(whole),
        await at(history.timestamp), messages, numbers,
        Number(cut - before)];
    """)
    *states, messages, (before, last, future), step = found
    gone = "TimestampOutOfRetention"
    assert states == [gone, gone, gone, gone, [1, 2, 3]]
    assert step == 1
    out = "is out of the retention window, which begins at"
    assert messages[0] == f"The timestamp {before} {out} {last}. Ask for another timestamp."
    assert messages[1].endswith(f"{out} {last}. Ask for another timestamp.")
    assert messages[2] == f"The timestamp {future} is in the future."


def test_the_oldest_commits_are_let_go_of_by_their_size(in_server: InServer) -> None:
    found = in_server(
        f"""stopTime();{HISTORY}
        const times = [history.now()];
        // An insertion is kept in 100 bytes: there is nothing that it replaced.
        for (const a of [1, 2, 3, 4]) {{ write((it) => it.insert("", "t", {{ a }}));
        times.push(history.now()); }}
        const seen = [];
        for (const time of times) seen.push(await at(time));
        return seen;
        """,
        kept={"bytes": 300},
    )
    assert found == ["TimestampOutOfRetention", [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]


def test_a_commit_is_as_large_as_what_it_replaced(in_server: InServer) -> None:
    found = in_server(f"""stopTime();{HISTORY}
      const id = write((it) => it.insert("", "t", {{ a: 1 }}));
      const size = sizeOf(tables.find("", "t").documents.get(id)) + 100;
      const states = [];
      for (const bytes of [2 * size - 1, 2 * size]) {{
        const own = new History({{ bytes }});
        const start = own.now();
        for (const a of [2, 3]) commit(tables, (it) => it.patch("", {{ id, value: {{ a }} }}), own);
        states.push(await own.at(start, async () => "kept").catch((error) => error.code));
      }}
      return states;
    """)
    assert found == ["TimestampOutOfRetention", "kept"]


def test_what_was_cut_off_is_not_let_in_again_by_what_is_let_go_of(in_server: InServer) -> None:
    found = in_server(
        f"""stopTime();{HISTORY}
        write((it) => it.insert("", "t", {{ a: 1 }}));
        const before = history.timestamp;
        write((it) => it.insert("", "t", {{ a: 2 }}));
        history.cut();
        for (const a of [3, 4, 5]) write((it) => it.insert("", "t", {{ a }}));
        return [await at(before), await at(history.timestamp)];
        """,
        kept={"bytes": 200},
    )
    assert found == ["TimestampOutOfRetention", [1, 2, 3, 4, 5]]
