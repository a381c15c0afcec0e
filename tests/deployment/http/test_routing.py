"""Which router a request is for, and responses that are sent in parts: decided without a server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.server_modules import InServer

ROUTER = """
const { findRouter, hasRouters } = await load("http/http_routes");
const make = ({ routes, mounts = {}, prefix = null, children = [] }) => ({
  definition: { httpMounts: Object.fromEntries(Object.entries(mounts).map(([at, name]) =>
    [at, `_reference/childComponent/${name}`])), httpPrefix: prefix },
  functions: new Map(routes === undefined ? [] : [["http.js", { httpRoutes: routes.map((each) => {
    const [method, path] = each.split(" ");
    return { method, path };
  }) }]]),
});
const node = (path, definitionPath) => ({ componentPath: path, definitionPath, children: [] });
const { apps } = args;
const push = {
  definitions: new Map(Object.entries(apps).map(([path, given]) => [path, make(given)])),
  tree: { componentPath: "", definitionPath: "", children: [
    ["c", { ...node("c", "c"), children: [["d", node("c/d", "d")]] }],
    ["e", node("e", "d")],
  ] },
};
"""
APPS: dict[str, Any] = {
    "": {
        "routes": ["GET /a", "GET /a/*", "GET /a/b/*", "POST /p", "GET /c/own", "GET /c/deep/*"],
        "mounts": {"/c/": "c", "/e/": "e"},
    },
    "c": {"routes": ["GET /x"], "mounts": {"/d/": "d"}},
    "d": {"routes": ["GET /y", "GET /z/*"]},
}


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/a", ["", "/a"]),
        ("GET", "/a/b/c", ["", "/a/b/c"]),
        ("GET", "/p", ["", "/p"]),
        ("GET", "/nothing", ["", "/nothing"]),
        ("GET", "/c/x", ["c", "/x"]),
        ("GET", "/c", ["", "/c"]),
        ("GET", "/c/", ["c", "/"]),
        ("GET", "/c/none", ["c", "/none"]),
        ("GET", "/c/own", ["", "/c/own"]),
        ("POST", "/c/own", ["c", "/own"]),
        ("GET", "/c/deep/z", ["", "/c/deep/z"]),
        ("POST", "/c/deep/z", ["c", "/deep/z"]),
        ("GET", "/c/d/y", ["c/d", "/y"]),
        ("GET", "/e/z/1", ["e", "/z/1"]),
    ],
)
def test_the_longest_that_fits_is_the_router(
    method: str, path: str, found: Any, in_server: InServer
) -> None:
    told = in_server(
        f"{ROUTER} return findRouter(push, args.path, args.method);",
        apps=APPS,
        path=path,
        method=method,
    )
    assert told == {"component": found[0], "path": found[1]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/a", ["", "/a"]),
        ("/api/", ["", "/"]),
        ("/api", None),
        ("/apia", None),
        ("/a", None),
        ("/c/x", ["c", "/x"]),
        ("/api/long/x", ["", "/long/x"]),
    ],
)
@pytest.mark.parametrize("prefix", ["/api", "/api/"])
def test_an_app_can_have_its_routes_below_a_prefix(
    prefix: str, path: str, found: Any, in_server: InServer
) -> None:
    app = {"routes": ["GET /a", "GET /long/*"], "prefix": prefix, "mounts": {"/c/": "c"}}
    told = in_server(
        f'{ROUTER} return findRouter(push, args.path, "GET");',
        apps={"": app, "c": {"routes": []}},
        path=path,
    )
    assert told == (None if found is None else {"component": found[0], "path": found[1]})


@pytest.mark.parametrize(
    ("app", "has"),
    [
        ({}, False),
        ({"routes": []}, True),
        ({"mounts": {"/c/": "c"}}, True),
    ],
)
def test_a_deployment_has_routers_or_not(app: Any, has: bool, in_server: InServer) -> None:
    found = in_server(
        f"{ROUTER} return [hasRouters(push), hasRouters(null)];", apps={"": app, "c": {}}
    )
    assert found == [has, False]


STREAM = """
const { ResponseStream } = await load("http/response_stream");
const stream = new ResponseStream(10);
const ask = (op, given) => stream.operations.get(`http/${op}`)(given);
const chunk = (text) => ask("chunk", { bytes: Buffer.from(text).toString("base64") });
const settle = () => new Promise((done) => setImmediate(() => setImmediate(done)));
const outcome = (promise) => {
  const known = { state: "waits" };
  promise.then((value) => (known.state = value), (error) => (known.state = error.message));
  return known;
};
const read = async () => {
  const parts = [];
  try {
    for await (const part of stream.body) parts.push(part.toString());
  } catch (error) {
    parts.push(`broken: ${error.message}`);
  }
  return parts;
};
"""


def test_a_head_and_parts_arrive_and_end(in_server: InServer) -> None:
    found = in_server(
        f"""{STREAM}
        const head = outcome(stream.head);
        await settle();
        const before = head.state;
        await ask("head", {{ status: 201, headers: [["a", "b"]], more: 1 }});
        const reading = read();
        await chunk("one");
        await chunk("two");
        stream.end(null);
        return [before, await stream.head, (await reading).join("")];"""
    )
    assert found == ["waits", {"status": 201, "headers": [["a", "b"]]}, "onetwo"]


def test_a_part_waits_until_the_next_is_wanted(in_server: InServer) -> None:
    found = in_server(
        f"""{STREAM}
        const {{ Readable }} = await import("node:stream");
        const full = new ResponseStream(10_000_000);
        const write = (size) => outcome(full.operations.get("http/chunk")(
          {{ bytes: Buffer.alloc(size).toString("base64") }}));
        const first = write(1_000_000);
        await settle();
        const before = first.state;
        full.body.read();
        await settle();
        return [before, first.state];"""
    )
    assert found == ["waits", None]


def test_more_than_the_limit_is_refused(in_server: InServer) -> None:
    found = in_server(
        f"""{STREAM}
        const reading = read();
        const results = [outcome(chunk("1234567890")), outcome(chunk("1"))];
        await settle();
        stream.end(new Error("cut"));
        return [results.map((each) => each.state), await reading];"""
    )
    assert found[0][0] is None
    assert "HTTP actions support responses up to" in found[0][1]
    assert found[1] == ["1234567890", "broken: cut"]


def test_the_action_is_told_that_nobody_reads_any_more(in_server: InServer) -> None:
    found = in_server(
        f"""{STREAM}
        const gone = outcome(ask("gone"));
        await settle();
        const before = gone.state;
        stream.body.destroy();
        await settle();
        const late = outcome(chunk("late"));
        await settle();
        return [before, gone.state, late.state];"""
    )
    assert found == ["waits", None, None], "what comes then is thrown away"
