"""What functions find around them, call after call in processes that are used again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_convex_eval.deployment.embedded import EmbeddedDeployment
from pytest_convex_eval.deployment.model import FunctionResult
from pytest_convex_eval.functions import FunctionKind
from tests.deployment.fixtures import Bundle, PushOnce, PushOverHttp

SHARED = """
const own = globalThis as any;
let calls = 0;
export const state = () => {
  const seen = [calls, own.left ?? null, typeof own.Date, typeof Math.random];
  calls += 1;
  own.left = "behind";
  return seen;
};
export const replace = () => {
  const usual = [typeof own.Date, typeof own.Math, typeof own.console];
  own.Date = "mine"; own.Math = "mine"; own.console = { log: () => {} };
  own.console.log("unseen");
  return [usual, [own.Date, own.Math, typeof own.console]];
};
export const usual = () => [typeof Date, typeof Math, typeof console.warn];
export const environment = () => {
  const { env } = process;
  env.ADDED = "x";
  delete (env as any).GIVEN;
  const { value } = Object.getOwnPropertyDescriptor(env, "GIVEN")!;
  return [env.GIVEN, env.ADDED ?? null, "ADDED" in env, "GIVEN" in env, value,
    Object.getOwnPropertyDescriptor(env, "ADDED") ?? null, { ...env }.GIVEN ?? null,
    env.toString ?? null];
};
export const time = () => {
  const now = Date.now();
  const made = new Date();
  return { same: made.getTime() === now, text: Date() === new Date(now).toString(),
    is: made instanceof Date, constructor: made.constructor === Date, now,
    given: new Date(0).getTime(), parts: new Date(2020, 1, 3).getMonth(),
    utc: Date.UTC(1970, 0, 2), parsed: Date.parse("1970-01-01T00:00:01Z"),
    text0: new Date("1970-01-01T00:00:00Z").toISOString() };
};
export const random = () => {
  const numbers = Array.from({ length: 50 }, () => Math.random());
  const bytes = new Uint8Array([1, 1, 1, 1, 1, 1, 1, 1]);
  const part = bytes.subarray(2, 6);
  const filled = crypto.getRandomValues(part);
  return { within: numbers.every((n) => n >= 0 && n < 1), many: new Set(numbers).size,
    same: filled === part, around: [...bytes.slice(0, 2), ...bytes.slice(6)],
    changed: part.some((byte) => byte !== 1), uuid: crypto.randomUUID(),
    wide: crypto.getRandomValues(new Uint32Array(4)).some((n) => n > 255) };
};
export const digest = async () => {
  const found = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("a"));
  return [...new Uint8Array(found)].slice(0, 4);
};
export const log = () => {
  console.log("a", 1, { deep: { er: [1n] } }, undefined, null, true);
  console.info("%s", "b");
  console.warn(new Map([["k", new Set([1])]]));
  console.error("multi\\nline");
  console.debug(Symbol("s"), () => 1);
  console.trace("traced");
  console.log();
};
export const timers = () => {
  console.time("t"); console.time("t"); console.timeLog("t", [1]); console.timeEnd("t");
  console.timeEnd("t"); console.timeLog("u"); console.time(); console.timeEnd();
};
export const methods = () => Object.getOwnPropertyNames(console).sort();
export const others = () => {
  for (const name of ["table", "dir", "group", "assert", "count"]) (console as any)[name]({ x: 1 });
};
export const globals = () => [Object.getOwnPropertyNames(own),
  UNKNOWN.filter((name) => name in own || Reflect.has(own, name) || own[name] !== undefined),
  BARE.filter((bare) => { try { bare(); return true; } catch (e: any) {
    return e.name !== "ReferenceError"; } }).map(String),
  own.self === own, [typeof AsyncLocalStorageOf(), typeof own.AsyncResource]];
const AsyncLocalStorageOf = () => own.AsyncLocalStorage;
declare const Buffer: any, setImmediate: any, CompressionStream: any, global: any, nowhere: any;
const BARE = [() => Buffer, () => setImmediate, () => CompressionStream, () => queueMicrotask,
  () => global, () => nowhere, () => CustomEvent, () => MessageChannel];
const UNKNOWN = ["queueMicrotask", "CompressionStream", "DecompressionStream", "CustomEvent",
  "ByteLengthQueuingStrategy", "CountQueuingStrategy", "ReadableStreamDefaultController",
  "Buffer", "setImmediate", "clearImmediate", "MessageChannel", "MessagePort", "global", "require",
  "SharedArrayBuffer", "Atomics", "WebSocket", "navigator", "BroadcastChannel", "URLPattern",
  "PerformanceObserver", "EventSource", "module", "exports", "__filename", "__dirname"];
