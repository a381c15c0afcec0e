"""Attacks of pushed code on the process that it runs in: each has a canary it must not reach."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_convex_eval import processes
from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from tests.deployment.fixtures import Bundle, PushOnce, PushOverHttp
from tests.deployment.server_modules import InServer
from tests.patience import HANG_SECONDS, until

WALK = r"""
const DANGEROUS = ("kill dlopen binding getBuiltinModule reallyExit _linkedBinding writeSync " +
  "nextTick emitWarning openSync createSocket execSync createRequire runInThisContext " +
  "_getActiveHandles").split(" ");
/** The paths of functions that reach out of the process, by whatever can be got from here. */
const walk = (roots: [string, any][]) => {
  const seen = new Set<any>();
  const found: string[] = [];
  const queue = [...roots];
  const add = (path: string, value: any) => {
    if (value === null || !["object", "function"].includes(typeof value) || seen.has(value)) return;
    seen.add(value);
    queue.push([path, value]);
  };
  for (let i = 0; i < queue.length && i < 60000; i++) {
    const [path, value] = queue[i]!;
    let names: any[] = [];
    try { names = Reflect.ownKeys(value); } catch { continue; }
    for (const name of names) {
      const here = `${path}.${String(name)}`;
      let found0: PropertyDescriptor | undefined;
      try { found0 = Reflect.getOwnPropertyDescriptor(value, name); } catch { continue; }
      if (typeof name === "string" && DANGEROUS.includes(name) &&
        typeof (found0?.value ?? found0?.get) === "function") found.push(here);
      if (found0 === undefined) continue;
      add(here, found0.value);
      add(`${here}[get]`, found0.get);
      add(`${here}[set]`, found0.set);
      for (const self of [value, globalThis]) {
        try {
          const given = found0.get && Reflect.apply(found0.get, self, []);
          if (given instanceof Promise) given.catch(() => {});
          add(`${here}()`, given);
        } catch {}
      }
    }
    try { add(`${path}.__proto__`, Reflect.getPrototypeOf(value)); } catch {}
  }
  return found;
};
"""
PROBES = r"""
/** What Node's own code hands to getters that it looks for on what every object inherits from. */
const lookedFor = async (): Promise<any[]> => {
  const handed: any[] = [];
  const names = ("domain noDeprecation throwDeprecation traceDeprecation env report permission " +
    "_events reading destroyed fd handle _handle onread owner parent connecting writable " +
    "readable isHeld data bundle error value stack loaded constructor name call " +
    "then").split(" ");
  const before = names.map((name) => Object.getOwnPropertyDescriptor(Object.prototype, name));
  for (const name of names) {
    if (["constructor", "then", "name", "call"].includes(name)) continue;
    Object.defineProperty(Object.prototype, name, {
      __proto__: null, configurable: true,
      get() { handed.push(this); return undefined; },
      set(value) {
        handed.push(this);
        Object.defineProperty(this, name,
          { __proto__: null, value, writable: true, configurable: true } as any);
      },
    } as any);
  }
  try {
    Promise.reject(new Error("x")).catch(() => {});
    await new Promise<void>((done) => { Promise.resolve().then(() => done()); });
    new Response("x").headers;
    await new Blob(["x"]).text();
    new AbortController().abort();
  } catch {}
  names.forEach((name, i) => {
    if (before[i] !== undefined)
      Object.defineProperty(Object.prototype, name, Object.assign(Object.create(null), before[i]));
    else if (Object.hasOwn(Object.prototype, name)) delete (Object.prototype as any)[name];
  });
  return handed;
};
/** What methods are handed that Node's own code calls on its own objects. */
const called = async (): Promise<any[]> => {
  const handed: any[] = [];
  const undo: (() => void)[] = [];
  const holders = { Array: Array.prototype, Map: Map.prototype, Set: Set.prototype,
    Function: Function.prototype, WeakMap: WeakMap.prototype };
  for (const holder of Object.values(holders)) {
    for (const name of Object.getOwnPropertyNames(holder)) {
      const { value, writable } = Object.getOwnPropertyDescriptor(holder, name)!;
      if (typeof value !== "function" || name === "constructor" || !writable) continue;
      let isInside = false;
      Object.defineProperty(holder, name, {
        configurable: true, writable: true,
        value(...given: any[]) {
          if (!isInside) {
            isInside = true;
            handed[handed.length] = this;
            for (let i = 0; i < given.length; i++) handed[handed.length] = given[i];
            isInside = false;
          }
          return Reflect.apply(value, this, given);
        },
      });
      undo[undo.length] = () =>
        Object.defineProperty(holder, name, { configurable: true, writable: true, value });
    }
  }
  try {
    new Response("x");
    await new Request("http://x.test/", { method: "POST", body: "x" }).text();
    await new Blob(["x"]).text();
    new URL("http://x.test/?a=1").searchParams.get("a");
    await new Promise<void>((done) => { Promise.resolve().then(() => done()); });
  } catch {}
  for (let i = 0; i < undo.length; i++) undo[i]!();
  return handed.slice(0, 5000);
};
/** What getters of the global object give to Node's own code, which calls them as callbacks. */
const asked = (): any[] => {
  const own = globalThis as any;
  const getters = Reflect.ownKeys(globalThis).flatMap((name) => {
    const { get } = Object.getOwnPropertyDescriptor(globalThis, name)!;
    return get === undefined ? [] : [get];
  });
  const names = ["process", "Buffer", "setImmediate", "require", "global"];
  const storage = new own.AsyncLocalStorage();
  const resource = new own.AsyncResource("x");
  const runs = [
    (f: any, ...given: any[]) => storage.run(1, f, ...given),
    (f: any, ...given: any[]) => resource.runInAsyncScope(f, globalThis, ...given),
    (f: any, ...given: any[]) => storage.exit(f, ...given),
    (f: any, ...given: any[]) => own.AsyncLocalStorage.bind(f)(...given),
  ];
  return runs.flatMap((run) => [
    ...getters.map((get) => { try { return run(get); } catch { return null; } }),
    ...names.map((name) => {
      try { return run(Reflect.get, globalThis, name); } catch { return null; }
    }),
  ]).filter((each) => each !== null && each !== undefined && each !== process);
};
const thrown = (): any[] => {
  const errors: any[] = [];
  for (const work of [() => new URL("x"), () => (null as any).x, () => atob("%"),
    () => structuredClone(() => 1), () => (globalThis as any).Convex.syscall("x", "{}"),
    () => AbortSignal.abort().throwIfAborted()]) {
    try { work(); } catch (error) { errors.push(error); }
  }
  return errors;
};
export const reach = async (): Promise<string[]> => walk([["global", globalThis],
  ...(await lookedFor()).map((each, i): [string, any] => [`lookedFor${i}`, each]),
  ...(await called()).map((each, i): [string, any] => [`called${i}`, each]),
  ...asked().map((each, i): [string, any] => [`asked${i}`, each]),
  ...thrown().map((each, i): [string, any] => [`thrown${i}`, each]),
]);
"""
DEFAULT = (
    'import { action, mutation, query } from "./_generated/server";\n'
    + WALK
    + PROBES
    + "".join(
        f"export const {kind} = {made}({{ args: {{}}, handler: async () => await reach() }});\n"
        for kind, made in (("q", "query"), ("m", "mutation"), ("a", "action"))
    )
)


def test_the_walk_finds_what_is_there(node: Path, tmp_path: Path) -> None:
    """In a plain Node, by the global object, and from what its getters are handed."""
    program = tmp_path / "walk.mts"
    program.write_text(f'{WALK}\nconsole.log(JSON.stringify(walk([["global", globalThis]])));\n')
    done = processes.run(
        [node, "--disable-warning=ExperimentalWarning", program],
        cwd=tmp_path,
        env=processes.environment(home=tmp_path),
        limits=processes.Limits(wall_seconds=HANG_SECONDS),
    )
    for name in ("kill", "dlopen", "getBuiltinModule", "reallyExit"):
        assert f'"global.process().{name}"' in done.stdout, done.stderr


@pytest.mark.parametrize("kind", ["query", "mutation", "action"])
def test_nothing_that_reaches_out_is_reachable_in_the_default_runtime(
    kind: Any, push_once: PushOnce
) -> None:
    result = push_once({"convex/a.ts": DEFAULT}).call(kind, f"a:{kind[0]}")
    assert (result.error, result.value) == (None, [])


def test_nothing_that_reaches_out_is_reachable_while_a_module_is_imported(
    bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    text = (
        f'{WALK}\nexport const x = walk([["global", globalThis]]);\n'
        "throw new Error(`found: ${x}.`);"
    )
    answer = push_over_http(bundle({"convex/a.ts": text}))
    assert "Uncaught Error: found: ." in answer.body["message"]


# ---- "use node" ---------------------------------------------------------------------------------


@pytest.fixture
def datagrams() -> Iterator[tuple[int, Callable[[], bytes | None]]]:
    """A port of this machine's, and what has come to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as canary:
        canary.bind(("127.0.0.1", 0))
        canary.setblocking(False)

        def received() -> bytes | None:
            try:
                return canary.recv(100)
            except BlockingIOError:
                return None

        yield canary.getsockname()[1], received


