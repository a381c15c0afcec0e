"""Requests to push, in the forms of every CLI, and what is none."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.deployment.server_modules import InServer

PARSE = """
const { parsePush } = await load("push/push_request");
try {
  return parsePush(args.body);
} catch (error) {
  return [error.status, error.code, error.message];
}
"""
MODULE = {"path": "a.js", "source": "1", "sourceMap": "m", "environment": "isolate"}
COMPONENT = {
    "definitionPath": "c",
    "definition": {**MODULE, "path": "convex.config.js"},
    "dependencies": ["d"],
    "schema": {**MODULE, "path": "schema.js"},
    "functions": [MODULE],
    "udfServerVersion": "1.40.0",
}
BODY: dict[str, Any] = {
    "adminKey": "k",
    "dryRun": True,
    "functions": "src/convex/",
    "appDefinition": {
        "definition": {**MODULE, "path": "convex.config.js"},
        "dependencies": ["c"],
        "schema": {**MODULE, "path": "schema.js"},
        "changedModules": [MODULE, {**MODULE, "path": "n.js", "environment": "node"}],
        "unchangedModuleHashes": [
            {"path": "u.js", "environment": "node", "sha256": "0"},
            {"path": "w.js", "environment": "isolate", "sha256": "1"},
        ],
        "udfServerVersion": "1.48.0",
    },
    "componentDefinitions": [COMPONENT],
    "nodeDependencies": [{"name": "sharp", "version": "1.2.3", "more": 1}],
    "nodeVersion": "22",
}


def test_a_request_with_everything_is_read(in_server: InServer) -> None:
    app = BODY["appDefinition"]
    assert in_server(PARSE, body=BODY) == {
        "dryRun": True,
        "functions": "src/convex/",
        "app": {
            **{name: app[name] for name in ("definition", "dependencies", "schema")},
            **{name: app[name] for name in ("changedModules", "udfServerVersion")},
            "unchangedModules": app["unchangedModuleHashes"],
        },
        "components": [COMPONENT],
        "nodeDependencies": [{"name": "sharp", "version": "1.2.3"}],
        "nodeVersion": "22",
    }


def test_a_request_with_the_least_is_read(in_server: InServer) -> None:
    body = {"appDefinition": {"functions": [MODULE], "udfServerVersion": "1.28.0"}}
    assert in_server(PARSE, body=body) == {
        "dryRun": False,
        "functions": "convex/",
        "app": {
            "definition": None,
            "dependencies": [],
            "schema": None,
            "changedModules": [MODULE],
            "unchangedModules": [],
            "udfServerVersion": "1.28.0",
        },
        "components": [],
        "nodeDependencies": [],
        "nodeVersion": None,
    }


def test_a_module_can_come_without_a_source_map(in_server: InServer) -> None:
    plain = {name: value for name, value in MODULE.items() if name != "sourceMap"}
    for given in (plain, {**plain, "sourceMap": None}):
        body = {"appDefinition": {"changedModules": [given], "udfServerVersion": "1"}}
        assert in_server(PARSE, body=body)["app"]["changedModules"] == [plain]


def edited(path: str, value: Any) -> Any:
    """The body with another value at a path of keys and indexes."""
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]

    def change(node: Any, rest: list[Any]) -> Any:
        if not rest:
            return value
        copy = list(node) if isinstance(node, list) else dict(node)
        copy[rest[0]] = change(node[rest[0]], rest[1:])
        return copy

    return change(BODY, keys)


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("appDefinition", None, "appDefinition must be an object"),
        ("appDefinition", [], "appDefinition must be an object"),
        ("functions", 1, "functions must be a string"),
        ("appDefinition.changedModules", {}, "changedModules must be a list"),
        ("appDefinition.changedModules.0", "x", "a module must be an object"),
        ("appDefinition.changedModules.0.path", None, "path must be a string"),
        ("appDefinition.changedModules.0.source", 3, "source must be a string"),
        ("appDefinition.changedModules.0.environment", "deno", "a module has no environment"),
        ("appDefinition.unchangedModuleHashes", "x", "unchangedModuleHashes must be a list"),
        ("appDefinition.unchangedModuleHashes.0", 1, "a module's hash must be an object"),
        ("appDefinition.unchangedModuleHashes.0.path", 1, "path must be a string"),
        ("appDefinition.unchangedModuleHashes.0.sha256", None, "sha256 must be a string"),
        ("appDefinition.udfServerVersion", None, "udfServerVersion must be a string"),
        ("appDefinition.dependencies", "c", "dependencies must be a list"),
        ("appDefinition.dependencies", [1], "a dependency must be a string"),
        ("appDefinition.schema", "x", "a module must be an object"),
        ("componentDefinitions", {}, "componentDefinitions must be a list"),
        ("componentDefinitions.0", 1, "a component's definition must be an object"),
        ("componentDefinitions.0.definitionPath", None, "definitionPath must be a string"),
        ("componentDefinitions.0.definition", None, "a module must be an object"),
        ("componentDefinitions.0.functions", "x", "functions must be a list"),
        ("componentDefinitions.0.udfServerVersion", 1, "udfServerVersion must be a string"),
        ("nodeDependencies", {}, "nodeDependencies must be a list"),
        ("nodeDependencies.0", 1, "nodeDependencies must be an object"),
        ("nodeDependencies.0.name", None, "name must be a string"),
        ("nodeDependencies.0.version", 1, "version must be a string"),
        ("nodeVersion", 22, "nodeVersion must be a string"),
    ],
)
def test_what_is_no_request_is_told_why(
    path: str, value: Any, why: str, in_server: InServer
) -> None:
    assert in_server(PARSE, body=edited(path, value)) == [400, "BadRequest", why]


@pytest.mark.parametrize(
    ("client", "taken"),
    [
        ("npm-cli-1.28.0", True),
        ("npm-cli-1.28.0-alpha.1", True),
        ("npm-cli-1.48.0", True),
        ("npm-cli-2.0.0", True),
        ("npm-cli-1.27.5", False),
        ("npm-cli-1.3.0", False),
        ("npm-cli-0.99.0", False),
        ("python-0.7.0", True),
        ("my-npm-cli-1.0.0", True),
        ("", True),
    ],
)
def test_clis_before_1_28_are_refused(client: str, taken: bool, in_server: InServer) -> None:
    found = in_server(
        """const { refuseOldCli } = await load("push/push_request");
        try { refuseOldCli(args.client); return null; }
        catch (error) { return [error.status, error.code, error.message]; }""",
        client=client,
    )
    told = "This deployment takes pushes from version 1.28.0 of the `convex` package and newer. "
    told += "Update it in package.json."
    assert found == (None if taken else [400, "UnsupportedConvexVersion", told])


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ([], "`shine`"),
        (["appDefinition"], "`appDefinition.shine`"),
        (["appDefinition", "changedModules", 0], "`a module's shine`"),
        (["appDefinition", "schema"], "`a module's shine`"),
        (["componentDefinitions", 0], "`a component's shine`"),
    ],
)
def test_a_field_of_a_newer_cli_is_refused_where_it_says_something(
    place: list[Any], told: str, in_server: InServer
) -> None:
    def with_field(value: object) -> Any:
        body = copy.deepcopy(BODY)
        inner: Any = body
        for key in place:
            inner = inner[key]
        inner["shine"] = value
        return in_server(PARSE, body=body)

    message = f"The push field {told} is not known to this deployment."
    saying: list[object] = [True, 1, "x", ["x"], {"x": None}]
    silent: list[object] = [None, False, "", [], {}]
    for value in saying:
        assert with_field(value) == [400, "UnsupportedByEmbeddedDeployment", message]
    for value in silent:
        assert with_field(value)["functions"] == "src/convex/"