export const bodies = async () => {
  const form = new FormData();
  form.append("file", new Blob(["x"]), "x.txt");
  const request = new Request("http://x.test/", { method: "POST", body: form });
  const stream = new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(3)); c.close(); } });
  const parts = await new Response(new Blob(["ab"]).stream().pipeThrough(new TransformStream()))
    .text();
  return [(await request.text()).includes("x.txt"), (await new Response(stream).arrayBuffer())
    .byteLength, await new Response("t").text(), parts, await new Request("http://x.test/",
    { method: "POST", body: '{"a":1}' }).json()];
};
export const unpatched = () => [
  JSON.stringify({}), "x".at(0) ?? null, [3].map((x) => x), own.extra ?? null,
    Object.getPrototypeOf(own.Array.prototype) === Object.prototype, typeof own.structuredClone,
    new URL("http://x.test/").host, Reflect.ownKeys(Object.prototype).length,
    typeof (Promise as any).try, new Map([[1, 2]]).size];
/** What its own call returns is none of this test's business. */
export const patches = () => {
  JSON.stringify = () => '"patched"';
  (String.prototype as any).at = () => "patched";
  Array.prototype.map = () => ["patched"];
  (Object.prototype as any).extra = "patched";
  Object.setPrototypeOf(own.Array.prototype, { __proto__: Object.prototype });
  own.structuredClone = 1;
  Object.defineProperty(URL.prototype, "host", { get: () => "patched" });
  delete (Promise as any).try;
  Object.defineProperty(Map.prototype, "size", { get: () => "patched" });
};
"""
NAMES = [
    "state",
    "replace",
    "usual",
    "environment",
    "time",
    "random",
    "digest",
    "log",
    "timers",
    "methods",
    "others",
    "globals",
    "bodies",
    "patches",
    "unpatched",
]
APP = (
    'import { action, mutation, query } from "./_generated/server";\n'
    'import * as shared from "./shared";\n'
    + "".join(
        f"export const {kind[0]}_{name} = {kind}({{ args: {{}}, "
        f"handler: async (): Promise<any> => await shared.{name}() }});\n"
        for kind in ("query", "mutation", "action")
        for name in NAMES
    )
)
NODE = '"use node";\n' + APP.replace("{ action, mutation, query }", "{ action }").split("export")[0]
NODE += "".join(
    f"export const a_{name} = action({{ args: {{}}, "
    f"handler: async (): Promise<any> => await shared.{name}() }});\n"
    for name in NAMES
)
MORE = """
import { action, mutation, query } from "./_generated/server";
import { api } from "./_generated/api";
import { v } from "convex/values";
export const child = mutation({ args: { fails: v.boolean() }, handler: async (_, { fails }) => {
  console.warn("child");
  if (fails) throw new Error("no");
} });
export const parent = mutation({ args: { fails: v.boolean() }, handler: async (ctx, args) => {
  console.log("before");
  await ctx.runMutation(api.more.child, args).catch(() => {});
  console.log("after");
  await ctx.runMutation(api.more.child, args);
  console.log("last");
} });
export const acting = action({ args: {}, handler: async (ctx): Promise<void> => {
  console.log("acting");
  await ctx.runMutation(api.more.parent, { fails: false });
  await ctx.runAction(api.more.inner, {});
  console.log("acted");
} });
export const inner = action({ args: {}, handler: async () => { console.info("inner"); } });
export const many = query({ args: { count: v.number() }, handler: async (_, { count }) => {
  for (let i = 0; i < count; i++) console.log(i);
} });
export const manyTwice = action({ args: {}, handler: async (ctx): Promise<void> => {
  await ctx.runQuery(api.more.many, { count: 300 });
  for (let i = 0; i < 300; i++) console.warn(i);
} });
export const timer = action({ args: { way: v.string() }, handler: async (_, { way }) => {
  const order: string[] = [];
  if (way === "timeout") {
    const stopped = setTimeout(() => order.push("stopped"), 0);
    clearTimeout(stopped);
    await new Promise<void>((done) => setTimeout((word: string) => { order.push(word); done(); },
      1, "given"));
  } else {
    await new Promise<void>((done) => {
      const repeated = setInterval(() => {
        if (order.push("tick") === 3) { clearInterval(repeated); done(); }
      }, 1);
    });
  }
  return order;
} });
export const imports = action({ args: {}, handler: async () =>
  (await import("./shared")).usual() });
