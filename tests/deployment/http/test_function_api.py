"""Functions over HTTP: how each route is asked, by whom, and what it answers."""

from __future__ import annotations

import base64
import json
from typing import Any, Protocol

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Answer, Ask, PushOnce

APP = """
import { action, internalQuery, mutation, query } from "../_generated/server";
import { ConvexError, v } from "convex/values";
const all = () => ({ int: 5n, float: 1.5, zero: -0, bytes: new Uint8Array([1, 2]).buffer,
  list: [1n], none: null, text: "x" });
export const echo = query({ args: { a: v.optional(v.any()) }, handler: async (_, { a }) =>
  a ?? null });
export const values = query({ args: {}, handler: async () => all() });
export const lines = query({ args: {}, handler: async () => { console.log("said"); return 1; } });
export const who = query({ args: {}, handler: async (ctx) => await ctx.auth.getUserIdentity() });
export const hidden = internalQuery({ args: {}, handler: async () => "seen" });
export const write = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => {
  await ctx.db.insert("rows", { n }); return n; } });
export const act = action({ args: {}, handler: async () => "acted" });
const fail = async (_: unknown, { how }: { how: string }): Promise<any> => {
  console.warn("failing");
  const data: any = { code: 7n, list: [new Uint8Array([1]).buffer] };
  if (how === "data") throw new ConvexError(data);
  if (how === "text") throw new ConvexError("why");
  if (how === "nothing") throw null;
  if (how === "plain") throw { a: 1 };
  throw new TypeError("wrong");
};
const args = { how: v.string() };
export const failQuery = query({ args, handler: fail });
export const failMutation = mutation({ args, handler: fail });
export const failAction = action({ args, handler: fail });
export default query({ args: {}, handler: async () => "default" });
"""
AUTH = """
const url = process.env.CONVEX_CLOUD_URL;
export default { providers: [{ type: "customJwt", issuer: url, algorithm: "ES256",
  jwks: `${url}/.well-known/jwks.json`, applicationID: "app" }] };
"""
SIGN = """
import { mutation } from "./_generated/server";
export const sign = mutation({ args: {}, handler: (ctx) =>
  (ctx.auth as any).signJwt({ claims: { sub: "ada", aud: "app" }, expiresInSeconds: 600 }) });
"""


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once(
        {"convex/lib/app.ts": APP, "convex/sign.ts": SIGN, "convex/auth.config.ts": AUTH}
    )


class AskAs(Protocol):
    """What the deployment answers to somebody without a key, or who the headers name."""

    def __call__(
        self, path: str, body: object = None, *, method: str = "POST", **headers: str
    ) -> Answer: ...


