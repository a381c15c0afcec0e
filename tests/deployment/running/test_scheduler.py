"""What runs later: when, once, in which order, and what becomes of its row."""

from __future__ import annotations

import pytest

from tests.deployment.running.scheduling import LIVE
from tests.deployment.server_modules import InServer


def test_a_row_tells_what_will_run_and_what_became_of_it(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = await later(5000, {{ by: 1 }}, "a:write");
      const before = row(id);
      await scheduler.advance(4999);
      const early = row(id).state;
      await scheduler.advance(1);
      const {{ _id, _creationTime, ...after }} = row(id);
      return [before._id === id, before._creationTime - START, before, early, after,
        _creationTime === before._creationTime,
        app.ran, written()];
    """)
    is_own, created, before, early, after, same, ran, written = found
    start = before["_creationTime"]
    assert is_own
    assert created == 0
    assert {name: before[name] for name in before if not name.startswith("_")} == {
        "args": [{"by": 1}],
        "name": "a.js:write",
        "scheduledTime": start + 5000,
        "state": {"kind": "pending"},
    }
    assert early == {"kind": "pending"}
    assert after == {
        "args": [{"by": 1}],
        "completedTime": start + 5000,
        "name": "a.js:write",
        "scheduledTime": start + 5000,
        "state": {"kind": "success"},
    }
    assert same
    assert ran == [["a:write", {"by": 1}, 5000]]
    assert written == [1]


def test_what_is_due_runs_in_the_order_of_its_times_and_then_of_its_making(
    in_server: InServer,
) -> None:
    found = in_server(f"""{LIVE}
      for (const [after, by] of [[3000, 1], [1000, 2], [3000, 3], [2000, 4],
        [1000, 5]]) await later(after, {{ by }});
      await scheduler.advance(3000);
      return [app.ran.map(([, {{ by }}, at]) => [by, at]), kinds()];
    """)
    assert found == [
        [[2, 1000], [5, 1000], [4, 2000], [1, 3000], [3, 3000]],
        ["success"] * 5,
    ]


def test_a_job_runs_once_however_often_time_moves(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      await later(1000, {{ by: 1 }});
      for (const ms of [1000, 0, 5000]) await scheduler.advance(ms);
      return [app.ran.length, written(), services.clock.now() - START];
    """)
    assert found == [1, [1], 6000]


def test_moves_of_time_follow_each_other(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      await later(1500, {{ by: 1 }});
      await Promise.all([scheduler.advance(1000), scheduler.advance(1000)]);
      return [app.ran.map(([, , at]) => at), services.clock.now() - START, services.clock.isStill];
    """)
    assert found == [[1500], 2000, False]


def test_what_a_job_schedules_runs_on_the_way(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const own = all.run;
      all.run = async (invocation) => {{
        const done = await own(invocation);
        if (invocation.args.by < 4) await later(1000, {{ by: invocation.args.by + 1 }});
        return done;
      }};
      await later(1000, {{ by: 1 }});
      await scheduler.advance(3000);
      const half = written();
      await scheduler.advance(1000);
      return [half, written(), app.ran.map(([, , at]) => at)];
    """)
    assert found == [[1, 2, 3], [1, 2, 3, 4], [1000, 2000, 3000, 4000]]


@pytest.mark.parametrize("name", ["a:write", "a:act"])
def test_a_job_that_fails_is_told_once_and_the_next_runs(in_server: InServer, name: str) -> None:
    found = in_server(
        f"""{LIVE}
        const failing = await later(1000, {{ throws: true }}, args.name);
        const good = await later(2000, {{ by: 2 }});
        await scheduler.advance(5000);
        const {{ state, completedTime }} = row(failing);
        const failures = services.failures.splice(0);
        await scheduler.advance(5000);
        return [state, completedTime - START, row(good).state, failures, services.failures,
          written()];
        """,
        name=name,
    )
    assert found == [
        {"kind": "failed", "error": f"no {name}"},
        1000,
        {"kind": "success"},
        [{"path": name, "error": f"no {name}"}],
        [],
        [2],
    ]