export const importsInQuery = query({ args: {}, handler: async () =>
  (await import("./shared")).usual() });
export const operation = query({ args: { kind: v.string() }, handler: async (_, { kind }) => {
  const convex = (globalThis as any).Convex;
  return await convex[kind]("1.0/nothing", kind === "jsSyscall" ? {} : "{}");
} });
export const deep = query({ args: {}, handler: async () => {
  const down = (n: number): number => 1 + down(n + 1);
  return down(0);
} });
export const works = query({ args: {}, handler: async () => "works" });
export const moving = action({ args: {}, handler: async () => {
  const before = Date.now();
  while (Date.now() === before) await new Promise((done) => setTimeout(done, 1));
  return Date.now() > before;
} });
"""


@pytest.fixture
def live(push_once: PushOnce) -> EmbeddedDeployment:
    files = {"app": APP, "node": NODE, "shared": SHARED, "more": MORE}
    return push_once({f"convex/{name}.ts": text for name, text in files.items()})


ENVIRONMENTS: Mapping[str, tuple[FunctionKind, str]] = {
    "query": ("query", "app:q_"),
    "mutation": ("mutation", "app:m_"),
    "action": ("action", "app:a_"),
    "node": ("action", "node:a_"),
}


@pytest.fixture(params=ENVIRONMENTS)
def run(
    request: pytest.FixtureRequest, live: EmbeddedDeployment
) -> Callable[[str], FunctionResult]:
    """Runs one of the shared functions in the environment that is tested."""
    kind, prefix = ENVIRONMENTS[request.param]

    def call(name: str) -> FunctionResult:
        result = live.call(kind, f"{prefix}{name}")
        assert result.error is None, result.error
        return result

    return call


def in_node(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params["run"] == "node")


def test_no_call_sees_what_another_left(run: Callable[[str], FunctionResult]) -> None:
    for _ in range(3):
        assert run("state").value == [0, None, "function", "function"]


def test_what_replaces_a_global_does_so_for_its_call_alone(
    run: Callable[[str], FunctionResult],
) -> None:
    for _ in range(2):
        replaced = run("replace")
        assert replaced.value == [
            ["function", "object", "object"],
            ["mine", "mine", "object"],
        ]
        assert replaced.log_lines == ()
        assert run("usual").value == ["function", "object", "function"]


def test_variables_can_be_read_and_not_written(
    run: Callable[[str], FunctionResult], live: EmbeddedDeployment, request: pytest.FixtureRequest
) -> None:
    live.set_environment({"GIVEN": "a"})
    try:
        # In the default runtime variables are read one by one, and none is listed.
        spread = "a" if in_node(request) else None
        expected = ["a", None, False, True, "a", None, spread, None]
        assert [run("environment").value for _ in range(2)] == [expected] * 2
    finally:
        live.set_environment({"GIVEN": None})


def test_dates_are_dates(run: Callable[[str], FunctionResult]) -> None:
    found = run("time").value
    assert isinstance(found, dict)
    # Two readings can differ in actions; see below for the others.
    for varying in ("now", "same", "text"):
        del found[varying]
    assert found == {
        "is": True,
        "constructor": True,
        "given": 0,
        "parts": 1,
        "utc": 86_400_000,
        "parsed": 1000,
        "text0": "1970-01-01T00:00:00.000Z",
    }


def test_what_is_random_has_its_form(run: Callable[[str], FunctionResult]) -> None:
    found = run("random").value
    assert isinstance(found, dict)
    uuid = str(found.pop("uuid"))
    assert re.fullmatch(r"[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}", uuid)
    assert found == {
        "within": True,
        "many": 50,
        "same": True,
        "around": [1, 1, 1, 1],
        "changed": True,
        "wide": True,
    }


def test_digests_are_made(run: Callable[[str], FunctionResult]) -> None:
    assert run("digest").value == [0xCA, 0x97, 0x81, 0x12]


PRINTED = (
    "[LOG] 'a' 1 {\n  deep: {\n    er: [ 1n ]\n  }\n} undefined null true",
    "[INFO] '%s' 'b'",
    "[WARN] Map (1) {\n  'k' => Set (1) {\n    1\n  }\n}",
    "[ERROR] 'multi\\nline'",
    "[DEBUG] Symbol(s) [Function (anonymous)]",
    "[LOG] 'traced'",
    "[LOG] ",
)
PRINTED_IN_NODE = (
    "[LOG] 'a' 1 { deep: { er: [ 1n ] } } undefined null true",
    PRINTED[1],
    "[WARN] Map(1) { 'k' => Set(1) { 1 } }",
    *PRINTED[3:],
)


def test_lines_have_their_levels_and_show_values(
    run: Callable[[str], FunctionResult], request: pytest.FixtureRequest
) -> None:
    assert run("log").log_lines == (PRINTED_IN_NODE if in_node(request) else PRINTED)


METHODS = ["debug", "error", "info", "log", "time", "timeEnd", "timeLog", "trace", "warn"]


def test_the_console_has_its_methods_and_no_others(
    run: Callable[[str], FunctionResult], request: pytest.FixtureRequest
) -> None:
    found = run("methods").value
    assert isinstance(found, list)
    assert found == METHODS or (in_node(request) and {*METHODS, "table", "dir"} < {*found})


@pytest.mark.parametrize("prefix", ["app:q_", "app:m_", "app:a_"])
def test_other_methods_of_the_console_are_no_functions(
    prefix: str, live: EmbeddedDeployment
) -> None:
    kind: FunctionKind = {"q": "query", "m": "mutation", "a": "action"}[prefix[4]]  # type: ignore[assignment]
    error = live.call(kind, f"{prefix}others").error
    assert re.search(r"Uncaught TypeError: console\S+ is not a function\n", str(error))


def test_timers_of_the_console_are_lines(live: EmbeddedDeployment) -> None:
    for kind in ("q", "m"):
        call = live.query if kind == "q" else live.mutation
        assert call(f"app:{kind}_timers").log_lines == (
            "[WARN] Timer 't' already exists",
            "[INFO] t: 0ms [ 1 ]",
            "[INFO] t: 0ms",
            "[WARN] Timer 't' does not exist",
            "[WARN] Timer 'u' does not exist",
            "[INFO] default: 0ms",
        )


LANGUAGE = [
    "AggregateError",
    "Array",
    "ArrayBuffer",
    "AsyncDisposableStack",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boolean",
    "DataView",
    "Date",
    "DisposableStack",
    "Error",
    "EvalError",
    "FinalizationRegistry",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "Function",
    "Infinity",
    "Int16Array",
    "Int32Array",
    "Int8Array",
    "Intl",
    "Iterator",
    "JSON",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "RangeError",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "Set",
    "String",
    "SuppressedError",
    "Symbol",
    "SyntaxError",
    "TypeError",
    "URIError",
    "Uint16Array",
    "Uint32Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "WeakMap",
    "WeakRef",
    "WeakSet",
    "WebAssembly",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "eval",
    "globalThis",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "undefined",
    "unescape",
]
PLATFORM = [
    "AbortController",
    "AbortSignal",
    "AsyncLocalStorage",
    "AsyncResource",
    "Blob",
    "Convex",
    "Crypto",
    "CryptoKey",
    "DOMException",
    "Event",
    "EventTarget",
    "File",
    "FormData",
    "Headers",
    "Performance",
    "PerformanceEntry",
    "PerformanceMark",
    "PerformanceMeasure",
    "ReadableStream",
    "ReadableStreamBYOBReader",
    "ReadableStreamDefaultReader",
    "Request",
    "Response",
    "SubtleCrypto",
    "TextDecoder",
    "TextDecoderStream",
    "TextEncoder",
    "TextEncoderStream",
    "TransformStream",
    "URL",
    "URLSearchParams",
    "WritableStream",
    "WritableStreamDefaultWriter",
    "atob",
    "btoa",
    "clearInterval",
    "clearTimeout",
    "console",
    "crypto",
    "fetch",
    "performance",
    "process",
    "self",
    "setInterval",
    "setTimeout",
    "structuredClone",
]


def test_globals_are_those_that_the_runtime_documents(
    run: Callable[[str], FunctionResult], request: pytest.FixtureRequest
) -> None:
    found = run("globals").value
    assert isinstance(found, list)
    names, unknown, bare, is_self, classes = found
    if in_node(request):
        nodes = {"Buffer", "setImmediate", "global", "require", "module", "__filename"}
        assert isinstance(names, list)
        assert nodes < {*names}
        return
    assert sorted(map(str, names if isinstance(names, list) else [])) == sorted(
        [*LANGUAGE, *PLATFORM]
    )
    assert (unknown, bare) == ([], [])
    assert (is_self, classes) == (True, ["function", "function"])


def test_globals_are_the_same_while_a_module_is_imported(
    bundle: Bundle, push_over_http: PushOverHttp
) -> None:
    source = (
        "export const x = 1;\nthrow new Error(Object.getOwnPropertyNames(globalThis).join());\n"
    )
    message = push_over_http(bundle({"convex/a.ts": source})).body["message"]
    names = message.partition("Uncaught Error: ")[2].partition("\n")[0].split(",")
    assert sorted(names) == sorted([*LANGUAGE, *PLATFORM])


def test_bodies_are_read_without_the_globals_that_node_reads_them_by(
    run: Callable[[str], FunctionResult],
) -> None:
    for _ in range(2):
        assert run("bodies").value == [True, 3, "t", "ab", {"a": 1}]


def test_no_call_gets_the_builtins_that_another_has_patched(
    live: EmbeddedDeployment,
) -> None:
    usual = ["{}", "x", [3], None, True, "function", "x.test", 12, "function", 1]
    for call, name in ((live.query, "q"), (live.mutation, "m"), (live.action, "a")):
        for _ in range(3):
            assert call(f"app:{name}_unpatched").value == usual
            call(f"app:{name}_patches")


def test_time_stands_still_in_transactions_and_moves_in_actions(live: EmbeddedDeployment) -> None:
    for kind in ("q", "m"):
        call = live.query if kind == "q" else live.mutation
        found: Any = call(f"app:{kind}_time").value
        assert (found["same"], found["text"]) == (True, True)
    assert live.action("more:moving").value is True


def test_time_is_the_deployments(live: EmbeddedDeployment) -> None:
    start = 1_500_000_000_000
    live.reset_data(start)
    live.advance(3600)
    calls = [(live.query, "app:q_"), (live.mutation, "app:m_"), (live.action, "app:a_")]
    for call, prefix in [*calls, (live.action, "node:a_")]:
        found: Any = call(f"{prefix}time").value
        # Real time goes on from there, however slow the machine is.
        assert start + 3_600_000 <= found["now"] < start + 7_200_000


def test_lines_are_in_the_order_in_which_they_were_written(live: EmbeddedDeployment) -> None:
    parents = ["[LOG] 'before'", "[WARN] 'child'", "[LOG] 'after'", "[WARN] 'child'"]
    assert list(live.mutation("more:parent", {"fails": False}).log_lines) == [
        *parents,
        "[LOG] 'last'",
    ]
    failed = live.mutation("more:parent", {"fails": True})
    assert failed.error is not None
    assert list(failed.log_lines) == parents, "also of what failed"
    assert list(live.action("more:acting").log_lines) == [
        "[LOG] 'acting'",
        *parents,
        "[LOG] 'last'",
        "[INFO] 'inner'",
        "[LOG] 'acted'",
    ]


OVERFLOW = "[ERROR] Log overflow (maximum 256). Remaining log lines omitted."


@pytest.mark.parametrize("count", [254, 255, 256, 600])
def test_256_lines_are_kept_of_a_call_the_note_of_more_included(
    count: int, live: EmbeddedDeployment
) -> None:
    lines = live.query("more:many", {"count": count}).log_lines
    assert lines[:255] == tuple(f"[LOG] {i}" for i in range(min(count, 255)))
    assert lines[255:] == (() if count <= 255 else (OVERFLOW,))


def test_each_function_has_lines_of_its_own(live: EmbeddedDeployment) -> None:
    lines = live.action("more:manyTwice").log_lines
    assert [line for line in lines if line.startswith("[ERROR]")] == [OVERFLOW] * 2
    assert len(lines) == 512
    assert lines[-2] == "[WARN] 254"


def test_actions_have_timers(live: EmbeddedDeployment) -> None:
    assert live.action("more:timer", {"way": "timeout"}).value == ["given"]
    assert live.action("more:timer", {"way": "interval"}).value == ["tick"] * 3


def test_only_actions_import_while_they_run(live: EmbeddedDeployment) -> None:
    assert live.action("more:imports").value == ["function", "object", "function"]
    refused = live.query("more:importsInQuery").error
    assert re.search(
        r"Uncaught Error: Can't dynamically import \"\./\S+\" in a query or", str(refused)
    )


@pytest.mark.parametrize("kind", ["syscall", "asyncSyscall", "jsSyscall"])
def test_operations_that_are_not_known_are_told(kind: str, live: EmbeddedDeployment) -> None:
    word = "async operation" if kind == "asyncSyscall" else "operation"
    error = live.query("more:operation", {"kind": kind}).error
    assert f"Unknown {word} 1.0/nothing" in str(error)


def test_a_stack_that_overflows_is_an_error_and_the_next_call_works(
    live: EmbeddedDeployment,
) -> None:
    error = live.query("more:deep").error
    assert "Uncaught RangeError: Maximum call stack size exceeded" in str(error)
    assert live.query("more:works").value == "works"
