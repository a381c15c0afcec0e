"""Modules: one project a check of the backend, pushed as the CLI would."""

from __future__ import annotations

import json

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.places import Place
from tests.deployment.fixtures import Bundle, PushOverHttp
from tests.deployment.push.conftest import CheckRefusal
from tests.deployment.push.rows import PLAIN, Row, module

WITH_DASH = (
    "Identifier a-b has invalid character '-': Identifiers can only contain alphanumeric "
    "characters or underscores"
)
DIGIT_FIRST = (
    "Invalid first character '1' in 1bad: Identifiers must start with an alphabetic character or "
    "underscore"
)
ROWS = [
    # Paths
    Row(
        "module path with a dash",
        {"convex/my-file.ts": "export const x = 1;\n"},
        "BadConvexModuleIdentifier",
        "my-file.js is not a valid path to a Convex module. Path component my-file.js can only "
        "contain alphanumeric characters, underscores, or periods.",
        Place("convex/my-file.ts", 1, 1),
        PLAIN,
    ),
    Row(
        "module path that is too long",
        {f"convex/{'x' * 62}.ts": "export const x = 1;\n"},
        "BadConvexModuleIdentifier",
        f"{'x' * 62}.js is not a valid path to a Convex module. Path component is too long "
        f"(65 > maximum 64): {'x' * 62}.js.",
        Place(f"convex/{'x' * 62}.ts", 1, 1),
        PLAIN,
    ),
    *(
        Row(
            f"folder {folder}",
            {f"convex/{folder}/a.ts": "export const x = 1;\n"},
            "BadConvexModuleIdentifier",
            f"{folder}/a.js is not a valid path to a Convex module. Path component {folder} {text}",
            Place(f"convex/{folder}/a.ts", 1, 1),
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
        "    at <anonymous> (../convex/a.ts:5:18)\n[LOG] 'hi' {\n  a: 1\n}",
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
        "Invalid function name used in `a.js`: Invalid first character '$' in $f: Identifiers must "
        "start with an alphabetic character or underscore",
        at=(2, 46),
    ),
    *(
        module(
            f"{what} of {where}",
            'import { query } from "./_generated/server";\n'
            'import { v } from "convex/values";\n'
            f"export const f = query({{ {where}: {validator}, handler: async () => 1 as any }});\n",
            "InvalidIdentifier",
            f"Invalid JSON returned from a.js:f.export{where.capitalize()}(): {message}",
        )
        for where in ("args", "returns")
        for what, validator, message in (
            ("field with a dash", '{ "a-b": v.string() }', WITH_DASH),
            ("field with a digit first", '{ "1bad": v.string() }', DIGIT_FIRST),
            (
                "field that is too long",
                f"{{ {'a' * 65}: v.string() }}",
                "Identifier is too long (65 > maximum 64)",
            ),
            (
                "deep field",
                '{ a: v.optional(v.array(v.union(v.null(), v.object({ "a-b": v.any() })))) }',
                WITH_DASH,
            ),
            ("table of an id", '{ a: v.id("a-b" as any) }', WITH_DASH),
            (
                "table of a record's keys",
                '{ a: v.record(v.id("1bad" as any), v.any()) }',
                DIGIT_FIRST,
            ),
        )
    ),
    *(
        module(
            f"arguments that are {name}",
            'import { query } from "./_generated/server";\n'
            'import { v } from "convex/values";\n'
            f"export const f = query({{ args: {validator} as any, handler: async () => 1 }});\n",
            "InvalidModules",
            "Invalid JSON returned from a.js:f.exportArgs(): Args validator must be an object or "
            "any",
        )
        for name, validator in {
            "a text": "v.string()",
            "a union of objects": "v.union(v.object({}), v.object({}))",
            "a record": "v.record(v.string(), v.any())",
        }.items()
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
        "Invalid function name used in `a.js`: Identifier is too long (65 > maximum 64)",
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
    row: Row, check_refusal: CheckRefusal
) -> None:
    check_refusal(row)


def test_the_cli_prints_what_the_backend_says(check_refusal: CheckRefusal) -> None:
    check_refusal(ROWS[0], cli=True)


def test_what_is_random_or_timed_at_import_is_allowed(
    bundle: Bundle, push_over_http: PushOverHttp
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
    bundle: Bundle,
    push_over_http: PushOverHttp,
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
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": EXPORTS})).status == 200
    found = {(each.path, each.kind, each.visibility) for each in deployment.deployed().functions}
    assert found == {
        ("a:mine", "query", "public"),
        ("a:inherited", "mutation", "internal"),
        ("a:callable", "action", "public"),
    }
