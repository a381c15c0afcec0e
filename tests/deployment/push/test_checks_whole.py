"""The push as a whole: its size, what it may name, and which of several checks is told."""

from __future__ import annotations

import base64
import json
import random
import re
import socket
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import SERVER, EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOverHttp
from tests.deployment.push.rows import PLAIN
from tests.patience import HANG_SECONDS


def test_node_18_and_external_packages_are_not_taken(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    request = bundle({"convex/a.ts": "export const x = 1;\n"})

    answer = push_over_http({**request, "nodeVersion": "18"})
    assert answer.body == {
        "code": "NodeVersionNotSupported",
        "message": f"{PLAIN}Node 18 is no longer supported. Upgrade to a newer Node version "
        "(https://docs.convex.dev/production/project-configuration"
        "#configuring-the-nodejs-version).",
    }

    external = [{"name": "sharp", "version": "1.0.0"}]
    answer = push_over_http({**request, "nodeDependencies": external})
    assert answer.body == {
        "code": "UnsupportedByEmbeddedDeployment",
        "message": "convex.json declares external packages (sharp), which this deployment, without "
        "a network, does not install.",
    }
    assert deployment.last_push().status == "failed", "not the code's fault"


def test_too_many_modules_are_refused(bundle: Bundle, push_over_http: PushOverHttp) -> None:
    request = bundle({"convex/a.ts": "export const x = 1;\n"})
    (module,) = request["appDefinition"]["changedModules"]
    copies = [{**module, "path": f"m{i}.js"} for i in range(4097)]
    request["appDefinition"]["changedModules"] = copies
    answer = push_over_http(request)
    assert (answer.status, answer.body["code"]) == (400, "InvalidModules")
    assert answer.body["message"] == (
        f'{PLAIN}Too many function files (4097 > maximum 4096) in "convex/". See our docs '
        "(https://docs.convex.dev/using/writing-convex-functions#using-libraries) for more details."
    )
    # What modules share is not counted.
    request["appDefinition"]["changedModules"] = [
        *copies[:4096],
        {**module, "path": "_deps/SHARED.js"},
    ]
    answer = push_over_http(request)
    assert answer.status == 200, answer.body


class Sizes(Protocol):
    def __call__(self, modules: list[tuple[int, int]], *limits: int) -> Any: ...


@pytest.fixture
def sizes(node: Path) -> Sizes:
    """What the check of a push's size says to modules of one letter each: lengths of their sources
    and of their maps."""

    def check(modules: list[tuple[int, int]], *limits: int) -> Any:
        folder = SERVER.parent
        script = (
            f"import {{ checkSizes }} from {json.dumps((folder / 'push/modules.ts').as_uri())};"
            f"const [modules, limits] = {json.dumps([modules, limits])};"
            "const given = modules.map(([source, map], i) => ({ path: `m${i}.js`, "
            "source: 'x'.repeat(source), ...(map && { sourceMap: 'x'.repeat(map) }) }));"
            "const [unzipped, zipped] = limits;"
            "const told = await checkSizes(given, ...(limits.length ? [{ unzipped, zipped }] : []))"
            ".then(() => null, (error) => [error.code, error.message]);"
            "console.log(JSON.stringify(told));"
        )
        done = processes.run(
            [node, "--input-type=module", "-e", script],
            cwd=folder,
            env=processes.environment(home=folder),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )
        assert done.ok, done.stderr
        return json.loads(done.stdout)

    return check


def test_modules_together_have_a_largest_size(sizes: Sizes) -> None:
    assert sizes([(400, 300), (300, 0)], 1000, 1000) is None
    assert sizes([(400, 300), (301, 0)], 1000, 1000) == [
        "ModulesTooLarge",
        "Total module size exceeded the unzipped maximum (1001 B > maximum size 1000 B)",
    ]
    # A thousand of one letter are 11 bytes when they are packed.
    assert sizes([(1000, 1000)], 5000, 22) is None
    assert sizes([(1000, 1000)], 5000, 21) == [
        "ModulesTooLarge",
        "Total module size exceeded the zipped maximum (22 B > maximum size 21 B)",
    ]
    assert sizes([(230_000_000, 0)]) is None
    assert sizes([(230_000_000, 1)]) == [
        "ModulesTooLarge",
        "Total module size exceeded the unzipped maximum (219.35 MiB > maximum size 219.35 MiB)",
    ]


def test_a_push_that_is_too_large_when_it_is_packed_is_refused_before_it_is_evaluated(
    bundle: Bundle, push_over_http: PushOverHttp, deployment: EmbeddedDeployment
) -> None:
    request = bundle({"convex/a.ts": 'export const x = 1;\nthrow new Error("evaluated");\n'})
    (module,) = request["appDefinition"]["changedModules"]
    # Letters of 6 bits, in bytes of 8.
    module["sourceMap"] = base64.b64encode(random.Random(1).randbytes(91_000_000)).decode()
    answer = push_over_http(request)
    assert (answer.status, answer.body["code"]) == (400, "ModulesTooLarge")
    assert re.fullmatch(
        re.escape(f"{PLAIN}Total module size exceeded the zipped maximum (")
        + r"8\d\.\d+ MiB > maximum size 85\.83 MiB\)",
        answer.body["message"],
    )
    assert deployment.last_push().status == "refused"


def test_a_push_has_a_largest_size(deployment: EmbeddedDeployment) -> None:
    size = 200 * 1024**2 + 1
    parts = urlsplit(deployment.url)
    head = (
        "POST /api/deploy2/start_push HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Convex {deployment.admin_key}\r\nContent-Length: {size}\r\n\r\n"
    )
    chunk = bytes(1024**2)
    with socket.create_connection((parts.hostname, parts.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(head.encode())
        for _ in range(size // len(chunk)):
            connection.sendall(chunk)
        connection.sendall(b"0")
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")
    assert deployment.alive()


def test_a_node_module_of_a_component_is_refused(
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    # Not with the CLI, which refuses it first.
    request = bundle({"convex/a.ts": "export const x = 1;\n"})
    source = {"source": "export {};", "environment": "isolate"}
    request["componentDefinitions"] = [
        {
            "definitionPath": "mine",
            "definition": {"path": "convex.config.js", **source},
            "dependencies": [],
            "schema": None,
            "functions": [{"path": "work.js", **source, "environment": "node"}],
            "udfServerVersion": "1.48.0",
        }
    ]
    answer = push_over_http(request)
    assert answer.body == {
        "code": "NodeActionsNotSupported",
        "message": f"{PLAIN}Node actions are not supported in components. Remove "
        '`"use node;"` from work.js',
    }
    assert deployment.last_push().component == "mine"


def test_a_component_that_uses_itself_is_refused(
    bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    # Not with the CLI, whose bundler would have to follow the imports.
    request = bundle({"convex/a.ts": "export const x = 1;\n"})

    def component(path: str, *dependencies: str) -> dict[str, Any]:
        definition = {"path": "convex.config.js", "source": "", "environment": "isolate"}
        return {
            "definitionPath": path,
            "definition": definition,
            "dependencies": [*dependencies],
            "schema": None,
            "functions": [],
            "udfServerVersion": "1.48.0",
        }

    for cycle in (
        [component("mine", "mine")],
        [component("mine", "other"), component("other", "mine")],
    ):
        request["componentDefinitions"] = cycle
        answer = push_over_http(request)
        assert answer.body == {
            "code": "TypecheckError",
            "message": f"{PLAIN}Component mine uses itself",
        }


@pytest.mark.parametrize("specifier", ["./_deps/OTHER.js", "fs", "node:fs", "convex/server"])
def test_a_schema_can_import_nothing_that_is_not_bundled_with_it(
    specifier: str, bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    text = (
        'import { defineSchema } from "convex/server";\nexport const x = 1;\n'
        "export default defineSchema({});\n"
    )
    request = bundle({"convex/schema.ts": text, "convex/a.ts": "export const x = 1;\n"})
    assert push_over_http(request).status == 200
    schema = request["appDefinition"]["schema"]
    schema["source"] = f'import "{specifier}";\n{schema["source"]}'
    answer = push_over_http(request)
    assert (answer.status, answer.body["code"]) == (400, "InvalidSchema")
    assert specifier.rpartition("./")[2] in answer.body["message"]


ORDER = {
    "convex/my-file.ts": ("export const x = 1;\n", "BadConvexModuleIdentifier"),
    "convex/a.ts": ('export const x = 1;\nthrow new Error("boom");\n', "InvalidModules"),
    "convex/crons.ts": (
        'import { cronJobs } from "convex/server";\nconst crons = cronJobs();\n'
        'crons.interval("x", { seconds: 1 }, "nope:f" as any);\nexport default crons;\n',
        "InvalidModules",
    ),
    "convex/auth.config.ts": ("export default {};\n", "AuthConfigNotMatchingSchemaError"),
    "convex/schema.ts": ("export const x = 1;\n", "MissingSchemaExportError"),
}


def test_the_first_of_several_checks_is_told(bundle: Bundle, push_over_http: PushOverHttp) -> None:
    remaining = dict(ORDER)
    while remaining:
        files = {path: text for path, (text, _) in remaining.items()}
        answer = push_over_http(bundle(files, name=f"project{len(remaining)}"))
        path = next(iter(remaining))
        assert answer.body["code"] == remaining.pop(path)[1]
