"""Which function a path, a reference or a handle stands for, with which variables it runs, and as
whom it is called."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

TREE = """
const targets = await load("running/targets");
const identity = await load("running/identity");
const f = (name, udfType, kind = "public") => ({ name, udfType, visibility: { kind } });
const definition = (modules, more = {}) => ({
  definition: { childComponents: [], ...more },
  functions: new Map(Object.entries(modules).map(([path, functions]) => [path, { functions }])),
});
const node = (componentPath, definitionPath, children = []) =>
  ({ componentPath, definitionPath, children });
const push = {
  modules: new Map([["a.js", { environment: "isolate" }], ["n.js", { environment: "node" }]]),
  definitions: new Map([
    ["first", definition({ "a.js": [f("own", "Query")] }, { childComponents: [
      { name: "deep", path: "second", env: [["D", { type: "envVar", name: "C" }]] }] })],
    ["", definition({
      "a.js": [f("q", "Query"), f("m", "Mutation"), f("default", "Query")],
      "lib/b.js": [f("act", "Action")], "n.js": [f("act", "Action")],
    }, { childComponents: [
      { name: "one", path: "first",
        env: [["C", { type: "envVar", name: "A" }], ["E", { type: "value", value: "fixed" }],
          ["N", { type: "envVar", name: "NONE" }]] },
      { name: "two", path: "second", env: [] }] })],
    ["second", definition({ "n.js": [f("own", "Mutation", "internal")] })],
  ]),
  tree: node("", "", [
    ["one", node("one", "first", [["deep", node("one/deep", "second")]])],
    ["two", node("two", "second")],
  ]),
};
const attempt = (work) => {
  try {
    return work();
  } catch (error) {
    return [error.constructor.name, error.message];
  }
};
"""


@pytest.mark.parametrize(
    ("path", "module", "name", "shown"),
    [
        ("a:q", "a.js", "q", "a:q"),
        ("a.js:q", "a.js", "q", "a:q"),
        ("a", "a.js", "default", "a:default"),
        ("lib/b:act", "lib/b.js", "act", "lib/b:act"),
    ],
)
def test_a_path_has_a_module_and_a_name(
    path: str, module: str, name: str, shown: str, in_server: InServer
) -> None:
    found = in_server(
        f"""{TREE} const parsed = targets.parsePath(args.path);
        return [parsed, targets.canonical(parsed), targets.display(parsed)];""",
        path=path,
    )
    assert found == [{"module": module, "name": name}, f"{module}:{name}", shown]


@pytest.mark.parametrize("path", ["a:b:c", "", ":q"])
def test_what_is_no_path_is_refused(path: str, in_server: InServer) -> None:
    found = in_server(f"{TREE} return attempt(() => targets.parsePath(args.path));", path=path)
    assert found == ["BadRequest", f"{json.dumps(path)} is no function's path"]


@pytest.mark.parametrize(
    ("component", "path", "found"),
    [
        ("", "a:q", ["", "a.js", "q", "query", False]),
        ("", "a", ["", "a.js", "default", "query", False]),
        ("", "lib/b:act", ["", "lib/b.js", "act", "action", False]),
        ("", "n:act", ["", "n.js", "act", "action", True]),
        ("one", "a:own", ["first", "a.js", "own", "query", False]),
        # A component's modules have nothing to do with the app's of the same path.
        ("two", "n:own", ["second", "n.js", "own", "mutation", False]),
        ("one/deep", "n:own", ["second", "n.js", "own", "mutation", False]),
        ("", "a:none", None),
        ("", "b:act", None),
        ("one", "a:q", None),
        ("deep", "n:own", None),
    ],
)
def test_a_function_is_found_in_its_component(
    component: str, path: str, found: Any, in_server: InServer
) -> None:
    told = in_server(
        f"""{TREE} const target = targets.findTarget(push, args.component, args.path);
        if (target === null) return null;
        const {{ definitionPath, module, name, kind, component }} = target;
        return [component === args.component, definitionPath, module, name, kind, target.node];""",
        component=component,
        path=path,
    )
    assert told == (None if found is None else [True, *found])


def test_nothing_is_found_where_nothing_was_pushed(in_server: InServer) -> None:
    found = in_server(
        f"""{TREE} return [targets.findTarget(null, "", "a:q"), targets.definitionOf(null, "")];"""
    )
    assert found == [None, None]


def test_definitions_are_numbered_without_the_app(in_server: InServer) -> None:
    found = in_server(
        f"""{TREE} return ["first", "second", "none"].map((path) =>
          targets.definitionIndex(push, path));"""
    )
    assert found == [1, 2, 0]


@pytest.mark.parametrize(
    ("component", "address", "found"),
    [
        ("one", {"name": "a:own"}, {"component": "one", "path": "a:own"}),
        (
            "one",
            {"reference": "_reference/function/lib/b.js:act"},
            {"component": "one", "path": "lib/b.js:act"},
        ),
        (
            "",
            {"reference": "_reference/childComponent/one/lib/a/own"},
            {"component": "one", "path": "lib/a:own"},
        ),
        (
            "one",
            {"reference": "_reference/childComponent/deep/n/own"},
            {"component": "one/deep", "path": "n:own"},
        ),
        (
            "two",
            {"functionHandle": "function://one/deep;n.js:own"},
            {"component": "one/deep", "path": "n.js:own", "byHandle": True},
        ),
        (
            "two",
            {"functionHandle": "function://;a.js:q"},
            {"component": "", "path": "a.js:q", "byHandle": True},
        ),
    ],
)
def test_an_address_is_seen_from_who_names_it(
    component: str, address: Any, found: Any, in_server: InServer
) -> None:
    told = in_server(
        f"{TREE} return targets.resolveAddress(push, args.component, args.address);",
        component=component,
        address=address,
    )
    assert told == found


@pytest.mark.parametrize(
    ("component", "address", "why"),
    [
        ("", {"functionHandle": "nothing"}, "Invalid function handle: nothing"),
        ("", {"functionHandle": "function://a"}, "Invalid function handle: function://a"),
        ("", {}, "Invalid function reference: null"),
        ("", {"reference": "x/function/a:q"}, 'Invalid function reference: "x/function/a:q"'),
        ("", {"reference": "_reference/x/a"}, 'Invalid function reference: "_reference/x/a"'),
        (
            *("", {"reference": "_reference/childComponent/deep/n/own"}),
            "Component deep is not installed.",
        ),
        (
            *("two", {"reference": "_reference/childComponent/one/a/own"}),
            "Component one is not installed.",
        ),
    ],
)
def test_an_address_of_nothing_is_refused(
    component: str, address: Any, why: str, in_server: InServer
) -> None:
    told = in_server(
        f"""{TREE} return attempt(() =>
          targets.resolveAddress(push, args.component, args.address));""",
        component=component,
        address=address,
    )
    assert told == ["UserError", why]


@pytest.mark.parametrize(
    ("component", "own"),
    [
        ("", {"A": "a", "B": "b"}),
        ("one", {"C": "a", "E": "fixed"}),
        ("one/deep", {"D": "a"}),
        ("two", {}),
    ],
)
def test_a_component_sees_what_it_is_given(
    component: str, own: dict[str, str], in_server: InServer
) -> None:
    found = in_server(
        f"""{TREE} const {{ environmentOf }} = await load("running/environment");
        const services = {{ urls: {{ cloud: "c", site: "s" }}, variables: () => args.variables }};
        return environmentOf(services, push, args.component);""",
        component=component,
        variables={"A": "a", "B": "b"},
    )
    assert found == {"CONVEX_CLOUD_URL": "c", "CONVEX_SITE_URL": "s", **own}


def test_only_the_app_can_have_other_urls(in_server: InServer) -> None:
    found = in_server(
        f"""{TREE} const {{ environmentOf }} = await load("running/environment");
        const variables = () => ({{ CONVEX_SITE_URL: "mine" }});
        const services = {{ urls: {{ cloud: "c", site: "s" }}, variables }};
        return ["", "two"].map((each) => environmentOf(services, push, each).CONVEX_SITE_URL);"""
    )
    assert found == ["mine", "s"]


@pytest.mark.parametrize(
    ("given", "user"),
    [
        ({"subject": "ada"}, {"tokenIdentifier": "|ada", "subject": "ada"}),
        (
            {"subject": "a", "issuer": "https://i", "role": 1},
            {"tokenIdentifier": "https://i|a", "subject": "a", "issuer": "https://i", "role": 1},
        ),
        ({}, {"tokenIdentifier": "|"}),
        ({"tokenIdentifier": "mine"}, {"tokenIdentifier": "mine"}),
    ],
)
def test_an_identity_has_an_identifier(given: Any, user: Any, in_server: InServer) -> None:
    key = "Convex name|key:" + base64.b64encode(json.dumps(given).encode()).decode()
    found = in_server(
        f"{TREE} return [identity.asUser(args.given), identity.actingAs(args.key)];",
        given=given,
        key=key,
    )
    assert found == [user, user]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Convex name|key", None),
        ("Convex name|key:", "The identity that the key is to act as can't be read."),
        ("Convex name|key:e30=", {"tokenIdentifier": "|"}),
        ("Convex name|key:bm8=", "The identity that the key is to act as can't be read."),
        ("Convex name|key:W10=", "an identity must be an object"),
        ("Convex name|key:bnVsbA==", "an identity must be an object"),
    ],
)
def test_a_key_acts_as_whom_it_names(header: str, found: Any, in_server: InServer) -> None:
    told = in_server(f"{TREE} return attempt(() => identity.actingAs(args.header));", header=header)
    assert told == (["BadRequest", found] if isinstance(found, str) else found)


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("1.2.3.4", "1.2.3.4"),
        ("::1", "::1"),
        ("::ffff:a", "::ffff:a"),
    ],
)
def test_a_request_comes_from_an_address(address: str, ip: str, in_server: InServer) -> None:
    found = in_server(
        f"""{TREE} const from = (socket, headers) => identity.originOf({{ socket, headers }});
        const known = from({{ remoteAddress: args.address }}, {{ "user-agent": "me" }});
        return [known, from({{}}, {{}})];
        """,
        address=address,
    )
    assert found == [{"ip": ip, "userAgent": "me"}, {"ip": None, "userAgent": None}]