def test_a_query_can_be_scheduled_and_fails_then(in_server: InServer) -> None:
    """The stand-in for functions is told as what it is to be run: the real ones refuse a query."""
    found = in_server(f"""{LIVE}
      const kindOf = [];
      const own = all.run;
      all.run = async (invocation) => {{
        kindOf.push(invocation.kind);
        return await own(invocation);
      }};
      await later(1000, {{}}, "a:read");
      await later(1000, {{}}, "a:act");
      await scheduler.advance(1000);
      return kindOf;
    """)
    assert found == ["mutation", None]


def test_an_action_that_runs_is_in_progress_and_then_a_success(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const seen = [];
      const own = all.run;
      all.run = async (invocation) => (seen.push([kinds(), invocation.scheduledId,
        invocation.caller, invocation.kind]), await own(invocation));
      const id = await later(1000, {{}}, "a:act");
      await scheduler.advance(1000);
      return [seen.map(([kinds, scheduled, ...rest]) => [kinds, scheduled === id, ...rest]),
        row(id).state];
    """)
    caller = {"admin": True, "user": None}
    assert found == [[[["inProgress"], True, caller, None]], {"kind": "success"}]


def test_what_is_cancelled_in_time_never_runs(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const [first, second] = [await later(1000, {{ by: 1 }}), await later(1000, {{ by: 2 }})];
      await scheduler.advance(400);
      await cancel(first);
      const {{ state, completedTime }} = row(first);
      await scheduler.advance(1000);
      return [state, completedTime - START, row(first).state, app.ran.map(([, {{ by }}]) => by),
        written()];
    """)
    assert found == [{"kind": "canceled"}, 400, {"kind": "canceled"}, [2], [2]]


@pytest.mark.parametrize("ending", ["success", "failed", "canceled"])
def test_cancelling_what_is_over_changes_nothing(in_server: InServer, ending: str) -> None:
    found = in_server(
        f"""{LIVE}
        const id = await later(1000, {{ by: 1, throws: args.ending === "failed" }});
        if (args.ending === "canceled") await cancel(id);
        await scheduler.advance(1000);
        const before = JSON.stringify(row(id));
        await scheduler.advance(1000);
        await cancel(id);
        return [JSON.stringify(row(id)) === before, row(id).state.kind];
        """,
        ending=ending,
    )
    assert found == [True, ending]


@pytest.mark.parametrize("name", ["a:write", "a:act"])
def test_cancelling_what_runs_does_not_end_it(in_server: InServer, name: str) -> None:
    found = in_server(
        f"""{LIVE}
        const own = all.run;
        all.run = async (invocation) => {{ await cancel(invocation.scheduledId);
          return await own(invocation); }};
        const id = await later(1000, {{ by: 1 }}, args.name);
        await scheduler.advance(1000);
        return [row(id).state, app.ran.length];
        """,
        name=name,
    )
    assert found == [{"kind": "success"}, 1]


