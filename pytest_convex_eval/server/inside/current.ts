/** The call on whose behalf code runs. */

import { apply, getOwnPropertyDescriptors, create, ownMap, setPrototypeOf } from "./captured.ts";
import { AsyncLocalStorage } from "./own_node.ts";
import type { Call } from "./call.ts";

/** Calls that have not ended. */
const calls: Map<number, Call> = ownMap();
// Its methods are its own, and what it stores is no more than a number: pushed code has this class, too.
const ids = setPrototypeOf(
  new AsyncLocalStorage<number>(),
  create(null, getOwnPropertyDescriptors(AsyncLocalStorage.prototype)),
) as InstanceType<typeof AsyncLocalStorage<number>>;

export function begin(call: Call) {
  calls.set(call.id, call);
}

/** @returns whether no other call runs */
export function finish(call: Call) {
  calls.delete(call.id);
  return calls.size === 0;
}

export function callOf(id: number): Call | undefined {
  return calls.get(id);
}

/** Undefined outside of a call that still runs. */
export function running(): Call | undefined {
  const id = ids.getStore();
  return id === undefined ? undefined : calls.get(id);
}

/** The only call that runs; undefined where there are others or none. */
export function onlyCall(): Call | undefined {
  let found: Call | undefined;
  calls.forEach((call) => {
    found = call;
  });
  return calls.size === 1 ? found : undefined;
}

/** @throws Error outside of a call that still runs */
export function currentCall(): Call {
  const call = running();
  if (call === undefined)
    throw new Error("The function that this code belongs to has already returned.");
  return call;
}

/** Has `work` done on behalf of a call. */
export function within<T>(call: Call, work: () => T): T {
  return ids.run(call.id, work);
}

/** A function that does its work on behalf of the call that it was made in. */
export function bound<A extends unknown[]>(work: (...args: A) => unknown) {
  const id = ids.getStore();
  return (...args: A) => ids.run(id as number, () => apply(work, undefined, args));
}
