"""Components: their order, their definitions, and the tree that their uses make."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

CATCHING = """
const definitions = await load("push/definitions");
const attempt = (work) => {
  try {
    return work();
  } catch (error) {
    return [error.code, error.message, error.where?.component ?? null];
  }
};
"""
ORDER = f"""{CATCHING}
const components = Object.entries(args.uses).map(([definitionPath, dependencies]) =>
  ({{ definitionPath, dependencies }}));
return attempt(() => definitions.inDependencyOrder(components).map((each) => each.definitionPath));
"""


@pytest.mark.parametrize(
    ("uses", "order"),
    [
        ({}, []),
        ({"a": [], "b": []}, ["a", "b"]),
        ({"a": ["b"], "b": ["c"], "c": []}, ["c", "b", "a"]),
        ({"a": ["c"], "b": ["c"], "c": []}, ["c", "a", "b"]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, ["d", "b", "c", "a"]),
        ({"a": ["elsewhere"]}, ["a"]),
        ({"a": ["a"]}, ["TypecheckError", "Component a uses itself", None]),
        ({"x": [], "a": ["b"], "b": ["a"]}, ["TypecheckError", "Component a uses itself", None]),
    ],
)
def test_each_component_comes_after_those_that_it_uses(
    uses: dict[str, list[str]], order: list[str], in_server: InServer
) -> None:
    assert in_server(ORDER, uses=uses) == order


CHECK = f"""{CATCHING}
const {{ path, value }} = args;
const module = {{ path: "convex.config.js", source: "", environment: "isolate" }};
return attempt(() => definitions.checkDefinition({{ kind: "definition", ...value }}, path, module));
"""
APP = {"definitionType": {"type": "app"}}
COMPONENT = {"definitionType": {"type": "childComponent"}, "name": "mine"}
PLAIN: dict[str, Any] = {
    "childComponents": [],
    "envVars": [],
    "httpMounts": {},
    "httpPrefix": None,
    "exports": {"type": "branch", "branch": []},
}


def check(in_server: InServer, path: str, exported: Any) -> Any:
    value = {"json": None if exported is None else json.dumps(exported), "problem": None}
    return in_server(CHECK, path=path, value=value)


def test_definitions_are_read(in_server: InServer) -> None:
    assert check(in_server, "", APP) == {**PLAIN, "path": "", "name": None}
    assert check(in_server, "c", COMPONENT) == {**PLAIN, "path": "c", "name": "mine"}
    env = [["A", {"type": "value", "value": '{"type":"string"}', "optional": True}]]
    bound = [["B", {"type": "envVar", "name": "A"}]]
    full = {
        "httpPrefix": "/api",
        "httpMounts": {"/c/": "_reference/childComponent/one"},
        "envVars": env,
        "exports": {"type": "branch", "branch": [["a", {"type": "leaf"}]]},
    }
    children = [
        {"name": "one", "path": "c", "args": [], "env": bound},
        {"name": "two", "path": "d"},
    ]
    assert check(in_server, "", {**APP, **full, "childComponents": children}) == {
        **full,
        "path": "",
        "name": None,
        "childComponents": [
            {"name": "one", "path": "c", "env": bound},
            {"name": "two", "path": "d", "env": []},
        ],
    }


def declaring(validator: Any) -> dict[str, Any]:
    return {**APP, "envVars": [["A", {"type": "value", "value": json.dumps(validator)}]]}


STRING = {"type": "string"}
WRONG_VALIDATOR = (
    "Env var `A` on the app has a non-string validator. Component env vars must be declared with "
    '`v.string()`, `v.literal("...")`, or a union of those.'
)


@pytest.mark.parametrize(
    ("path", "exported", "code", "message"),
    [
        (
            *("", COMPONENT, "InvalidDefinition"),
            "The convex.config file of the app must export a definition made by defineApp()",
        ),
        (
            *("c", APP, "InvalidDefinition"),
            "The convex.config file of component c must export a definition made by "
            "defineComponent()",
        ),
        ("", declaring({"type": "number"}), "InvalidEnvVarDeclaration", WRONG_VALIDATOR),
        (
            *("", declaring({"type": "union", "value": [STRING, {"type": "null"}]})),
            *("InvalidEnvVarDeclaration", WRONG_VALIDATOR),
        ),
        (
            *("", {**APP, "childComponents": [{"name": "a-b", "path": "c"}]}, "TypecheckError"),
            'Invalid component name "a-b" in the app',
        ),
        (
            *("c", {**COMPONENT, "childComponents": [{"name": "a", "path": "d"}] * 2}),
            *("TypecheckError", "Duplicate child component name a in component c"),
        ),
    ],
)
def test_definitions_that_are_wrong_are_refused(
    path: str, exported: Any, code: str, message: str, in_server: InServer
) -> None:
    assert check(in_server, path, exported) == [code, message, path or ""]


@pytest.mark.parametrize(
    ("problem", "what"),
    [
        ("missing", "is missing a default export"),
        ("not a definition", "has a default export that is no definition"),
    ],
)
def test_a_definition_must_be_there(problem: str, what: str, in_server: InServer) -> None:
    value = {"json": None, "problem": problem}
    for path, owner in (("", "the app"), ("c", "component c")):
        message = f"The convex.config file of {owner} {what}"
        assert in_server(CHECK, path=path, value=value) == ["InvalidDefinition", message, path]


@pytest.mark.parametrize(
    "validator",
    [
        STRING,
        {"type": "id", "tableName": "t"},
        {"type": "literal", "value": "x"},
        {"type": "union", "value": [STRING, {"type": "literal", "value": "x"}]},
    ],
)
def test_variables_are_texts(validator: Any, in_server: InServer) -> None:
    assert check(in_server, "", declaring(validator))["envVars"][0][0] == "A"


TREE = f"""{CATCHING}
const evaluated = new Map(Object.entries(args.definitions).map(([path, given]) => {{
  const {{ routes, ...own }} = given;
  const definition = {{ path, name: path, httpPrefix: null, childComponents: [], httpMounts: {{}},
    exports: null, envVars: [], ...own }};
  const functions = new Map(routes === undefined ? [] : [["http.js", {{ httpRoutes: routes }}]]);
  return [path, {{ definition, functions }}];
}}));
return attempt(() => definitions.buildTree(evaluated));
"""


def child(name: str, path: str, *env: Any) -> dict[str, Any]:
    return {"name": name, "path": path, "env": list(env)}


def mounted(*names: str) -> dict[str, str]:
    return {f"/{name}/": f"_reference/childComponent/{name}" for name in names}


def test_a_tree_has_each_use_of_a_component(in_server: InServer) -> None:
    found = in_server(
        TREE,
        definitions={
            "": {"childComponents": [child("one", "c"), child("two", "c")]},
            "c": {"childComponents": [child("deep", "d")]},
            "d": {},
        },
    )

    def below(name: str) -> Any:
        deep = {"definitionPath": "d", "componentPath": f"{name}/deep", "children": []}
        own = {"definitionPath": "c", "componentPath": name, "children": [["deep", deep]]}
        return [name, own]

    children = [below("one"), below("two")]
    assert found == {"definitionPath": "", "componentPath": "", "children": children}


def test_components_are_mounted_where_they_have_routes_or_mounts(in_server: InServer) -> None:
    used = {"childComponents": [child("c", "c")], "httpMounts": mounted("c")}
    deep = {"childComponents": [child("d", "d")], "httpMounts": mounted("d")}
    for definitions in (
        {"": used, "c": {"routes": []}},
        {"": used, "c": deep, "d": {"routes": []}},
    ):
        assert in_server(TREE, definitions=definitions)["componentPath"] == ""


REQUIRED = ["A", {"type": "value", "value": '{"type":"string"}'}]
OPTIONAL = ["A", {"type": "value", "value": '{"type":"string"}', "optional": True}]


@pytest.mark.parametrize(
    ("app", "component", "why"),
    [
        ({"httpMounts": mounted("c")}, {}, "Component c is mounted at /c/ but has no HTTP routes"),
        (
            {"httpMounts": {"/x/": "_reference/childComponent/x"}},
            {"routes": []},
            "Component x is mounted at /x/ but has no HTTP routes",
        ),
        (
            {"httpMounts": {"/c/": "c", "/c/d/": "c"}},
            {"routes": []},
            "HTTP mounts /c/ and /c/d/ overlap",
        ),
        (
            {"childComponents": [child("c", "c", ["A", {"type": "value", "value": "x"}])]},
            {},
            "Component c: env var A is bound but not declared by the component",
        ),
        (
            {"childComponents": [child("c", "c", ["A", {"type": "envVar", "name": "B"}])]},
            {"envVars": [REQUIRED]},
            "Component c: env var A is bound to B, which its parent does not declare",
        ),
        ({}, {"envVars": [REQUIRED]}, "Component c: required env var A is not bound"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    app: Any, component: Any, why: str, in_server: InServer
) -> None:
    using = {"childComponents": [child("c", "c")], **app}
    found = in_server(TREE, definitions={"": using, "c": component})
    assert found == ["TypecheckError", why, ""]


def test_variables_are_bound_by_values_by_the_parents_own_or_not_at_all(
    in_server: InServer,
) -> None:
    named = ["B", {"type": "value", "value": '{"type":"string"}'}]
    for app, component in (
        ({"childComponents": [child("c", "c")]}, {"envVars": [OPTIONAL]}),
        (
            {"childComponents": [child("c", "c", ["A", {"type": "value", "value": "x"}])]},
            {"envVars": [REQUIRED]},
        ),
        (
            {
                "envVars": [named],
                "childComponents": [child("c", "c", ["A", {"type": "envVar", "name": "B"}])],
            },
            {"envVars": [REQUIRED]},
        ),
    ):
        found = in_server(TREE, definitions={"": app, "c": component})
        assert [name for name, _ in found["children"]] == ["c"]


def test_a_component_offers_its_public_functions_by_their_paths(in_server: InServer) -> None:
    found = in_server(
        f"""{CATCHING}
        const f = (name, kind) => ({{ name, visibility: kind === null ? null : {{ kind }} }});
        return definitions.functionExports(new Map([
          ["a.js", {{ functions: [f("one", "public"), f("hidden", "internal"), f("old", null)] }}],
          ["lib/b.js", {{ functions: [f("two", "public"), f("three", "public")] }}],
          ["lib/c.js", {{ functions: [f("four", "public")] }}],
          ["lib.js", {{ functions: [f("five", "public")] }}],
        ]));"""
    )

    def leaf(path: str) -> dict[str, str]:
        return {"type": "leaf", "leaf": f"_reference/function/{path}"}

    def branch(*children: Any) -> dict[str, Any]:
        return {"type": "branch", "branch": list(children)}

    assert found == branch(
        ["a", branch(["one", leaf("a.js:one")])],
        [
            "lib",
            branch(
                ["b", branch(["two", leaf("lib/b.js:two")], ["three", leaf("lib/b.js:three")])],
                ["c", branch(["four", leaf("lib/c.js:four")])],
                ["five", leaf("lib.js:five")],
            ),
        ],
    )