def test_what_is_not_there_can_not_be_cancelled(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = await later(1000);
      const other = await thrown(() => all.transaction((it) => scheduler.cancel(it, "one", id)));
      return [(await thrown(() => cancel("nothing"))), other.replace(id, "ID"), kinds()];
    """)
    assert found == [
        "Invalid argument `id` for `db.cancel_job`: Unable to decode ID: Invalid ID length 7",
        "Scheduled function with ID ID not found.",
        ["pending"],
    ]


@pytest.mark.parametrize("how", ["abort", "rollBack"])
def test_what_is_taken_back_was_neither_scheduled_nor_cancelled(
    in_server: InServer, how: str
) -> None:
    found = in_server(
        f"""{LIVE}
        const id = await later(1000, {{ by: 1 }});
        await thrown(() => all.transaction((it) => {{
          const place = it.savepoint();
          schedule(it, 1000, {{ by: 2 }});
          scheduler.cancel(it, "", id);
          if (args.how === "abort") throw new UserError("no");
          it.rollBack(place);
          schedule(it, 1000, {{ by: 3 }});
        }}));
        const before = kinds();
        await scheduler.advance(1000);
        return [before, written()];
        """,
        how=how,
    )
    kept = [] if how == "abort" else [3]
    assert found == [["pending"] * (1 + len(kept)), [1, *kept]]


def test_what_one_transaction_schedules_and_cancels_does_not_run(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      await all.transaction((it) => {{ schedule(it, 0, {{ by: 1 }});
        scheduler.cancel(it, "", schedule(it, 0, {{ by: 2 }})); }});
      await scheduler.advance(1000);
      return [kinds(), written()];
    """)
    assert found == [["success", "canceled"], [1]]


def test_a_row_that_is_gone_runs_nothing(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const id = await later(1000, {{ by: 1 }});
      await all.transaction((it) => it.drop(tables.find("", "_scheduled_functions"), row(id)));
      await scheduler.advance(2000);
      return [app.ran, services.failures];
    """)
    assert found == [[], []]


REFUSED = {
    "no function": (
        'later(0, {}, "a:none")',
        "Attempted to schedule function, but no exported function none found in the file: a.js. "
        "Did you forget to export it?",
    ),
    "no module": (
        'later(0, {}, "none:write")',
        "Attempted to schedule function at nonexistent path: none.js",
    ),
    "no component": (
        'all.transaction((it) => scheduler.schedule(it, { component: "one" }, { name: "a:write", '
        "ts: START / 1000, args: {} }))",
        "Attempted to schedule function at nonexistent path: a.js",
    ),
    "too late": (
        "later(5 * 365 * 86_400_000 + 1)",
        "2030-12-31T00:00:00.001Z is more than 5 years in the future",
    ),
    "too early": (
        "later(-5 * 365 * 86_400_000 - 1)",
        "2021-01-01T23:59:59.999Z is more than 5 years in the past",
    ),
    "beyond all dates": (
        "later(1e300)",
        "1e+297 is more than 5 years in the future",
    ),
    "no time": ("later(NaN)", "Invalid arguments for `schedule`: ts must be a number"),
    "with no value": (
        "later(0, { $a: 1 })",
        "Invalid arguments for `schedule`: Field name $a starts with '$', which is reserved.",
    ),
    "with a commit's timestamp": (
        "later(0, { a: { $commitTs: null } })",
        "Invalid arguments for `schedule`: The commit timestamp is not known here: only what a "
        "mutation writes or gives to others can hold it.",
    ),
    "too large": (
        'later(0, { text: "x".repeat(4 * 1024 * 1024 - 9) + "y" })',
        "Arguments for a.js:write are too large to be scheduled (actual: 4 MiB, limit: 4 MiB)",
    ),
}


@pytest.mark.parametrize(("work", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_scheduled_is_told(in_server: InServer, work: str, message: str) -> None:
    found = in_server(
        f"{LIVE} return [await thrown(() => eval(args.work)), kinds()];",
        work=work,
    )
    assert found == [message, []]


def test_what_is_just_possible_can_be_scheduled(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      const years = 5 * 365 * 86_400_000;
      // Two bytes for the object, five for its field, two for the text.
      const fits = {{ text: "x".repeat(4 * 1024 * 1024 - 9) }};
      const ids = [await later(years), await later(-years), await later(0, fits)];
      const used = await all.transaction((it) => {{ schedule(it, 0, {{ by: 1 }});
        return [it.used.functionsScheduled,
        it.used.scheduledFunctionArgsBytes]; }});
      return [ids.map((id) => row(id).scheduledTime - START), used];
    """)
    years = 5 * 365 * 86_400_000
    assert found == [[years, -years, 0], [1, 2 + 3 + 9]]