@pytest.fixture
def ask(live: EmbeddedDeployment, ask_once: Ask) -> AskAs:
    def run(path: str, body: object = None, *, method: str = "POST", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": "", **named}
        return ask_once(method, f"/api/{path}", body, headers=given)

    return run


ENCODED = {
    "int": {"$integer": "BQAAAAAAAAA="},
    "float": 1.5,
    "zero": {"$float": "AAAAAAAAAIA="},
    "bytes": {"$bytes": "AQI="},
    "list": [{"$integer": "AQAAAAAAAAA="}],
    "none": None,
    "text": "x",
}
PLAIN = {
    "int": "5",
    "float": 1.5,
    "zero": "0",
    "bytes": "AQI=",
    "list": ["1"],
    "none": None,
    "text": "x",
}


@pytest.mark.parametrize(
    ("format", "value"),
    [(None, ENCODED), ("convex_encoded_json", ENCODED), ("json", PLAIN), ("other", ENCODED)],
)
def test_values_are_in_the_format_that_is_asked_for(
    format: str | None, value: Any, ask: AskAs
) -> None:
    body: Any = {"path": "lib/app:values", "args": {}, "format": format}
    assert ask("query", body).body == {"status": "success", "value": value}
    query = "query?path=lib/app:values" + ("" if format is None else f"&format={format}")
    assert ask(query, method="GET").body["value"] == value
    run = ask("run/lib/app/values", {"args": {}, "format": format}).body["value"]
    assert run == (ENCODED if format == "convex_encoded_json" else PLAIN)


@pytest.mark.parametrize("args", [{"a": [1, "b"]}, [{"a": [1, "b"]}]])
def test_arguments_are_an_object_or_a_list_of_one(args: Any, ask: AskAs) -> None:
    assert ask("query", {"path": "lib/app:echo", "args": args}).body["value"] == [1, "b"]
    assert ask("run/lib/app/echo", {"args": args}).body["value"] == [1, "b"]
    encoded = json.dumps(args).replace(" ", "").replace('"', "%22")
    url = f"query?path=lib/app:echo&args={encoded}"
    assert ask(url, method="GET").body["value"] == [1, "b"]


def test_arguments_can_be_left_out(ask: AskAs) -> None:
    assert ask("query", {"path": "lib/app:echo"}).body["value"] is None
    assert ask("query?path=lib/app:echo", method="GET").body["value"] is None


@pytest.mark.parametrize(
    ("route", "path", "value"),
    [
        ("query", "lib/app:echo", None),
        ("query", "lib/app.js:echo", None),
        ("query", "lib/app", "default"),
        ("action", "lib/app:act", "acted"),
        ("run/lib/app/act", None, "acted"),
        ("run/lib/app/default", None, "default"),
    ],
)
def test_each_route_finds_its_function(
    route: str, path: str | None, value: Any, ask: AskAs
) -> None:
    answer = ask(route, {"args": {}, **({} if path is None else {"path": path})})
    assert answer.body == {"status": "success", "value": value}


@pytest.mark.parametrize("kind", ["query", "mutation", "action"])
@pytest.mark.parametrize(
    ("how", "text", "data", "plain"),
    [
        (
            *("data", "Uncaught ConvexError: {"),
            {"code": {"$integer": "BwAAAAAAAAA="}, "list": [{"$bytes": "AQ=="}]},
            {"code": "7", "list": ["AQ=="]},
        ),
        ("text", "Uncaught ConvexError: why\n    at ", "why", "why"),
        ("", "Uncaught TypeError: wrong\n    at fail (../../convex/lib/app.ts:", None, None),
        ("nothing", "Uncaught null", None, None),
        ("plain", "Uncaught #<Object>", None, None),
    ],
)
def test_an_error_comes_with_its_data_and_lines(
    kind: str, how: str, text: str, data: Any, plain: Any, ask: AskAs
) -> None:
    path = f"lib/app:fail{kind.capitalize()}"
    for format, shown in ((None, data), ("json", plain)):
        answer = ask(kind, {"path": path, "args": {"how": how}, "format": format})
        assert answer.status == 200
        head, _, rest = answer.body.pop("errorMessage").partition("\n")
        assert head.startswith("[Request ID: ")
        assert head.endswith("] Server Error")
        assert rest.startswith(text)
        expected = {"status": "error", "logLines": ["[WARN] 'failing'"]}
        assert answer.body == expected | ({} if data is None else {"errorData": shown})


def test_lines_are_told_where_there_are_some(ask: AskAs) -> None:
    answer = ask("query", {"path": "lib/app:lines", "args": {}})
    assert answer.body == {"status": "success", "value": 1, "logLines": ["[LOG] 'said'"]}


@pytest.mark.parametrize(
    ("route", "path", "text"),
    [
        ("query", "lib/app:none", "Could not find public function for 'lib/app:none'."),
        ("query", "none:f", "Could not find public function for 'none:f'."),
        ("query", "lib/app:hidden", "Could not find public function for 'lib/app:hidden'."),
        (
            *("mutation", "lib/app:echo"),
            "Trying to execute lib/app.js:echo as Mutation, but it is defined as Query.",
        ),
        (
            *("query", "lib/app:act"),
            "Trying to execute lib/app.js:act as Query, but it is defined as Action.",
        ),
        (
            *("run/lib/app/hidden", None),
            "Could not find function for 'lib/app:hidden'. Did you forget to run `npx convex dev`?",
        ),
        ("query", "_system/cli/x:f", "Could not find public function for '_system/cli/x:f'."),
    ],
)
def test_what_nobody_can_call_is_an_error(
    route: str, path: str | None, text: str, ask: AskAs
) -> None:
    answer = ask(route, {"args": {}, **({} if path is None else {"path": path})})
    assert (answer.status, answer.body["status"]) == (200, "error")
    assert answer.body["errorMessage"].partition("\n")[2] == f"{text}\n"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"args": {}}, "path must be a string"),
        ({"path": 1, "args": {}}, "path must be a string"),
        ({"path": "a:f", "args": "x"}, "args must be an object or a list of one"),
        ({"path": "a:f", "args": None}, "args must be an object or a list of one"),
        ({"path": "a:b:c", "args": {}}, '"a:b:c" is no function\'s path'),
        ([], "the body must be an object"),
    ],
)
def test_a_request_that_is_none_is_refused(body: Any, why: str, ask: AskAs) -> None:
    for route in ("query", "mutation", "action"):
        answer = ask(route, body)
        assert (answer.status, answer.body) == (400, {"code": "BadRequest", "message": why})
    url = ask("query?path=lib/app:echo&args={", method="GET")
    assert (url.status, url.body["message"]) == (400, "args is no JSON")


