/**
 * The global object that pushed code sees while it is imported.
 *
 * In the default environment these are the globals that Convex documents and nothing of Node; in
 * the Node environment ("use node"), Node's own with a `process` that gives nothing away.
 * Neither is a wall: the wall is the process around it (see isolate.ts).
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { webcrypto } from "node:crypto";
import { inspect } from "node:util";

import { process } from "./own_node.ts";
import { calledByNode } from "./stack.ts";

/** Console lines kept for the report of an import that failed (the backend's number). */
const KEPT_LOG_LINES = 100;

// Language globals are whatever this V8 has; of the platform's, those that the Convex runtime documents
// (https://docs.convex.dev/functions/runtimes).
const PLATFORM = new Set(
  (
    "URL URLSearchParams Headers Request Response FormData Blob File fetch TextEncoder TextDecoder " +
    "TextEncoderStream TextDecoderStream ReadableStream ReadableStreamDefaultReader ReadableStreamBYOBReader " +
    "ReadableStreamDefaultController ReadableByteStreamController ReadableStreamBYOBRequest WritableStream " +
    "WritableStreamDefaultWriter WritableStreamDefaultController TransformStream TransformStreamDefaultController " +
    "ByteLengthQueuingStrategy CountQueuingStrategy CompressionStream DecompressionStream crypto Crypto CryptoKey " +
    "SubtleCrypto AbortController AbortSignal Event EventTarget CustomEvent DOMException structuredClone performance " +
    "setTimeout clearTimeout setInterval clearInterval queueMicrotask console atob btoa"
  ).split(" "),
);
/** What Node's own JavaScript reads from the global object after its start. */
const USED_BY_NODE = "Buffer MessagePort MessageChannel setImmediate clearImmediate".split(" ");

const NODE_ONLY_LANGUAGE = new Set(["SharedArrayBuffer", "Atomics"]);

const DATABASE_SYSCALLS = new Set(
  (
    "queryStream queryCleanup queryStreamNext queryPage get insert shallowMerge replace remove count " +
    "db/normalizeId actions/vectorSearch"
  )
    .split(" ")
    .map((name) => `1.0/${name}`),
);

const logs: string[] = [];

/** The last console lines, oldest first. */
export function recentLogs() {
  return [...logs];
}

export interface Environment {
  get: (name: string) => string | undefined;
  names: () => string[];
}

/** What `process.env` reads from; each unit of evaluation sets its own. */
export class EnvironmentVariables {
  #current: Environment = { get: () => undefined, names: () => [] };

  use(environment: Environment) {
    this.#current = environment;
    logs.length = 0;
  }

  /** `process.env` itself: one object for the whole realm, as bundles keep a reference to it. */
  proxy() {
    return new Proxy(
      {},
      {
        get: (_, name) => (typeof name === "string" ? this.#current.get(name) : undefined),
        has: (_, name) => typeof name === "string" && this.#current.names().includes(name),
        ownKeys: () => this.#current.names(),
        getOwnPropertyDescriptor: (_, name) =>
          typeof name === "string" && this.#current.names().includes(name)
            ? { value: this.#current.get(name), enumerable: true, configurable: true }
            : undefined,
        set: () => true,
        deleteProperty: () => true,
      },
    );
  }
}

export function makeConvexRealm(variables: EnvironmentVariables) {
  stripGlobals(variables);
  define("Convex", { syscall, asyncSyscall: syscall, jsSyscall: syscall });
  define("console", makeConsole());
  define("fetch", unsupported("fetch()"));
  define("setTimeout", unsupported("setTimeout"));
  define("setInterval", unsupported("setInterval"));
  fixTime();
  seedRandomness();
}

/** Takes away what the Convex runtime does not have. */
export function stripGlobals(variables: { proxy(): object }) {
  const language = new Set(languageGlobals());
  const kept = Object.fromEntries(
    USED_BY_NODE.map((name) => [name, Reflect.get(globalThis, name)]),
  );
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (language.has(name) || PLATFORM.has(name)) continue;
    Reflect.deleteProperty(globalThis, name);
  }
  for (const name of NODE_ONLY_LANGUAGE) Reflect.deleteProperty(globalThis, name);
  for (const name of USED_BY_NODE) defineForNode(name, kept[name], undefined);
  defineForNode("process", process, { env: variables.proxy() });
  define("AsyncLocalStorage", AsyncLocalStorage);
}

/**
 * A global that Node's own JavaScript sees as `real` and all other code as `shown`: the classes of fetch
 * are loaded on first use (50 ms of CPU) and read Node's globals then and later.
 */
function defineForNode(name: string, real: unknown, shown: unknown) {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    enumerable: false,
    get: () => (calledByNode() ? real : shown),
    set: (value) => define(name, value),
  });
}