def test_what_is_due_by_now_runs_without_a_command(in_server: InServer) -> None:
    """By a timer: awaited, however long it takes."""
    found = in_server(f"""{LIVE}
      const done = new Promise((resolve) => {{
        const own = all.run;
        all.run = async (invocation) => {{ const value = await own(invocation); resolve();
          return value; }};
      }});
      // Nothing keeps the process but this.
      const held = setInterval(() => {{}}, 1000);
      await later(0, {{ by: 1 }});
      await done;
      clearInterval(held);
      await all.transaction(() => {{}});
      return [written(), kinds()];
    """)
    assert found == [[1], ["success"]]


def test_it_waits_for_what_is_due_next_and_for_nothing_while_it_is_held(
    in_server: InServer,
) -> None:
    found = in_server(f"""{LIVE}
      // The history lets go of its first commit by a timer of its own.
      await all.transaction((it) => it.insert("", "t", {{}}));
      const real = globalThis.setTimeout;
      const waits = [];
      globalThis.setTimeout = (_, ms) => {{ waits.push(ms); return real(() => {{}}, 0); }};
      const told = [];
      const step = async (work) => {{ await work(); told.push(waits.splice(0)); }};
      try {{
        await step(() => later(5 * 365 * 86_400_000));
        await step(() => later(5000));
        await step(() => later(9000));
        await step(() => later(-1000));
        await step(() => scheduler.pause());
        await step(() => later(0));
        await step(() => scheduler.resume());
        await step(() => scheduler.advance(100));
        await step(() => app.resetData());
      }} finally {{ globalThis.setTimeout = real; }}
      return told;
    """)
    assert found == [[2**31 - 1], [5000], [5000], [0], [], [], [0], [4900], []]


def test_a_reset_forgets_what_was_scheduled(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      await later(1000, {{ by: 1 }});
      await scheduler.advance(500);
      app.resetData();
      const [now, none] = [services.clock.now() - START, kinds()];
      await scheduler.advance(5000);
      app.resetData(START + 77);
      return [now, none, app.ran, services.clock.now() - START];
    """)
    assert found == [0, [], [], 77]


def test_a_job_that_is_in_the_past_runs_first_and_time_does_not_go_back(
    in_server: InServer,
) -> None:
    found = in_server(f"""{LIVE}
      scheduler.pause();
      await later(1000, {{ by: 1 }});
      await later(-5000, {{ by: 2 }});
      await scheduler.advance(1000);
      return app.ran.map(([, {{ by }}, at]) => [by, at]);
    """)
    assert found == [[2, 0], [1, 1000]]


def test_only_the_last_failures_are_kept(in_server: InServer) -> None:
    found = in_server(f"""{LIVE}
      for (let i = 0; i < 1001; i++) services.logFailure(`a:${{i}}`, new FunctionFailure("no"));
      return [services.failures.length, services.failures[0].path, services.failures.at(-1).path];
    """)
    assert found == [1000, "a:1", "a:1000"]


def test_a_clock_never_goes_back(in_server: InServer) -> None:
    found = in_server("""
      const clock = new Clock();
      const seen = [];
      const look = () => seen.push([clock.now() - START, clock.isStill, clock.offset]);
      stopTime(START); look();
      clock.holdAt(START + 50); look();
      clock.holdAt(START + 20); look();
      stopTime(START + 10); look();
      clock.release(); look();
      clock.release(); look();
      stopTime(START + 15); look();
      clock.reset(START + 1000); look();
      stopTime(START + 16); look();
      clock.holdAt(START); clock.reset(); look();
      return seen;
    """)
    assert found == [
        [0, False, 0],
        [50, True, 50],
        [50, True, 50],
        [50, True, 50],
        [50, False, 40],
        [50, False, 40],
        [55, False, 40],
        [1000, False, 985],
        [1001, False, 985],
        [16, False, 0],
    ]
