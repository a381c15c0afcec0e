"""Pushed code is hostile: whatever it does when it is imported, the server lives and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment

TIMEOUT = "Failed to analyze a.js: Function execution timed out (maximum duration: 4s)"
MEMORY = (
    "Failed to analyze a.js: JavaScript execution ran out of memory (maximum memory usage: 64 MB)"
)

BOMBS = {
    "array": "const a: any[] = []; for (;;) a.push(new Array(1000).fill(1));",
    "one array": "export const a = new Array(3e7).fill(0).map((x) => ({ x }));",
    "array from a length": "export const a = Array.from({ length: 1e9 });",
    "string": 'let s = "xy"; for (;;) { s = s + s; s.charCodeAt(5); }',
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set(i, { i });",
    "buffer": "export const b = new Uint8Array(2e9).fill(1);",
    "buffers": "const b: any[] = []; for (;;) b.push(new Uint8Array(1e6).fill(1));",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_an_import_that_takes_all_memory_is_refused(
    text: str,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": text + "\nexport {};\n"})).status == 400
    outcome = deployment.last_push()
    assert (outcome.code, outcome.message) == ("InvalidModules", MEMORY)
    assert push_over_http(bundle({"convex/a.ts": "export {};\n"}, name="good")).status == 200


def test_an_import_that_never_ends_is_refused(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    pid = deployment.pid
    assert push_over_http(bundle({"convex/a.ts": "for (;;);\nexport {};\n"})).status == 400
    outcome = deployment.last_push()
    assert (outcome.code, outcome.message) == ("InvalidModules", TIMEOUT)
    assert outcome.position is not None
    assert outcome.position.path == "convex/a.ts"
    assert deployment.alive()
    assert deployment.pid == pid


def test_a_reset_ends_an_import_that_never_ends(
    bundle: Callable[..., Any], ask: Callable[..., Any], deployment: EmbeddedDeployment
) -> None:
    request = bundle({"convex/a.ts": "for (;;);\nexport {};\n"})
    started = time.monotonic()
    thread = threading.Thread(target=ask, args=("POST", "/api/deploy2/start_push", request))
    thread.start()
    time.sleep(0.7)
    deployment.reset()
    thread.join(10)
    assert not thread.is_alive()
    assert deployment.last_push().status == "none"
    assert time.monotonic() - started < 3.5, "it was not the limit that ended it"


PROBES = {
    "process": 'if ("version" in process || "exit" in process) throw new Error("Node");',
    "dynamic import": 'const fs = await import("node:fs"); fs.readFileSync("/etc/hostname");',
    "import in a constructed function": (
        "const p = new Function('return import(\"node:fs\")')();\n"
        "p.then(() => { throw new Error('Node'); }, () => {});\nthrow new Error('stopped');"
    ),
    "environment": (
        "const names = Object.keys(process.env).sort().join();\n"
        'if (names !== "CONVEX_CLOUD_URL,CONVEX_SITE_URL") throw new Error(names);'
    ),
    "globals": (
        "const bad = ['require', 'Buffer', 'global', 'setImmediate', 'SharedArrayBuffer', "
        "'WebSocket', 'Worker', 'navigator'].filter((name) => typeof (globalThis as any)[name] "
        "!== 'undefined');\nif (bad.length > 0) throw new Error(bad.join());"
    ),
}
REFUSED = {"dynamic import", "import in a constructed function"}


@pytest.mark.parametrize("name", PROBES)
def test_code_of_the_default_environment_sees_nothing_of_node(
    name: str,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    request = bundle({"convex/a.ts": "export const x = 1;\n"})
    (module,) = request["appDefinition"]["changedModules"]
    # As it is, without the bundler, which refuses Node's modules itself.
    module["source"] = PROBES[name].replace(" as any", "") + "\nexport const x = 1;\n"
    answer = push_over_http(request)
    assert answer.status == (400 if name in REFUSED else 200), answer.body


NODE_PROBES = {
    "environment": "Object.keys(process.env).length > 2",
    "own process": "process.execPath || process.kill || process.binding",
    "files": "fs.readFileSync('/etc/hostname')",
    "own sources' parents": "fs.readdirSync('/')",
    "writing": "fs.writeFileSync('/tmp/convex-eval-was-here', 'x')",
    "processes": "child.execSync('true')",
    "threads": "new threads.Worker('0', { eval: true })",
    "result channel": "threads.parentPort || threads.workerData",
    "network": "net.connect(9, '127.0.0.1')",
    "require": "module.createRequire('/x.js')('fs').readFileSync('/etc/hostname')",
}


@pytest.mark.parametrize("probe", NODE_PROBES.values(), ids=NODE_PROBES.keys())
def test_a_node_module_can_do_nothing_when_it_is_imported(
    probe: str,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        '"use node";\n'
        'import fs from "node:fs";\nimport * as child from "child_process";\n'
        'import net from "net";\nimport threads from "worker_threads";\n'
        'import module from "node:module";\nimport process from "node:process";\n'
        "void [fs, child, net, threads, module];\n"
        f"let reached; try {{ reached = {probe}; }} catch {{}}\n"
        "export const x = 1;\nif (reached) throw new Error('reached');\n"
    )
    answer = push_over_http(bundle({"convex/a.ts": text}))
    assert answer.status == 200, answer.body


def test_node_modules_are_analysed_with_their_builtins(
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    text = (
        '"use node";\nimport crypto from "crypto";\nimport path, { join } from "node:path";\n'
        'import { EventEmitter } from "events";\n'
        'import { action, internalAction } from "./_generated/server";\n'
        "const b = Buffer.from(join(path.sep, 'x'));\nconst e = new EventEmitter();\n"
        "const h = crypto.createHash('sha256').update(b).digest('hex');\n"
        "export const f = action({ args: {}, handler: async () => [h, e, process.version] });\n"
        "export const g = internalAction({ args: {}, handler: async () => setImmediate });\n"
    )
    answer = push_over_http(bundle({"convex/a.ts": text, "convex/b.ts": "export const y = 1;\n"}))
    assert answer.status == 200, answer.body
    found = [(each.path, each.kind, each.visibility) for each in deployment.deployed().functions]
    assert found == [("a:f", "action", "public"), ("a:g", "action", "internal")]


FORGERIES = {
    "frames": "Error.prepareStackTrace = () => 'forged'; throw new Error('boom');",
    "not an error": "throw { toString() { throw 1; } };",
    "endless text": "throw new Error('x'.repeat(5e6));",
    "null": "throw null;",
    "patched prototypes": (
        "Array.prototype.push = () => { throw 1; }; JSON.stringify = () => 'forged';"
        "Object.entries = () => []; Promise.prototype.then = () => {}; throw new Error('boom');"
    ),
}


@pytest.mark.parametrize("text", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_hostile_error_is_reported_like_any_other(
    text: str,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    answer = push_over_http(bundle({"convex/a.ts": f"export const x = 1;\n{text}\n"}))
    outcome = deployment.last_push()
    assert (answer.status, outcome.status, outcome.code) == (400, "refused", "InvalidModules")
    assert outcome.message is not None
    assert outcome.message.startswith("Failed to analyze a.js: ")
    assert len(outcome.message) < 50_000


RUNNING = {
    "files": "(await import('node:fs')).readFileSync('/etc/hostname')",
    "files through a function": (
        "(await new Function('return import(\"node:fs\")')()).readFileSync('/etc/hostname')"
    ),
    "files through eval": "(await eval('import(\"node:fs\")')).readFileSync('/etc/hostname')",
    "the process": "(process as any).version ?? (process as any).exit",
    "the network": "await new Promise((r) => { new (globalThis as any).WebSocket('ws://127.0.0.1')"
    ".onerror = () => r(false); })",
    "another's environment": "process.env.HOME ?? process.env.PATH",
    "the pipe": "(globalThis as any).writeSync",
}


@pytest.mark.parametrize("probe", RUNNING.values(), ids=RUNNING.keys())
def test_a_running_function_reaches_nothing(
    probe: str,
    bundle: Callable[..., Any],
    push_over_http: Callable[..., Any],
    deployment: EmbeddedDeployment,
) -> None:
    handler = (
        "handler: async () => { const process: any = globalThis.process;\n"
        f"try {{ return Boolean({probe}); }} catch {{ return false; }} }} }});\n"
    )
    text = (
        'import { action, query } from "./_generated/server";\n'
        f"export const f = query({{ args: {{}}, {handler}"
        f"export const g = action({{ args: {{}}, {handler}"
    )
    node = text.replace("query(", "action(").replace("query }", "internalAction }")
    files = {"convex/a.ts": text}
    if "process" not in probe or "env" in probe:
        files["convex/n.ts"] = '"use node";\n' + node.replace("f = ", "h = ")
    assert push_over_http(bundle(files)).status == 200
    for result in (deployment.query("a:f"), deployment.action("a:g")):
        assert (result.value, result.error) == (False, None)
    if "convex/n.ts" in files:
        result = deployment.action("n:h")
        assert (result.value, result.error) == (False, None)