def test_a_mutation_that_is_refused_or_fails_writes_nothing(
    ask: AskAs, live: EmbeddedDeployment
) -> None:
    bodies: list[dict[str, Any]] = [{"n": "1"}, {}, {"n": 1, "m": 1}]
    for body in bodies:
        answer = ask("mutation", {"path": "lib/app:write", "args": body})
        assert "\nArgumentValidationError: " in answer.body["errorMessage"]
    assert ask("mutation", {"path": "lib/app:write", "args": {"n": 1}}).body["value"] == 1
    assert len(live.documents("rows")) == 1


def who(ask: AskAs, authorization: str) -> Any:
    return ask("query", {"path": "lib/app:who", "args": {}}, Authorization=authorization)


def test_who_calls_is_in_the_header(ask: AskAs, live: EmbeddedDeployment) -> None:
    token = str(live.mutation("sign:sign").value)
    subjects = {"nobody": "", "user": f"Bearer {token}", "admin": f"Convex {live.admin_key}"}
    acting = base64.b64encode(json.dumps({"subject": "eve", "issuer": "i"}).encode()).decode()
    subjects["acting"] = f"Convex {live.admin_key}:{acting}"
    subjects["other"] = "Basic eDp5"
    found = {name: who(ask, header).body["value"] for name, header in subjects.items()}
    assert found == {
        "nobody": None,
        "user": {"subject": "ada", "issuer": live.url, "tokenIdentifier": f"{live.url}|ada"},
        "admin": None,
        "acting": {"subject": "eve", "issuer": "i", "tokenIdentifier": "i|eve"},
        "other": None,
    }
    hidden = {"path": "lib/app:hidden", "args": {}}
    seen = {
        name: ask("query", hidden, Authorization=header).body.get("value")
        for name, header in subjects.items()
    }
    assert seen == {**dict.fromkeys(subjects), "admin": "seen", "acting": "seen"}


@pytest.mark.parametrize("route", ["query", "mutation", "action", "run/lib/app/who", "query_at_ts"])
def test_a_header_that_names_nobody_is_refused_everywhere(
    route: str, ask: AskAs, live: EmbeddedDeployment
) -> None:
    body = {"path": "lib/app:who", "args": {}, "ts": "AAAAAAAAAAA="}
    for header, status, code in (
        ("Bearer nonsense", 401, "InvalidAuthHeader"),
        ("Convex nonsense", 403, "BadDeployKey"),
        (f"Convex {live.admin_key}:nonsense", 400, "BadRequest"),
    ):
        answer = ask(route, body, Authorization=header)
        assert (answer.status, answer.body["code"]) == (status, code)


def test_a_browser_may_ask_and_is_told_so(live: EmbeddedDeployment) -> None:
    client = Client(live.url, "")
    asked = {"Access-Control-Request-Headers": "authorization, convex-client"}
    answer = client.send("OPTIONS", "/api/query", asked, None)
    headers = {name.lower(): value for name, value in answer.headers}
    assert (answer.status, answer.body) == (204, b"")
    shown = {name: headers[name] for name in headers if name.startswith("access-control-")}
    assert shown == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, POST, OPTIONS",
        "access-control-allow-headers": "authorization, convex-client",
        "access-control-max-age": "86400",
    }
    plain = client.send("OPTIONS", "/api/query", {}, None)
    assert dict(plain.headers)["Access-Control-Allow-Headers"] == "*"
    body = b'{"path": "lib/app:echo", "args": {}}'
    answer = client.send("POST", "/api/query", {"Origin": "https://a.example"}, body)
    assert dict(answer.headers)["Access-Control-Allow-Origin"] == "*"
    assert dict(answer.headers)["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/nothing"),
        ("PUT", "/api/query"),
        ("GET", "/api/mutation"),
        ("POST", "/version"),
    ],
)
def test_what_is_no_route_is_not_found(
    method: str, path: str, live: EmbeddedDeployment, ask_once: Ask
) -> None:
    answer = ask_once(method, path, {})
    message = f"No route {method} {path}"
    assert (answer.status, answer.body) == (404, {"code": "NotFound", "message": message})


def test_a_body_in_an_encoding_that_is_not_known_is_refused(
    live: EmbeddedDeployment, ask_once: Ask
) -> None:
    answer = ask_once("POST", "/api/query", {}, encoding="zstd")
    assert (answer.status, answer.body["message"]) == (400, "Unknown Content-Encoding zstd.")
    broken = ask_once("POST", "/api/query", raw=b"not packed", encoding="gzip")
    assert broken.status == 400
    assert broken.body["message"].startswith("The body can't be read: ")
