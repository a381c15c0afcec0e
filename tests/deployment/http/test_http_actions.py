"""HTTP actions: which one a request is for, what it sees of the request, what the client gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_convex_eval.deployment.client import Client
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import MakeProject, PushOnce, PushProject

ROUTES = """
import { ConvexError } from "convex/values";
import { httpActionGeneric as httpAction, httpRouter } from "convex/server";
const http = httpRouter();
const tell = (name: string) => httpAction(async (_, request) => Response.json({
  name, method: request.method, url: request.url, body: await request.text() }));
"""
APP = f"""{ROUTES}
for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const) {{
  http.route({{ path: "/any", method, handler: tell(method) }});
}}
http.route({{ pathPrefix: "/a/", method: "GET", handler: tell("/a/*") }});
http.route({{ pathPrefix: "/a/b/", method: "GET", handler: tell("/a/b/*") }});
http.route({{ path: "/a/b/c", method: "GET", handler: tell("/a/b/c") }});
http.route({{ path: "/a/b/d", method: "POST", handler: tell("posted") }});
http.route({{ path: "/throws", method: "GET", handler: httpAction(async () => {{
  throw new ConvexError({{ code: 7 }}); }}) }});
http.route({{ path: "/open", method: "GET", handler: httpAction(async () =>
  new Response("x", {{ headers: {{ "Access-Control-Allow-Origin": "https://a.example",
    Vary: "Origin" }} }})) }});
http.route({{ path: "/open", method: "OPTIONS", handler: httpAction(async (_, request) =>
  new Response(null, {{ status: 204, headers: {{ "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Origin": request.headers.get("Origin")! }} }})) }});
export default http;
"""


@pytest.fixture
def app(push_once: PushOnce) -> EmbeddedDeployment:
    return push_once({"convex/http.ts": APP})


def told(app: EmbeddedDeployment, method: str, path: str, **more: Any) -> Any:
    answer = app.http(method, path, **more)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_what_an_address_or_a_body_cannot_hold_is_sent_as_a_browser_does(
    app: EmbeddedDeployment,
) -> None:
    seen = told(app, "POST", "/any?q=é %20\ud83d#x", body="a🦀\ud83d")
    assert seen["url"].startswith(f"{app.site_url}/any?q=%C3%A9%20%20%EF%BF%BD")
    assert seen["body"] == "a🦀\ufffd"
    with pytest.raises(ValueError, match="header"):
        app.http("GET", "/any", {"X-A": "a\nb"})
    with pytest.raises(ValueError, match="latin-1"):
        app.http("GET", "/any", {"X-A": "🦀"})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_each_method_has_its_route(method: str, app: EmbeddedDeployment) -> None:
    seen = told(app, method, "/any?x=1", body=b"sent")
    without_body = method in ("GET", "OPTIONS")
    assert (seen["name"], seen["method"]) == (method, method)
    assert seen["url"] == f"{app.site_url}/any?x=1"
    assert seen["body"] == ("" if without_body else "sent")


def test_a_request_for_the_head_is_one_without_the_body(app: EmbeddedDeployment) -> None:
    got, headed = app.http("GET", "/any"), app.http("HEAD", "/any")
    assert (headed.status, headed.body) == (200, b"")
    assert dict(headed.headers)["content-type"] == dict(got.headers)["content-type"]


def test_an_exact_path_comes_before_prefixes_and_a_long_prefix_before_short_ones(
    app: EmbeddedDeployment,
) -> None:
    paths = ["/a/x", "/a/b/x", "/a/b/c", "/a/b/c/", "/a/b/d"]
    assert [told(app, "GET", path)["name"] for path in paths] == [
        *("/a/*", "/a/b/*", "/a/b/c", "/a/b/*", "/a/b/*"),
    ]
    for method, path in [("GET", "/a"), ("POST", "/a/x"), ("GET", "/any/"), ("TRACE", "/any")]:
        answer = app.http(method, path)
        assert (answer.status, answer.body) == (404, b"No matching routes found")


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({}, "http"),
        ({"X-Forwarded-Proto": "https"}, "https"),
        ({"X-Forwarded-Proto": "https, http"}, "https"),
        ({"Forwarded": "for=192.0.2.60;proto=https;by=203.0.113.43"}, "https"),
        ({"Forwarded": 'for=1.2.3.4; proto="https"'}, "https"),
        ({"Forwarded": "for=1.2.3.4"}, "http"),
        ({"X-Forwarded-Proto": "javascript"}, "http"),
    ],
)
def test_the_url_is_the_callers_own(
    headers: dict[str, str], scheme: str, app: EmbeddedDeployment
) -> None:
    seen = told(app, "GET", "/a/%7Ex?y=z", headers={"Host": "own.example:88", **headers})
    assert seen["url"] == f"{scheme}://own.example:88/a/%7Ex?y=z"


def test_a_convex_error_carries_its_data(app: EmbeddedDeployment) -> None:
    answer = app.http("GET", "/throws")
    error = json.loads(answer.body)
    assert (answer.status, error["data"]) == (500, {"code": 7})
    assert error["code"].startswith("[Request ID: ")
    assert error["trace"].startswith('Uncaught ConvexError: {"code":7}\n    at')


def test_who_may_read_an_answer_is_the_actions_to_say(app: EmbeddedDeployment) -> None:
    def allowed(answer: Any) -> dict[str, str]:
        return {
            name.lower(): value
            for name, value in answer.headers
            if name.lower().startswith("access-control-")
        }

    for path in ("/any", "/throws", "/nowhere"):
        assert allowed(app.http("GET", path)) == {}, "browsers are not let in by the server"
    assert allowed(app.http("GET", "/open")) == {"access-control-allow-origin": "https://a.example"}
    preflight = app.http("OPTIONS", "/open", {"Origin": "https://b.example"})
    assert (preflight.status, allowed(preflight)) == (
        204,
        {
            "access-control-allow-origin": "https://b.example",
            "access-control-allow-methods": "GET",
        },
    )
    assert app.http("OPTIONS", "/a/x").status == 404, "nobody has allowed it"
    own = Client(app.url, app.admin_key).send("GET", "/version", {}, None)
    assert allowed(own) == {"access-control-allow-origin": "*"}


def component(name: str, *children: str, routes: str = "") -> dict[str, str]:
    """A component's files; its children are mounted below their names."""
    lines = ['import { defineComponent } from "convex/server";']
    lines += [f'import {child} from "../{child}/convex.config";' for child in children]
    lines.append(f'const component = defineComponent("{name}");')
    lines += [f'component.use({child}, {{ httpPrefix: "/{child}/" }});' for child in children]
    files = {
        f"convex/{name}/convex.config.ts": "\n".join([*lines, "export default component;", ""]),
        f"convex/{name}/data.ts": (
            'import { queryGeneric } from "convex/server";\nexport const where = queryGeneric({ '
            f'args: {{}}, handler: async () => "data of {name}" }});\n'
        ),
    }
    if routes:
        files[f"convex/{name}/http.ts"] = f"{ROUTES}{routes}\nexport default http;\n"
    return files


