"""Entries of the function log: what each tells, in which order they are given, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

LOG = """
const { FunctionLog } = await load("running/function_log");
const { Frame } = await load("running/frame");
const { NOBODY, SYSTEM } = await load("running/identity");
let now = 5_000_000;
const log = new FunctionLog(() => now);
const target = (more = {}) => ({ module: "a.js", name: "f", kind: "query", node: false, ...more });
const frameOf = ({ caller = NOBODY, component = "", own = target(), lines = [], ...more } = {}) => {
  const frame = new Frame(caller, component, more.scheduledId ?? null);
  frame.target = own;
  frame.logLines.push(...lines);
  return frame;
};
const run = (frame, { route = null, ending = { error: null }, seconds = 0.25 } = {}) => {
  log.begin(frame, route);
  log.add(frame, route, { now, seconds, ending });
};
const entries = async (cursor = 0) => (await log.after(cursor, 0)).entries;
"""


def only(in_server: InServer, body: str, **args: Any) -> Any:
    (entry,) = in_server(f"{LOG} {body} return await entries();", **args)
    return entry


def test_an_execution_is_told_with_all_that_it_used(in_server: InServer) -> None:
    entry = only(
        in_server,
        """const frame = frameOf({ lines: ["[WARN] a", "plain"] });
        Object.assign(frame.usage, { bytesRead: 1, documentsRead: 2, bytesWritten: 3,
          documentsWritten: 4 });
        frame.requestId = "r";
        run(frame);""",
    )
    usage = entry.pop("usageStats")
    used = {name: value for name, value in usage.items() if value != 0}
    assert used == {
        "databaseReadBytes": 1,
        "databaseReadDocuments": 2,
        "databaseWriteBytes": 3,
        "databaseWriteDocuments": 4,
    }
    assert len(usage) == 17
    line = {"timestamp": 5_000_000, "isTruncated": False}
    assert entry == {
        "kind": "Completion",
        "udfType": "Query",
        "componentPath": None,
        "identifier": "a.js:f",
        "requestId": "r",
        "executionId": "r",
        "logLines": [
            {"messages": ["a"], "level": "WARN", **line},
            {"messages": ["plain"], "level": "LOG", **line},
        ],
        "timestamp": 5000,
        "executionTimestamp": 5000,
        "executionTime": 0.25,
        "userExecutionTime": None,
        "success": None,
        "error": None,
        "parentExecutionId": None,
        "caller": "HttpApi",
        "identityType": "unknown",
        "environment": "isolate",
        "cachedResult": False,
        "willRetry": False,
        "occInfo": None,
        "returnBytes": None,
    }


@pytest.mark.parametrize("level", ["LOG", "DEBUG", "INFO", "WARN", "ERROR"])
def test_a_line_has_its_level(level: str, in_server: InServer) -> None:
    entry = only(in_server, "run(frameOf({ lines: [`[${args.level}] x [LOG] y`] }));", level=level)
    (line,) = entry["logLines"]
    assert (line["level"], line["messages"]) == (level, ["x [LOG] y"])


@pytest.mark.parametrize(
    ("frame", "how", "told"),
    [
        ("{}", "{ ending: { error: 'no' } }", {"error": "no", "success": None}),
        (
            "{ own: null }",
            "{ route: 'GET /x', ending: { error: null, status: 201 } }",
            {
                "udfType": "HttpAction",
                "identifier": "GET /x",
                "caller": "HttpEndpoint",
                "success": {"status": "201"},
                "environment": "isolate",
            },
        ),
        ("{ scheduledId: 's', caller: SYSTEM }", "{}", {"caller": "Scheduler"}),
        ("{ caller: SYSTEM }", "{}", {"identityType": "instance_admin"}),
        ("{ caller: { admin: true, user: {} } }", "{}", {"identityType": "user"}),
        ("{ caller: { admin: false, user: {} } }", "{}", {"identityType": "user"}),
        ("{ component: 'c/d' }", "{}", {"componentPath": "c/d"}),
        (
            "{ own: target({ kind: 'action', node: true }) }",
            "{}",
            {"udfType": "Action", "environment": "node"},
        ),
        ("{ own: target({ kind: 'mutation' }) }", "{}", {"udfType": "Mutation"}),
    ],
)
def test_an_execution_says_what_it_was(
    frame: str, how: str, told: dict[str, Any], in_server: InServer
) -> None:
    entry = only(in_server, f"run(frameOf({frame}), {how});")
    assert {name: entry[name] for name in told} == told


def test_what_ran_nothing_is_not_told(in_server: InServer) -> None:
    assert in_server(f"{LOG} run(frameOf({{ own: null }})); return await entries();") == []


def test_the_last_1_000_are_kept_and_a_cursor_gives_the_later_ones(in_server: InServer) -> None:
    found = in_server(
        f"""{LOG}
        const said = (list) => list.map((each) => each.logLines[0].messages[0]);
        let cursor = 0;
        for (let i = 0; i < 1003; i++) {{
          run(frameOf({{ lines: [`${{i}}`] }}));
          if (i === 999) cursor = (await log.after(0, 0)).newCursor;
        }}
        const all = said(await entries());
        const last = (await log.after(0, 0)).newCursor;
        const later = [said(await entries(cursor)), await entries(last)];
        return [all.length, all[0], all.at(-1), ...later];"""
    )
    assert found == [1000, "3", "1002", ["1000", "1001", "1002"], []]


def test_who_waits_is_woken_by_the_next_entry(in_server: InServer) -> None:
    found = in_server(
        f"""{LOG}
        run(frameOf());
        const {{ newCursor }} = await log.after(0, 0);
        const waiting = [log.after(newCursor, 600_000), log.after(newCursor, 600_000)];
        const woken = [];
        for (const each of waiting) void each.then((answer) => woken.push(answer));
        const turn = () => new Promise((done) => setImmediate(() => setImmediate(done)));
        await turn();
        const early = woken.length;
        run(frameOf({{ lines: ["new"] }}));
        await turn();
        return [early, ...woken.map(({{ entries: some, newCursor: next }}) =>
          [some.length, some[0].logLines[0].messages, next > newCursor])];"""
    )
    assert found == [0, [1, ["new"], True], [1, ["new"], True]]


def test_who_asks_from_the_start_does_not_wait(in_server: InServer) -> None:
    found = in_server(
        f"""{LOG}
        const first = await log.after(0, 600_000);
        return [first.entries, first.newCursor > 0, (await log.after(1e15, 0)).newCursor];"""
    )
    assert found == [[], True, 1e15], "a cursor never goes back"


def test_a_cleared_log_goes_on_for_those_who_follow(in_server: InServer) -> None:
    found = in_server(
        f"""{LOG}
        run(frameOf({{ lines: ["old"] }}));
        const {{ newCursor }} = await log.after(0, 0);
        log.clear();
        const before = [await entries(), await entries(newCursor)];
        run(frameOf({{ lines: ["new"] }}));
        return [...before, (await entries(newCursor)).map((each) => each.logLines[0].messages[0])];
        """
    )
    assert found == [[], [], ["new"]]


PROGRESS = f"""
const timers = [];
const realInterval = globalThis.setInterval;
const realClear = globalThis.clearInterval;
globalThis.setInterval = (work, ms) => {{
  const timer = {{ work, ms, unref: () => timer }};
  timers.push(timer);
  return timer;
}};
globalThis.clearInterval = (timer) => timers.splice(timers.indexOf(timer), 1);
const tick = () => timers.map(({{ work }}) => work());
try {{
  {LOG}
  const said = async () => (await entries()).map(({{ kind, identifier, logLines }}) =>
    [kind, identifier, logLines.map((line) => line.messages[0])]);
  PIECE
}} finally {{
  globalThis.setInterval = realInterval;
  globalThis.clearInterval = realClear;
}}
"""


def progress(in_server: InServer, body: str) -> Any:
    return in_server(PROGRESS.replace("PIECE", body))


def test_the_lines_of_an_action_that_runs_are_told_once(in_server: InServer) -> None:
    found = progress(
        in_server,
        """const frame = frameOf({ own: target({ kind: "action" }) });
        log.begin(frame, null);
        tick();
        const nothing = await said();
        frame.logLines.push("one");
        tick();
        tick();
        frame.logLines.push("two", "three");
        tick();
        frame.logLines.push("four");
        log.add(frame, null, { now, seconds: 1, ending: { error: null } });
        return [nothing, await said(), timers.map(({ ms }) => ms)];""",
    )
    assert found == [
        [],
        [
            ["Progress", "a.js:f", ["one"]],
            ["Progress", "a.js:f", ["two", "three"]],
            ["Completion", "a.js:f", ["four"]],
        ],
        [1000],
    ]


def test_only_actions_are_told_of_while_they_run(in_server: InServer) -> None:
    found = progress(
        in_server,
        """const query = frameOf({ lines: ["q"] });
        const http = frameOf({ own: null, lines: ["h"] });
        log.begin(query, null);
        log.begin(http, "GET /x");
        tick();
        return await said();""",
    )
    assert found == [["Progress", "GET /x", ["h"]]]


def test_nothing_is_looked_at_while_nothing_runs(in_server: InServer) -> None:
    found = progress(
        in_server,
        """const counts = [];
        for (let i = 0; i < 2; i++) {
          const [one, two] = [frameOf(), frameOf()];
          log.begin(one, null);
          log.begin(two, null);
          counts.push(timers.length);
          for (const each of [one, two]) {
            log.add(each, null, { now, seconds: 1, ending: { error: null } });
            tick();
            counts.push(timers.length);
          }
        }
        return counts;""",
    )
    assert found == [1, 1, 0, 1, 1, 0]
