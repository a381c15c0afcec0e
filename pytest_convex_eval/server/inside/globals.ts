/** Which names the default runtime has. */

import { setPrototypeOf } from "./captured.ts";
import { AsyncLocalStorage, AsyncResource } from "./own_node.ts";
import { calledByNode } from "./stack.ts";

/** The names that ECMAScript gives a global object, as far as the Convex runtime has them. */
export const LANGUAGE = (
  "globalThis Infinity NaN undefined eval isFinite isNaN parseFloat parseInt decodeURI decodeURIComponent encodeURI " +
  "encodeURIComponent escape unescape Object Function Array Number Boolean String Symbol BigInt Date Promise RegExp " +
  "Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError JSON Math " +
  "Intl ArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array " +
  "BigInt64Array BigUint64Array Float16Array Float32Array Float64Array Map Set WeakMap WeakSet WeakRef " +
  "FinalizationRegistry Iterator Proxy Reflect DisposableStack AsyncDisposableStack WebAssembly"
).split(" ");

/**
 * Those of the platform that are Node's (https://docs.convex.dev/functions/runtimes), or stand in the place of Node's;
 * the others that there are, `realm.ts` defines.
 */
const OF_NODE =
  "URL URLSearchParams AbortController AbortSignal Event EventTarget DOMException structuredClone".split(
    " ",
  );
/** The same; Node makes these when they are first asked for, or even described. */
export const MADE_LATE: readonly string[] = (
  "Headers Request Response FormData Blob File TextEncoder TextDecoder TextEncoderStream TextDecoderStream " +
  "ReadableStream ReadableStreamDefaultReader ReadableStreamBYOBReader WritableStream " +
  "WritableStreamDefaultWriter TransformStream Crypto CryptoKey SubtleCrypto atob btoa"
).split(" ");

/** What Node's own JavaScript reads from the global object after its start, the classes of fetch above all. */
const READ_BY_NODE =
  "Buffer MessagePort MessageChannel setImmediate clearImmediate queueMicrotask SharedArrayBuffer".split(
    " ",
  );

export function define(name: string, value: unknown) {
  Object.defineProperty(globalThis, name, {
    value,
    writable: true,
    configurable: true,
    enumerable: false,
  });
}

/** Takes away every other name. */
export function keepOnlyGlobals() {
  const kept = new Set([...LANGUAGE, ...OF_NODE, ...MADE_LATE]);
  const real = Object.create(null);
  for (const name of READ_BY_NODE) real[name] = Reflect.get(globalThis, name);
  // Where there is one already, the classes of fetch put no agent of their own on the global object.
  for (const version of [1, 2]) real[Symbol.for(`undici.globalDispatcher.${version}`)] = {};
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!kept.has(name)) Reflect.deleteProperty(globalThis, name);
  }
  for (const symbol of Object.getOwnPropertySymbols(globalThis))
    Reflect.deleteProperty(globalThis, symbol);
  // To load the classes of fetch takes 50 ms of CPU, so they can't all be loaded while these names are still there;
  // and they read some of them whenever they are used. No name is there for any other code.
  setPrototypeOf(
    globalThis,
    new Proxy(Object.create(Object.getPrototypeOf(globalThis)), {
      has: (target, name) => (name in real && calledByNode()) || Reflect.has(target, name),
      get: (target, name, receiver) =>
        name in real && calledByNode() ? real[name] : Reflect.get(target, name, receiver),
    }),
  );
  define("self", globalThis);
  define("AsyncLocalStorage", AsyncLocalStorage);
  define("AsyncResource", AsyncResource);
}
