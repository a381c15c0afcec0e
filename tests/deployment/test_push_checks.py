"""Modules and the push as a whole: one project a check of the backend, pushed with the real CLI."""

from __future__ import annotations

import base64
import json
import random
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import SERVER, EmbeddedDeployment
from pytest_convex_eval.deployment.model import Position
from tests.deployment.push_rows import PLAIN, Row, module

ROWS = [
    # Paths
    Row(
        "module path with a dash",
        {"convex/my-file.ts": "export const x = 1;\n"},
        "BadConvexModuleIdentifier",
        "my-file.js is not a valid path to a Convex module. Path component my-file.js can only "
        "contain alphanumeric characters, underscores, or periods.",
        Position("convex/my-file.ts", 1, 1),
        PLAIN,
    ),
    Row(
        "module path that is too long",
        {f"convex/{'x' * 62}.ts": "export const x = 1;\n"},
        "BadConvexModuleIdentifier",
        f"{'x' * 62}.js is not a valid path to a Convex module. Path component is too long "
        f"(65 > maximum 64): {'x' * 62}.js.",
        Position(f"convex/{'x' * 62}.ts", 1, 1),
        PLAIN,
    ),
    *(
        Row(
            f"folder {folder}",
            {f"convex/{folder}/a.ts": "export const x = 1;\n"},
            "BadConvexModuleIdentifier",
            f"{folder}/a.js is not a valid path to a Convex module. Path component {folder} {text}",
            Position(f"convex/{folder}/a.ts", 1, 1),
            PLAIN,
        )
        for folder, text in {
            "__": "must have at least one alphanumeric character.",
            "my-folder": "can only contain alphanumeric characters, underscores, or periods.",
        }.items()
    ),
    # Import
    module(
        "import that throws",
        'export const x = 1;\nthrow new Error("boom");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: boom\n    at <anonymous> (../convex/a.ts:2:7)",
        at=(2, 7),
    ),
    module(
        "import that throws in a function, after logging",
        'console.log("hi", { a: 1 });\nfunction deep(): never {\n'
        '  throw new TypeError("boom");\n}\n'
        "export const x = deep();\n",
        "InvalidModules",
        "Failed to analyze a.js: Uncaught TypeError: boom\n    at deep (../convex/a.ts:3:9)\n"
        "    at <anonymous> (../convex/a.ts:5:18)\n[LOG] 'hi' { a: 1 }",
        at=(3, 9),
    ),
    module(
        "import that throws after many lines in the log",
        "export const x = 1;\nfor (let i = 0; i < 150; i++) console.log(i);\n"
        'throw new Error("boom");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: boom\n    at <anonymous> (../convex/a.ts:3:7)\n"
        + "\n".join(f"[LOG] {i}" for i in range(50, 150)),
        at=(3, 7),
    ),
    module(
        "import that takes all memory",
        "export const a: any[] = [];\nfor (;;) a.push(new Array(1000).fill(1));\n",
        "InvalidModules",
        "Failed to analyze a.js: JavaScript execution ran out of memory (maximum memory usage: "
        "64 MB)",
        at=(1, 1),
    ),
    module(
        "key at import",
        'export const k = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, '
        'true, ["sign"]);\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: Cannot use cryptographic randomness at import "
        "time…",
        at=(1, 38),
    ),
    module(
        "fetch at import",
        'export const x = fetch("https://example.com");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: fetch() unsupported at import time…",
        at=(1, 18),
    ),
    module(
        "setTimeout at import",
        "setTimeout(() => {}, 1);\nexport const x = 1;\n",
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: setTimeout unsupported at import time…",
        at=(1, 1),
    ),
    module(
        "setInterval at import",
        "setInterval(() => {}, 1);\nexport const x = 1;\n",
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: setInterval unsupported at import time…",
        at=(1, 1),
    ),
    module(
        "database at import",
        'export const x = (globalThis as any).Convex.syscall("1.0/queryStream", "{}");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: Can't use database at import time…",
    ),
    module(
        "syscall at import",
        'export const x = (globalThis as any).Convex.syscall("1.0/storageGetUrl", "{}");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: Syscall 1.0/storageGetUrl unsupported at import "
        "time…",
    ),
    module(
        "top-level await that suspends",
        "await new Promise(() => {});\nexport const x = 1;\n",
        "InvalidModules",
        "Failed to analyze a.js: Top-level awaits in source files are unsupported",
        at=(1, 1),
    ),
    module(
        "undefined validator",
        'import { query } from "./_generated/server";\nimport { v } from "convex/values";\n'
        "const missing = (globalThis as any).nothing;\n"
        "export const f = query({ args: { x: missing }, handler: async () => 1 });\n"
        "export const g = v.object({ x: missing });\n",
        "InvalidModules",
        'Failed to analyze a.js: Uncaught Error: A validator is undefined for field "x" in '
        "v.object(). This is often caused by circular imports. See "
        "https://docs.convex.dev/error#undefined-validator for details.…",
    ),
    # Exports
    module(
        "function name that is no identifier",
        'import { query } from "./_generated/server";\n'
        "export const $f = query({ args: {}, handler: async () => 1 });\n",
        "InvalidFunctionName",
        "Invalid function name used in `a.js`: …",
        at=(2, 46),
    ),
    module(
        "function name of underscores",
        'import { query } from "./_generated/server";\n'
        "export const __ = query({ args: {}, handler: async () => 1 });\n",
        "InvalidFunctionName",
        "Invalid function name used in `a.js`: …",
    ),
    module(
        "function name that is too long",
        'import { query } from "./_generated/server";\n'
        f"export const {'f' * 65} = query({{ args: {{}}, handler: async () => 1 }});\n",
        "InvalidFunctionName",
        "Invalid function name used in `a.js`: Identifier is too long (65 > maximum 64): "
        + "f" * 65,
    ),
    module(
        "handler that is no function",
        'import { query } from "./_generated/server";\n'
        "export const f = query({ args: {}, handler: 3 as any });\n",
        "InvalidModules",
        "a.js:f.handler is not a function.",
    ),
    module(
        "exportArgs that is no function",
        "export const f = { isQuery: true, isPublic: true, exportArgs: 3, invokeQuery() {} };\n",
        "InvalidModules",
        "a.js:f.exportArgs is not a function or `undefined`.",
    ),
    module(
        "exportReturns that is no validator",
        "export const f = { isQuery: true, isPublic: true, exportReturns: () => '{}' };\n",
        "InvalidModules",
        "Invalid JSON returned from a.js:f.exportReturns(): …",
    ),
    module(
        "record with literal keys in arguments",
        'import { query } from "./_generated/server";\nimport { v } from "convex/values";\n'
        'const keys = v.union(v.literal("a"), v.literal("b")) as any;\n'
        "export const f = query({ args: { x: v.record(keys, v.string()) }, handler: async () => 1 "
        "});\n",
        "InvalidRecordType",
        "Invalid JSON returned from a.js:f.exportArgs(): Records cannot have string literal keys",
    ),
    module(
        "exportArgs that is no JSON",
        "export const f = { isQuery: true, isPublic: true, exportArgs: () => 'x' };\n",
        "InvalidModules",
        "Invalid JSON returned from a.js:f.exportArgs(): …",
    ),
    module(
        "exportReturns that is no function",
        "export const f = { isQuery: true, isPublic: true, exportReturns: 3 };\n",
        "InvalidModules",
        "a.js:f.exportReturns is not a function or `undefined`.",
    ),
    module(
        "record with number keys in arguments",
        'import { query } from "./_generated/server";\nimport { v } from "convex/values";\n'
        "export const f = query({ args: { x: v.record(v.number() as any, v.string()) }, "
        "handler: async () => 1 });\n",
        "InvalidRecordType",
        "Invalid JSON returned from a.js:f.exportArgs(): Records can only have string keys. Your "
        "validator contains a record with key typed as `v.float64()`, which is not a subtype of "
        "`v.string()`",
    ),
    module(
        "record with optional values in arguments",
        "const values = { fieldType: { type: 'string' }, optional: true };\n"
        "const record = { type: 'record', keys: { type: 'string' }, values };\n"
        "const value = { x: { fieldType: record, optional: false } };\n"
        "export const f = { isQuery: true, isPublic: true, "
        "exportArgs: () => JSON.stringify({ type: 'object', value }) };\n",
        "InvalidRecordType",
        "Invalid JSON returned from a.js:f.exportArgs(): Records cannot have optional values",
    ),
    module(
        "literal that is not finite",
        'import { query } from "./_generated/server";\nimport { v } from "convex/values";\n'
        "export const f = query({ args: { x: v.literal(Infinity) }, handler: async () => 1 });\n",
        "InvalidModules",
        "Invalid JSON returned from a.js:f.exportArgs(): …",
    ),
    # "use node"
    module(
        "mutation in a Node module",
        '"use node";\nimport { mutation } from "./_generated/server";\n'
        "export const f = mutation({ args: {}, handler: async () => 1 });\n",
        "InvalidModules",
        "`f` defined in `a.js` is a Mutation function. Only actions can be defined in Node.js. See "
        "https://docs.convex.dev/functions/actions for more details.",
        at=(3, 48),
    ),
    Row(
        "Node 18",
        {
            "convex.json": '{"node": {"nodeVersion": "18"}}',
            "convex/a.ts": "export const x = 1;\n",
        },
        "NodeVersionNotSupported",
        "Node 18 is no longer supported. Upgrade to a newer Node version (…",
        prefix=PLAIN,
    ),
    module(
        "query in a Node module",
        '"use node";\nimport { query } from "./_generated/server";\n'
        "export const f = query({ args: {}, handler: async () => 1 });\n",
        "InvalidModules",
        "`f` defined in `a.js` is a Query function. Only actions can be defined in Node.js. See "
        "https://docs.convex.dev/functions/actions for more details.",
        at=(3, 45),
    ),
    module(
        "Node module that throws",
        '"use node";\nimport fs from "node:fs";\nexport const x = fs;\nthrow new Error("boom");\n',
        "InvalidModules",
        "Failed to analyze a.js: Uncaught Error: boom\n    at <anonymous> (../convex/a.ts:4:7)",
        at=(4, 7),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_wrong_module_is_refused_with_the_backends_words(
    row: Row, check_refusal: Callable[[Row], None]
) -> None:
    check_refusal(row)


def test_what_is_random_or_timed_at_import_is_allowed(
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
    text = (
        "export const a = [Math.random(), Date.now(), new Date(), crypto.randomUUID(), "
        "crypto.getRandomValues(new Uint8Array(4)), process.env.NOTHING, structuredClone({}), "
        'new URL("https://a.example"), new Response("hi", { headers: { a: "b" } }), '
        "new FormData(), new TextEncoder(), AbortSignal.abort(), typeof Buffer];\n"
        'if (typeof Buffer !== "undefined" || (process as any).version) throw new Error("Node");\n'
        "if (Date.now() !== new Date().getTime()) throw new Error('time moves');\n"
        "if (!(new Date() instanceof Date)) throw new Error('no date');\n"
        "if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(crypto.randomUUID())) throw 1;\n"
        "await null;\n"
    )
    answer = push_over_http(bundle({"convex/a.ts": text}))
    assert answer.status == 200, answer.body


def test_what_is_random_at_import_is_seeded_and_time_stands_still(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        "const start = Date.now();\nlet sum = 0;\nfor (let i = 0; i < 3e7; i++) sum += i;\n"
        "const bytes = crypto.getRandomValues(new Uint8Array(4));\n"
        "const seen = [Math.random(), Math.random(), crypto.randomUUID(), crypto.randomUUID(), "
        "bytes.join(), Date.now() - start];\n"
        "export const x = sum;\nthrow new Error(JSON.stringify(seen));\n"
    )
    request = bundle({"convex/a.ts": text})
    told = []
    for _ in range(2):
        answer = push_over_http(request)
        assert answer.body["code"] == "InvalidModules", answer.body
        told.append(answer.body["message"])
    assert told[0] == told[1]
    seen = json.loads(told[0].partition("Uncaught Error: ")[2].splitlines()[0])
    assert len(set(seen)) == 6, "what is drawn varies"
    assert seen[5] == 0


def test_node_18_and_external_packages_are_not_taken(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
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


def test_too_many_modules_are_refused(
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
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


@pytest.fixture
def sizes(node: Path) -> Callable[..., Any]:
    """What the check of a push's size says to modules of one letter each: lengths of their sources
    and of their maps."""

    def check(modules: list[tuple[int, int]], *limits: int) -> Any:
        folder = SERVER.parent
        script = (
            f"import {{ checkSizes }} from {json.dumps((folder / 'modules.mjs').as_uri())};"
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
            limits=processes.Limits(wall_seconds=60),
        )
        assert done.ok, done.stderr
        return json.loads(done.stdout)

    return check


def test_modules_together_have_a_largest_size(sizes: Callable[..., Any]) -> None:
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
    bundle: Callable[..., Any], push_over_http: Callable[..., Any], deployment: EmbeddedDeployment
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
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head.encode())
        for _ in range(size // len(chunk)):
            connection.sendall(chunk)
        connection.sendall(b"0")
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")
    assert deployment.alive()


def test_a_node_module_of_a_component_is_refused(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
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
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
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
    specifier: str, bundle: Callable[..., Any], push_over_http: Callable[..., Any]
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


def test_the_first_of_several_checks_is_told(
    bundle: Callable[..., Any], push_over_http: Callable[..., Any]
) -> None:
    remaining = dict(ORDER)
    while remaining:
        files = {path: text for path, (text, _) in remaining.items()}
        answer = push_over_http(bundle(files, name=f"project{len(remaining)}"))
        path = next(iter(remaining))
        assert answer.body["code"] == remaining.pop(path)[1]


EXPORTS = """
const registered = { invokeQuery() {}, exportArgs: () => '{"type":"any"}' };
export const both = { isQuery: true, isMutation: true, isPublic: true, ...registered };
export const open = { isQuery: true, isPublic: true, isInternal: true, ...registered };
export const none = { isPublic: true, ...registered };
export const plain = () => 1;
export const text = "x";
export const mine = { isQuery: true, isPublic: true, ...registered };
class Base { get isMutation() { return true; } get isInternal() { return true; } }
export const inherited = Object.assign(new Base(), registered);
export const callable = Object.assign(() => 1, { isAction: true, isPublic: true }, registered);
"""


def test_what_has_one_kind_and_one_visibility_is_a_function(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": EXPORTS})).status == 200
    found = {(each.path, each.kind, each.visibility) for each in deployment.deployed().functions}
    assert found == {
        ("a:mine", "query", "public"),
        ("a:inherited", "mutation", "internal"),
        ("a:callable", "action", "public"),
    }