/** @param shown as `process` */
export function makeNodeRealm(variables: EnvironmentVariables, shown: object) {
  define("process", Object.assign(shown, { env: variables.proxy() }));
  define("Convex", { syscall, asyncSyscall: syscall, jsSyscall: syscall });
  define("console", makeConsole());
  define("fetch", unsupported("fetch()"));
}

export function define(name: string, value: unknown) {
  Object.defineProperty(globalThis, name, {
    value,
    writable: true,
    configurable: true,
    enumerable: false,
  });
}

/** The names that ECMAScript gives a global object. */
function languageGlobals() {
  return (
    "globalThis Infinity NaN undefined eval isFinite isNaN parseFloat parseInt decodeURI decodeURIComponent encodeURI " +
    "encodeURIComponent escape unescape Object Function Array Number Boolean String Symbol BigInt Date Promise RegExp " +
    "Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError JSON Math " +
    "Intl ArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array " +
    "BigInt64Array BigUint64Array Float16Array Float32Array Float64Array Map Set WeakMap WeakSet WeakRef " +
    "FinalizationRegistry Iterator Proxy Reflect DisposableStack AsyncDisposableStack WebAssembly"
  ).split(" ");
}

function syscall(op: string) {
  if (DATABASE_SYSCALLS.has(op)) throw new Error("Can't use database at import time");
  throw new Error(`Syscall ${op} unsupported at import time`);
}

function unsupported(what: string) {
  return () => {
    throw new Error(`${what} unsupported at import time`);
  };
}

function makeConsole() {
  const write =
    (level: string) =>
    (...values: unknown[]) => {
      logs.push(`[${level}] ${values.map((value) => inspect(value)).join(" ")}`);
      if (logs.length > KEPT_LOG_LINES) logs.shift();
    };
  const nothing = () => {};
  return {
    log: write("LOG"),
    info: write("INFO"),
    warn: write("WARN"),
    error: write("ERROR"),
    debug: write("DEBUG"),
    trace: write("LOG"),
    ...{ time: nothing, timeEnd: nothing, timeLog: nothing, group: nothing, groupEnd: nothing },
    ...{ assert: nothing, count: nothing, dir: nothing, table: nothing },
  };
}

/** Told of what is not the same each time, before it is given. */
let onVarying = (_what: "Date" | "Math.random") => {};

/** @param listener may throw what the code that asks then gets */
export function watchVarying(listener: typeof onVarying) {
  onVarying = listener;
}

/** Time stands still during an import. */
function fixTime() {
  const RealDate = Date;
  const fixed = RealDate.now();
  const now = () => {
    onVarying("Date");
    return fixed;
  };
  RealDate.now = now;
  const FixedDate = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new RealDate(now()).toString(),
  });
  Object.defineProperty(RealDate.prototype, "constructor", { value: FixedDate });
  define("Date", FixedDate);
}

/** Math.random, randomUUID and getRandomValues give a seeded sequence; keys can't be made. */
function seedRandomness() {
  let state = 0x9e3779b9;
  const next = () => {
    // xorshift32 (Marsaglia, "Xorshift RNGs", 2003): a fixed seed is never 0.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  Math.random = () => {
    onVarying("Math.random");
    return next() / 2 ** 32;
  };
  const getRandomValues = <T extends ArrayBufferView>(view: T) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = next();
    return view;
  };
  const randomUUID = () => {
    const bytes = getRandomValues(new Uint8Array(16));
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40; // RFC 9562, version 4
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [8, 12, 16, 20, 32].map((end, i) => hex.slice([0, 8, 12, 16, 20][i], end)).join("-");
  };
  const noKeys = async () => {
    throw new Error("Cannot use cryptographic randomness at import time");
  };
  const subtle = Object.create(webcrypto.subtle, {
    generateKey: { value: noKeys },
    digest: { value: webcrypto.subtle.digest.bind(webcrypto.subtle) },
    importKey: { value: webcrypto.subtle.importKey.bind(webcrypto.subtle) },
  });
  define("crypto", { getRandomValues, randomUUID, subtle });
}