SEND = """
const send = (socket: any) => new Promise<boolean>((done) => {
  socket.on("error", () => done(false));
  socket.send("x", PORT, "127.0.0.1", (error: any) => done(!error));
});
const viaNames = async (dns: any) => {
  const resolver = new dns.Resolver();
  resolver.setServers(["127.0.0.1:PORT"]);
  await new Promise((done) => resolver.resolve("secret.test", done));
  return true;
};
"""
NETWORK = {
    "dgram by name": "await send(createSocket('udp4'))",
    "a socket's class": "await send(new Socket('udp4'))",
    "dgram by default": "await send(dgram.createSocket('udp4'))",
    "dgram by require": "await send(require('dgram').createSocket('udp4'))",
    "dgram by createRequire": "await send(createRequire('/x')('node:dgram').createSocket('udp4'))",
    "dgram by an import that runs": "await send((await import('node:dgram')).createSocket('udp4'))",
    "dgram by code from a text": (
        "await send((await new Function('return import(\"dgram\")')()).createSocket('udp4'))"
    ),
    "dgram by an eval that nobody called": (
        "await send((await Promise.resolve('import(\"dgram\")').then(eval)).createSocket('udp4'))"
    ),
    "dgram by vm": (
        "await send((await vm.runInThisContext('import(\"dgram\")', { importModuleDynamically: "
        "(vm.constants as any).USE_MAIN_CONTEXT_DEFAULT_LOADER })).createSocket('udp4'))"
    ),
    "dgram by a script": (
        "await send((await new vm.Script('import(\"dgram\")', { importModuleDynamically: "
        "(vm.constants as any).USE_MAIN_CONTEXT_DEFAULT_LOADER }).runInThisContext())"
        ".createSocket('udp4'))"
    ),
    "a resolver with a server of its own": "await viaNames(dns)",
    "a resolver by name": "await viaNames({ Resolver })",
    "a resolver of promises": (
        "await new (dns as any).promises.Resolver({ servers: ['127.0.0.1:PORT'] }).resolve4('x.y')"
    ),
    "a socket of a descriptor": "new net.Socket({ fd: 3 }).write('x')",
    "a raw handle": "(net as any)._createServerHandle('127.0.0.1', 0, 4)",
    "a connection": "await new Promise((r, e) => net.connect(PORT, '127.0.0.1', r).on('error', e))",
    "a server": "await new Promise((r, e) => net.createServer().listen(0, r).on('error', e))",
}
REACHED = {
    "the process by code from a text": (
        "(await new Function('return import(\"node:process\")')()).kill"
    ),
    "the process by vm": (
        "(await vm.runInThisContext('import(\"node:process\")', { importModuleDynamically: "
        "(vm.constants as any).USE_MAIN_CONTEXT_DEFAULT_LOADER })).default.kill"
    ),
    "the process by another context": "vm.runInNewContext('this.constructor.constructor')"
    "('return process')().kill",
    "the process by require": "require('process').kill ?? require('process').getBuiltinModule",
    "a database": "await import('node:sqlite')",
    "a database by require": "require('node:sqlite')",
    "a database by code from a text": "await new Function('return import(\"node:sqlite\")')()",
    "files by wasi": "require('node:wasi')",
    "the inspector": "new (require('inspector').Session)()",
    "all objects": "require('v8').queryObjects(Object)",
    "the heap": "require('v8').getHeapSnapshot()",
    "flags of V8": "(require('v8').setFlagsFromString('--allow-natives-syntax'), true)",
    "a thread": "new (require('worker_threads').Worker)('1', { eval: true })",
    "a process": "require('child_process').execSync('true')",
    "the results' descriptor": "require('fs').writeSync(3, 'x\\n')",
    "the results' descriptor by a stream": (
        "await new Promise((done) => require('fs').createWriteStream(null, { fd: 3 })"
        ".on('error', () => done(false)).write('x\\n', (error: any) => done(!error)))"
    ),
    "the requests' descriptor": "require('fs').readSync(0, Buffer.alloc(10))",
    "a file": "require('fs').readFileSync('CANARY', 'utf8')",
    "a file by promises": "await require('fs/promises').readFile('CANARY', 'utf8')",
    "a terminal": "new (require('tty').WriteStream)(3)",
    "its resources": (
        "(() => { let found: any; require('async_hooks').createHook({ init(_: any, type: string, "
        "__: any, it: any) { if (/WRAP/.test(type)) found = it; } }).enable(); return found; })()"
    ),
}
NODE_HEAD = (
    '"use node";\nimport { action } from "./_generated/server";\n'
    'import dgram, { createSocket, Socket } from "node:dgram";\n'
    'import dns, { Resolver } from "node:dns";\nimport net from "node:net";\n'
    'import vm from "node:vm";\nimport { createRequire } from "node:module";\n'
    "void [dgram, createSocket, Socket, dns, Resolver, net, vm, createRequire];\n"
)


