/**
 * The global object that pushed code sees: the same while it is imported and while its functions run. What differs
 * between the two (what time it is, whether randomness has a seed, where console lines go) its makers say.
 *
 * It is no wall: the wall is the process around it (see isolate.ts).
 */

import { makeConsole, makeNodeConsole } from "./console.ts";
import type { Lines } from "./console.ts";
import { environment } from "./environment.ts";
import type { Variables } from "./environment.ts";
import { define, keepOnlyGlobals } from "./globals.ts";
import { Intrinsics } from "./intrinsics.ts";
import { closeNetwork } from "./network.ts";
import { cutPrototypes, emptyProcess } from "./own_node.ts";
import { makeCrypto, makeRandom } from "./randomness.ts";
import type { Randomness } from "./randomness.ts";
import { shownProcess } from "./shown_process.ts";
import { makeDate, makePerformance } from "./time.ts";

export interface Surroundings {
  /** With Node's built-ins, for "use node" modules. */
  node: boolean;
  /** Milliseconds since 1970; may throw what the code that asks then gets. */
  now: () => number;
  /** What `performance` counts from, and the entries that it keeps. */
  timeline: () => { origin: number; entries: object[] };
  randomness: Randomness;
  variables: () => Variables;
  lines: Omit<Lines, "now">;
  /** The functions that are this realm's own: `Convex`, `fetch`, timers. */
  globals: Record<string, unknown>;
}

export function makeRealm(surroundings: Surroundings) {
  const { node, now, timeline, randomness, lines } = surroundings;
  const intrinsics = new Intrinsics();
  closeNetwork();
  const env = environment(surroundings.variables, { areListed: node });
  const shown = node ? Object.assign(shownProcess(), { env }) : { env };
  const usualConsole = globalThis.console;
  if (node) {
    define("crypto", makeCrypto(randomness, { isWhole: true, notImplemented }));
    define("console", makeNodeConsole({ ...lines, now }, usualConsole));
  } else {
    keepOnlyGlobals();
    define("crypto", makeCrypto(randomness, { isWhole: false, notImplemented }));
    define("console", makeConsole({ ...lines, now }));
    const classes = makePerformance({
      now: () => now() - timeline().origin,
      origin: () => timeline().origin,
      entries: () => timeline().entries,
    });
    for (const [name, value] of Object.entries(classes)) define(name, value);
    leaveOut();
  }
  for (const [name, value] of Object.entries(surroundings.globals)) define(name, value);
  define("process", shown);
  define("Date", makeDate(now));
  Math.random = makeRandom(randomness);
  if (!node) cutPrototypes();
  emptyProcess();
  return { shown, intrinsics };
}

/** @param what `set host for URL` */
function notImplemented(what: string): never {
  throw new Error(
    `Not implemented: ${what}. Consider calling an action defined in Node.js instead ` +
      "(https://docs.convex.dev/functions/actions).",
  );
}

/** What Node's classes can do and the Convex runtime's can't. */
function leaveOut() {
  for (const name of ["host", "username", "password"]) {
    const { get } = Object.getOwnPropertyDescriptor(URL.prototype, name) ?? {};
    Object.defineProperty(URL.prototype, name, {
      get,
      set: () => notImplemented(`set ${name} for URL`),
      enumerable: true,
      configurable: true,
    });
  }
  const clone = structuredClone;
  define("structuredClone", (value: unknown, options?: { transfer?: unknown }) => {
    if (options?.transfer !== undefined) notImplemented("transfer for structuredClone");
    return clone(value);
  });
  const RealWeakRef = WeakRef;
  const OwnWeakRef = new Proxy(RealWeakRef, {
    construct: (target, args, newTarget) => {
      const [held] = args;
      if ((typeof held !== "object" && typeof held !== "function") || held === null)
        throw new TypeError("target must be an object");
      return Reflect.construct(target, args, newTarget);
    },
  });
  Object.defineProperty(RealWeakRef.prototype, "constructor", { value: OwnWeakRef });
  define("WeakRef", OwnWeakRef);
}