OWN_DATA = """http.route({ path: "/data", method: "GET", handler: httpAction(async (ctx, request) =>
  new Response(await ctx.runQuery("data:where" as any, {}) + " at " + request.url)) });"""


def test_routes_of_components_are_served_where_they_are_mounted(
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    files = {
        "convex/convex.config.ts": (
            'import { defineApp } from "convex/server";\n'
            'import child from "./child/convex.config";\n'
            'import through from "./through/convex.config";\nconst app = defineApp();\n'
            'app.use(child, { httpPrefix: "/c/" });\n'
            'app.use(child, { name: "again", httpPrefix: "/other" });\n'
            'app.use(through, { httpPrefix: "/through/" });\nexport default app;\n'
        ),
        "convex/http.ts": f"""{ROUTES}
http.route({{ pathPrefix: "/", method: "GET", handler: tell("app") }});
http.route({{ path: "/c/exact", method: "GET", handler: tell("app's own") }});
export default http;
""",
        **component("child", "grand", routes=OWN_DATA),
        **component("grand", routes=OWN_DATA),
        **component("through", "grand"),
    }
    result = push_project(make_project(files))
    assert result.findings == (), result.output
    site = deployment.site_url

    def body(path: str) -> str:
        answer = deployment.http("GET", path)
        return f"{answer.status} {answer.body.decode()}"

    for path, owner in {
        "/c/data": "child",
        "/other/data?x=1": "child",
        "/c/grand/data": "grand",
        "/other/grand/data": "grand",
        "/through/grand/data": "grand",
    }.items():
        assert body(path) == f"200 data of {owner} at {site}{path}"
    for path in ("/c/nothing", "/c/grand/nothing", "/through/nothing", "/c/grand"):
        assert body(path) == "404 No matching routes found"
    assert told(deployment, "GET", "/else")["name"] == "app"
    assert told(deployment, "GET", "/c/exact")["name"] == "app's own"


def test_an_app_without_routes_can_have_those_of_a_component_and_a_prefix(
    make_project: MakeProject,
    push_project: PushProject,
    deployment: EmbeddedDeployment,
) -> None:
    config = (
        'import { defineApp } from "convex/server";\nimport child from "./child/convex.config";\n'
        "const app = defineApp();\n"
        'app.use(child, { httpPrefix: "/c/" });\nexport default app;\n'
    )
    files = {"convex/convex.config.ts": config, **component("child", routes=OWN_DATA)}
    project = make_project(files)
    assert push_project(project).findings == ()
    assert deployment.http("GET", "/c/data").status == 200
    answer = deployment.http("GET", "/data")
    assert (answer.status, answer.body) == (404, b"No matching routes found")

    prefixed = config.replace("defineApp()", 'defineApp({ httpPrefix: "/api" })')
    (project / "convex/convex.config.ts").write_text(prefixed)
    (project / "convex/http.ts").write_text(APP)
    assert push_project(project).findings == ()
    assert told(deployment, "GET", "/api/any")["url"] == f"{deployment.site_url}/api/any"
    assert deployment.http("GET", "/any").status == 404
    assert deployment.http("GET", "/c/data").status == 200
