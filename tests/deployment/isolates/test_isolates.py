"""Pushed code is hostile: whatever it does when it is imported, the server lives and says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import psutil
import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Answer, Ask, Bundle, PushOverHttp
from tests.patience import HANG_SECONDS, until

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
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    assert push_over_http(bundle({"convex/a.ts": text + "\nexport {};\n"})).status == 400
    outcome = deployment.last_push()
    assert (outcome.code, outcome.message) == ("InvalidModules", MEMORY)
    assert push_over_http(bundle({"convex/a.ts": "export {};\n"}, name="good")).status == 200


def test_an_import_that_never_ends_is_refused(
    bundle: Bundle,
    push_over_http: PushOverHttp,
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
    bundle: Bundle, ask: Ask, deployment: EmbeddedDeployment
) -> None:
    request = bundle({"convex/a.ts": "for (;;);\nexport {};\n"})
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(ask("POST", "/api/deploy2/start_push", request))
    )
    thread.start()
    server = psutil.Process(deployment.pid)

    def spins() -> bool:
        try:
            children = server.children(recursive=True)
            # A process has started after a fifth of it, and the limit is 4 s.
            return any(child.cpu_times().user > 0.7 for child in children)
        except psutil.NoSuchProcess:
            return False

    until(spins, "the import")
    deployment.reset()
    thread.join()
    assert deployment.last_push().status == "none"
    (answer,) = answers
    assert answer.body["code"] == "RaceDetected", "it was not the limit that ended it"


PROBES = {
    "process": '"version" in process || "exit" in process',
    "files": '(await import("node:fs")).readFileSync("/etc/hosts")',
    "files through a function": (
        "(await new Function('return import(\"node:fs\")')()).readFileSync('/etc/hosts')"
    ),
    "environment": "Object.keys(process.env).some((name) => !name.startsWith('CONVEX_'))",
    **{
        name: f"typeof globalThis.{name} !== 'undefined'"
        for name in (
            *("Buffer", "global", "setImmediate", "SharedArrayBuffer", "WebSocket"),
            *("navigator", "MessageChannel", "BroadcastChannel"),
        )
    },
}


@pytest.fixture
def in_plain_node(node: Path, tmp_path: Path) -> Callable[[str], str]:
    """What a module throws in a Node that nothing is kept from: that a probe can reach anything."""

    def run(source: str) -> str:
        (tmp_path / "probe.mjs").write_text(source)
        done = processes.run(
            [node, tmp_path / "probe.mjs"],
            cwd=tmp_path,
            env=processes.environment(home=tmp_path, OTHERS="x"),
            limits=processes.Limits(wall_seconds=HANG_SECONDS),
        )
        return done.stdout + done.stderr

    return run


def reporting(probe: str) -> str:
    return (
        f"let reached;\ntry {{ reached = {probe}; }} catch {{}}\n"
        "export const x = 1;\nthrow new Error(`reached: ${Boolean(reached)}`);\n"
    )


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES.keys())
def test_code_of_the_default_environment_sees_nothing_of_node(
    probe: str,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    in_plain_node: Callable[[str], str],
) -> None:
    assert "reached: true" in in_plain_node(reporting(probe))
    request = bundle({"convex/a.ts": "export const x = 1;\n"})
    (module,) = request["appDefinition"]["changedModules"]
    # As it is, without the bundler, which refuses Node's modules itself.
    module["source"] = reporting(probe)
    assert "Uncaught Error: reached: false" in push_over_http(request).body["message"]


NODE_PROBES = {
    "environment": "Object.keys(process.env).some((name) => !name.startsWith('CONVEX_'))",
    "own process": "process.execPath || process.kill || process.binding",
    "files": "fs.readFileSync('/etc/hosts')",
    "own sources' parents": "fs.readdirSync('/')",
    "writing": "(fs.writeFileSync('HERE/written', 'x'), true)",
    "processes": "child.execSync('true')",
    "threads": "new threads.Worker('0', { eval: true })",
    "network": "net.connect(9, '127.0.0.1').on('error', () => {})",
    "require": "module.createRequire('/x.js')('fs').readFileSync('/etc/hosts')",
}
NODE_HEAD = (
    'import fs from "node:fs";\nimport * as child from "child_process";\n'
    'import net from "net";\nimport threads from "worker_threads";\n'
    'import module from "node:module";\nimport process from "node:process";\n'
    "void [fs, child, net, threads, module];\n"
)


@pytest.mark.parametrize("probe", NODE_PROBES.values(), ids=NODE_PROBES.keys())
def test_a_node_module_can_do_nothing_when_it_is_imported(
    probe: str,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    in_plain_node: Callable[[str], str],
    tmp_path: Path,
) -> None:
    text = NODE_HEAD + reporting(probe.replace("HERE", str(tmp_path)))
    assert "reached: true" in in_plain_node(text)
    (tmp_path / "written").unlink(missing_ok=True)
    answer = push_over_http(bundle({"convex/a.ts": f'"use node";\n{text}'}))
    assert "Uncaught Error: reached: false" in answer.body["message"]
    assert not (tmp_path / "written").exists()


def test_node_modules_are_analysed_with_their_builtins(
    bundle: Bundle,
    push_over_http: PushOverHttp,
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
    bundle: Bundle,
    push_over_http: PushOverHttp,
    deployment: EmbeddedDeployment,
) -> None:
    answer = push_over_http(bundle({"convex/a.ts": f"export const x = 1;\n{text}\n"}))
    outcome = deployment.last_push()
    assert (answer.status, outcome.status, outcome.code) == (400, "refused", "InvalidModules")
    assert outcome.message is not None
    assert outcome.message.startswith("Failed to analyze a.js: ")
    assert len(outcome.message) < 50_000


RUNNING = {
    "files": "(await import('node:fs')).readFileSync('/etc/hosts')",
    "files through a function": (
        "(await new Function('return import(\"node:fs\")')()).readFileSync('/etc/hosts')"
    ),
    "files through eval": "(await eval('import(\"node:fs\")')).readFileSync('/etc/hosts')",
    "the process": "process.version ?? process.exit",
    "the network": (
        "await new Promise((r) => { const s = new WebSocket('ws://127.0.0.1:PORT'); "
        "s.onopen = () => r(true); s.onerror = () => r(false); })"
    ),
    "others' environment": "process.env.HOME ?? process.env.PATH",
}


@pytest.fixture
def connections() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine's, and who has connected to it. Each is hung up on."""
    seen: list[object] = []

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            seen.append(self.client_address)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1], seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", RUNNING)
def test_a_running_function_reaches_nothing(
    name: str,
    bundle: Bundle,
    push_over_http: PushOverHttp,
    in_plain_node: Callable[[str], str],
    connections: tuple[int, list[object]],
    deployment: EmbeddedDeployment,
) -> None:
    port, seen = connections
    probe = RUNNING[name].replace("PORT", str(port))
    control = in_plain_node(reporting(probe))
    # Who hangs up at once is no WebSocket's server, and still was reached.
    assert "reached: true" in control or seen
    seen.clear()
    handler = (
        "handler: async () => { const process: any = globalThis.process;\n"
        "const WebSocket: any = (globalThis as any).WebSocket;\n"
        f"try {{ return Boolean({probe}); }} catch {{ return false; }} }} }});\n"
    )
    text = (
        'import { action, query } from "./_generated/server";\n'
        f"export const f = query({{ args: {{}}, {handler}"
        f"export const g = action({{ args: {{}}, {handler}"
    )
    files = {"convex/a.ts": text}
    query, action = deployment.query, deployment.action
    calls = [(query, "a:f"), (action, "a:g")]
    if name != "the process":  # A Node action's `process` says which Node it is.
        node = text.replace("query(", "action(").replace("{ action, query }", "{ action }")
        files["convex/n.ts"] = f'"use node";\n{node}'
        calls.append((action, "n:f"))
    assert push_over_http(bundle(files)).status == 200
    for call, path in calls:
        result = call(path)
        assert (result.value, result.error) == (False, None)
    assert seen == []