def node_actions(probes: dict[str, str]) -> str:
    tries = "".join(
        f"  async () => {probe},\n" if not probe.startswith("(") else f"  async () => ({probe}),\n"
        for probe in probes.values()
    )
    return (
        f"{NODE_HEAD}{SEND}const probes: (() => any)[] = [\n{tries}];\n"
        "export const f = action({ args: {}, handler: async () => {\n"
        "  const reached: number[] = [];\n"
        "  for (let i = 0; i < probes.length; i++) {\n"
        "    try { if (await probes[i]!()) reached.push(i); } catch {}\n"
        "  }\n  return reached;\n} });\n"
    )


def test_no_node_action_has_the_network(
    push_once: PushOnce, datagrams: tuple[int, Callable[[], bytes | None]]
) -> None:
    port, received = datagrams
    probes = {name: probe.replace("PORT", str(port)) for name, probe in NETWORK.items()}
    app = push_once({"convex/n.ts": node_actions(probes).replace("PORT", str(port))})
    result = app.action("n:f")
    assert result.error is None
    reached = result.value
    assert isinstance(reached, list)
    assert [list(NETWORK)[int(str(i).partition(".")[0])] for i in reached] == []
    assert received() is None


def test_no_node_action_has_what_reaches_out_of_its_process(
    push_once: PushOnce, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    probes = {name: probe.replace("CANARY", str(canary)) for name, probe in REACHED.items()}
    app = push_once({"convex/n.ts": node_actions(probes)})
    result = app.action("n:f")
    assert result.error is None
    reached = result.value
    assert isinstance(reached, list)
    assert [list(REACHED)[int(str(i).partition(".")[0])] for i in reached] == []
    assert app.action("n:f").value == []


def test_a_builtin_that_is_not_offered_is_told(push_once: PushOnce) -> None:
    text = (
        '"use node";\nimport { action } from "./_generated/server";\n'
        "export const f = action({ args: {}, handler: async () => {\n"
        '  const { DatabaseSync } = await import("node:sqlite");\n'
        '  return new DatabaseSync(":memory:").isOpen;\n} });\n'
    )
    error = push_once({"convex/n.ts": text}).action("n:f").error
    expected = "Uncaught Error: The Node.js module 'node:sqlite' is unavailable to pushed code"
    assert expected in str(error)


OWN_SOCKET = r"""
const { writeFileSync, mkdtempSync, rmSync } = await import("node:fs");
const { tmpdir } = await import("node:os");
const path = await import("node:path");
const { spawnIsolate } = await load("isolates/isolate");
const { withoutNetwork } = await load("isolates/namespaces");
const folder = mkdtempSync(path.join(tmpdir(), "convex-eval-socket-"));
const program = path.join(folder, "program.mjs");
writeFileSync(program, `
  import dgram from "node:dgram";
  dgram.createSocket("udp4").send("x", ${args.port}, "127.0.0.1", () => process.exit());
`);
const child = spawnIsolate({ folder, path: () => program }, "program", [],
  { packages: null, isOpen: args.isOpen, cpuSeconds: 60, heap: 64 });
await new Promise((resolve) => child.once("exit", resolve));
rmSync(folder, { recursive: true });
return withoutNetwork().length > 0;
"""


def test_a_socket_past_the_first_wall_has_nobody_to_send_to(
    in_server: InServer, datagrams: tuple[int, Callable[[], bytes | None]]
) -> None:
    port, received = datagrams
    assert in_server(OWN_SOCKET, port=port, isOpen=True) in (True, False)
    until(lambda: received() == b"x", "a datagram of one that has the network")
    if not in_server(OWN_SOCKET, port=port, isOpen=False):
        pytest.skip("no network namespaces for this user")
    assert received() is None


# ---- The pipe -----------------------------------------------------------------------------------

PIPE = r"""
const { writeFileSync, mkdtempSync, rmSync } = await import("node:fs");
const { tmpdir } = await import("node:os");
const path = await import("node:path");
const { IsolateProcess } = await load("isolates/isolate_process");
const folder = mkdtempSync(path.join(tmpdir(), "convex-eval-pipe-"));
const program = path.join(folder, "program.mjs");
// A secret that is known, as no pushed code knows it.
writeFileSync(program, `
  import { readSync, writeSync } from "node:fs";
  const secret = Buffer.alloc(33);
  readSync(0, secret);
  const say = (line) => { try { writeSync(3, line); } catch {} };
  const told = secret.toString("latin1", 0, 32);
  say(told + '{"type":"ready"}\\n');
  process.stdin.once("data", () => {
    const line = ${JSON.stringify(args.line)}.replace("SECRET", told);
    if (line !== "ENDLESS") say(line + "\\n");
    else setInterval(() => { for (let i = 0; i < 20; i++) say("x".repeat(60000)); }, 1);
  });
`);
let logged = 0;
const isolate = new IsolateProcess({
  programs: { folder, path: () => program }, node: false, areAlone: false,
  limit: () => ({ cpu: 60, wall: 120 }), code: () => [], packages: () => null,
  ...{ done: () => {}, retired: () => {}, gone: () => {} },
});
try {
  const callee = { syscall: () => "null", log: () => { logged += 1; }, forget: () => {} };
  return await isolate.run({ id: 1 }, callee).then(
    (outcome) => outcome,
    (error) => ({ reason: error.reason, logged }),
  );
} finally {
  isolate.close();
  rmSync(folder, { recursive: true });
}
"""
DONE = '{"type":"done","call":1,"heap":1,"value":"1"}'
FORGED = {
    "without the secret": DONE,
    "with another secret": "0" * 32 + DONE,
    "no JSON": "SECRET}{",
    "no object": "SECRET[1]",
    "null": "SECRETnull",
    "a number": "SECRET1",
    "of no known type": 'SECRET{"type":"own","call":1}',
    "a result that is no text": 'SECRET{"type":"done","call":1,"heap":1,"value":{"a":1}}',
    "a result without a heap": 'SECRET{"type":"done","call":1,"value":"1"}',
    "an error that is none": 'SECRET{"type":"done","call":1,"heap":1,"error":"x"}',
    "frames that are none": (
        'SECRET{"type":"done","call":1,"heap":1,"error":{"text":"x","frames":[{"line":"1"}]}}'
    ),
    "a call that is no number": 'SECRET{"type":"log","call":"1","line":"x"}',
    "a log line that is no text": 'SECRET{"type":"log","call":1,"line":{}}',
    "a syscall without a name": 'SECRET{"type":"syscall","call":1,"id":0,"args":"{}"}',
    "a syscall whose arguments are no text": (
        'SECRET{"type":"syscall","call":1,"id":0,"op":"1.0/get","args":{}}'
    ),
    "nested too deep": "SECRET" + "[" * 100_000,
}


@pytest.mark.parametrize("line", FORGED.values(), ids=FORGED.keys())
def test_a_line_that_is_none_of_ours_ends_the_process(line: str, in_server: InServer) -> None:
    assert in_server(PIPE, line=line) == {"reason": "crashed", "logged": 0}


def test_a_line_of_ours_is_believed(in_server: InServer) -> None:
    assert in_server(PIPE, line=f"SECRET{DONE}") == {"value": "1"}


def test_a_line_without_an_end_ends_the_process(in_server: InServer) -> None:
    assert in_server(PIPE, line="ENDLESS") == {"reason": "memory", "logged": 0}


# ---- Analysis -----------------------------------------------------------------------------------

HONEST = """
import { query, internalMutation } from "./_generated/server";
import { v } from "convex/values";
export const f = query({ args: { a: v.string() }, returns: v.null(), handler: async () => null });
export const g = internalMutation({ args: {}, handler: async () => {} });
"""
LIE = '{ type: "value", unit: 0, value: { kind: "functions", modules: [] } }'
FORGERIES = {
    "toJSON of every object": f"(Object.prototype as any).toJSON = () => ({LIE});",
    "toJSON of every list": f"(Array.prototype as any).toJSON = () => [{LIE}];",
    "toJSON of every text": "(String.prototype as any).toJSON = () => 'forged';",
    "JSON": "JSON.stringify = () => '{\"forged\":1}'; JSON.parse = () => ({});",
    "the methods of Object": "Object.entries = () => []; Object.keys = () => [];",
    "the methods of lists": (
        "Array.prototype.push = () => 0; Array.prototype.map = () => [];"
        "Array.prototype[Symbol.iterator] = function* () {} as any;"
    ),
    "the methods of maps": (
        "Map.prototype.get = () => undefined; Map.prototype.set = () => new Map();"
    ),
    "the methods of texts": (
        "String.prototype.slice = () => 'x'; String.prototype.startsWith = () => false;"
        "String.prototype.charCodeAt = () => 0;"
    ),
    "String and Function": (
        "(globalThis as any).String = () => 'x'; Function.prototype.toString = () => 'x';"
        "Function.prototype.call = () => 1 as any; Function.prototype.apply = () => 1 as any;"
    ),
    "promises": "Promise.prototype.then = () => new Promise(() => {}) as any;",
    "what is missing": (
        "for (const name of ['isHeld', 'unit', 'failure', 'varies', 'problem', 'get'])"
        " Object.defineProperty(Object.prototype, name,"
        " { get: () => undefined, set() {}, configurable: true });"
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_an_analysis_can_not_be_forged(
    forgery: str, bundle: Bundle, push_over_http: PushOverHttp, deployment: EmbeddedDeployment
) -> None:
    """After its functions are made, so that it is the analysis that the patches meet."""
    answer = push_over_http(bundle({"convex/a.ts": f"{HONEST}{forgery}\n"}))
    if answer.status != 200:  # Its own client library has met the patch.
        assert (answer.status, answer.body["code"]) == (400, "InvalidModules")
        return
    found = [(each.path, each.kind, each.visibility) for each in deployment.deployed().functions]
    assert found == [("a:f", "query", "public"), ("a:g", "mutation", "internal")]


def test_what_is_no_json_is_the_functions_fault(push_once: PushOnce) -> None:
    text = (
        "export const f: any = Object.assign(() => {}, { isQuery: true, isPublic: true,\n"
        '  exportArgs: () => \'{"type":"any"}\', exportReturns: () => "null",\n'
        '  invokeQuery: async () => "}{" });\n'
    )
    result = push_once({"convex/a.ts": text}).query("a:f")
    assert "The function's result is not JSON" in str(result.error)
