/**
 * The global object that functions see while they run. One realm for all calls of a process; what belongs to a
 * call (its time, its random numbers, its variables, its console) is found through the asynchronous context.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { webcrypto } from "node:crypto";
import { inspect } from "node:util";

import { closeNetwork, shownProcess } from "./node_builtins.ts";
import { process as realProcess } from "./own_node.ts";
import { define, stripGlobals } from "./analysis_realm.ts";
import { calledByNode } from "./stack.ts";
import type { Call } from "./call.ts";

/** The call on whose behalf code runs. */
export const current: AsyncLocalStorage<Call> = new AsyncLocalStorage();

const MAX_LOG_LINES = 256;
/** What code replaces to make a function deterministic, as `@convex-dev/workflow` does. */
const REPLACEABLE = ["Math", "Date", "console", "crypto", "Crypto", "CryptoKey", "SubtleCrypto"];
const { setTimeout, setInterval } = globalThis;
const RealDate = Date;
const realNow = Date.now;

/** @throws Error outside of a call that still runs */
export function currentCall(): Call {
  const call = current.getStore();
  if (call === undefined || call.ended) {
    throw new Error("The function that this code belongs to has already returned.");
  }
  return call;
}

export function makeRealm({
  node,
  log,
  convex,
  fetch,
}: {
  node: boolean;
  log: (call: Call, line: string) => void;
  convex: object;
  fetch: typeof globalThis.fetch;
}) {
  closeNetwork();
  const variables = environment();
  const shown = node
    ? Object.assign(shownProcess(), { env: variables.proxy() })
    : { env: variables.proxy() };
  if (node) define("process", shown);
  else stripGlobals(variables);
  define("Convex", convex);
  define("console", makeConsole(log));
  define("fetch", (input: string | URL | Request, init: RequestInit | undefined) => {
    refuseInTransactions("fetch()");
    return fetch(input, init);
  });
  if (!node) {
    define("setTimeout", timer("setTimeout", setTimeout));
    define("setInterval", timer("setInterval", setInterval));
  }
  ownTime();
  ownRandomness();
  const replacements = new Replacements();
  for (const name of REPLACEABLE)
    if (name in globalThis) replacements.allow(name, Reflect.get(globalThis, name));
  if (!node) replacements.allow("process", shown, realProcess);
  const kept = new Set(Reflect.ownKeys(globalThis));
  return {
    /** Removes what a call has left on the global object: the next one gets none of it. */
    tidy: () => {
      for (const name of Reflect.ownKeys(globalThis))
        if (!kept.has(name)) Reflect.deleteProperty(globalThis, name);
      replacements.any = false;
    },
  };
}

/** Globals that a call can put something else in place of, for itself: not for its caller, nor for what it calls. */
class Replacements {
  /** Whether a call of those that run has. */
  any = false;

  /** @param real what Node's own JavaScript sees */
  allow(name: string, usual: unknown, real?: unknown) {
    const own = () => {
      const globals = current.getStore()?.globals;
      return globals?.has(name) ? globals.get(name) : usual;
    };
    // Each is a getter of its own: this one is called for every use of `Math`, and who calls must be its caller.
    const plain = () => (this.any ? own() : usual);
    const guarded = () => (calledByNode() ? real : plain());
    Object.defineProperty(globalThis, name, {
      configurable: true,
      enumerable: false,
      get: real === undefined ? plain : guarded,
      set: (value) => {
        this.any = true;
        current.getStore()?.globals.set(name, value);
      },
    });
  }
}

/** What `process.env` reads from. */
function environment() {
  const env = () => current.getStore()?.env ?? {};
  return {
    proxy: () =>
      new Proxy(
        {},
        {
          get: (_, name) =>
            typeof name === "string" && Object.hasOwn(env(), name) ? env()[name] : undefined,
          has: (_, name) => Object.hasOwn(env(), name),
          ownKeys: () => Object.keys(env()),
          getOwnPropertyDescriptor: (_, name) =>
            typeof name === "string" && Object.hasOwn(env(), name)
              ? { value: env()[name], enumerable: true, configurable: true }
              : undefined,
          set: () => true,
          deleteProperty: () => true,
        },
      ),
  };
}

function refuseInTransactions(what: string) {
  if (currentCall().isAction) return;
  throw new Error(
    `Can't use ${what} in queries and mutations. Please consider using an action. See ` +
      "https://docs.convex.dev/functions/actions for more details.",
  );
}

function timer<T extends (...args: any[]) => unknown>(name: string, real: T) {
  return (...args: unknown[]) => {
    refuseInTransactions(name);
    return real(...args);
  };
}

function makeConsole(log: (call: Call, line: string) => void) {
  const write =
    (level: string) =>
    (...values: unknown[]) => {
      const call = current.getStore();
      if (call === undefined || call.ended || call.logLines > MAX_LOG_LINES) return;
      call.logLines += 1;
      if (call.logLines > MAX_LOG_LINES) {
        log(call, `[ERROR] Log overflow (maximum ${MAX_LOG_LINES}). Remaining log lines omitted.`);
        return;
      }
      log(call, `[${level}] ${values.map((value) => inspect(value)).join(" ")}`);
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
    ...{ assert: nothing, count: nothing, dir: write("LOG"), table: write("LOG") },
  };
}

/** Time stands still in queries and mutations, and goes on from the deployment's clock in actions. */
function ownTime() {
  const now = () => {
    const call = current.getStore();
    if (call === undefined) return realNow();
    return call.fixedNow ?? realNow() + call.clockOffset;
  };
  RealDate.now = now;
  const OwnDate = new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new RealDate(now()).toString(),
  });
  Object.defineProperty(RealDate.prototype, "constructor", { value: OwnDate });
  define("Date", OwnDate);
}

/** Queries and mutations get a sequence that their seed determines; actions real randomness. */
function ownRandomness() {
  const { random } = Math;
  const real = webcrypto;
  const next = (call: Call) => {
    // xorshift32 (Marsaglia, "Xorshift RNGs", 2003); the seed is never 0.
    let state = call.seed;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    call.seed = state;
    return state >>> 0;
  };
  const seeded = (): Call | null => {
    const call = current.getStore();
    return call === undefined || call.isAction ? null : call;
  };
  Math.random = () => {
    const call = seeded();
    return call === null ? random() : next(call) / 2 ** 32;
  };
  const getRandomValues = (view: any) => {
    const call = seeded();
    if (call === null) return real.getRandomValues(view);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = next(call);
    return view;
  };
  const randomUUID = () => {
    const bytes = getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40; // RFC 9562, version 4
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Buffer.from(bytes).toString("hex");
    return [
      hex.slice(0, 8),
      hex.slice(8, 12),
      hex.slice(12, 16),
      hex.slice(16, 20),
      hex.slice(20),
    ].join("-");
  };
  define("crypto", { getRandomValues, randomUUID, subtle: real.subtle });
}

const { Buffer } = globalThis;
