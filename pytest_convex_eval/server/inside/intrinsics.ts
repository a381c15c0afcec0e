/**
 * The built-ins of a realm as they were before pushed code ran, and their way back: what a call has changed of them,
 * the next one does not get.
 *
 * They are looked at after each call, so those are kept that anybody would patch; for all there are it would take a
 * tenth of the time that a query does.
 */

import { create, getPrototypeOf, hasOwn, is, isExtensible, ownKeys } from "./captured.ts";

// These say whether they could, where those of Object throw.
const { defineProperty, deleteProperty, getOwnPropertyDescriptor, setPrototypeOf } = Reflect;

/** Names of the global object; of a function, its prototype is meant as well. */
export const WATCHED: readonly string[] = (
  "Object Function Array Number Boolean String Symbol BigInt Date Promise RegExp Error JSON Math Reflect Map Set " +
  "WeakMap WeakSet Iterator Uint8Array ArrayBuffer URL URLSearchParams console crypto"
).split(" ");

type Kept = {
  holder: any;
  prototype: object | null;
  isExtensible: boolean;
  names: PropertyKey[];
  /** Of properties with a value that can be another: their names, and the values. */
  valued: PropertyKey[];
  values: unknown[];
  /** Of those without a value. */
  accessors: PropertyKey[];
  descriptors: Record<PropertyKey, PropertyDescriptor>;
};

export class Intrinsics {
  #kept: Kept[] = [];
  #known: Set<object> = new Set();

  /**
   * Keeps `holder` and what it inherits from.
   * @param unasked names of its properties that are left alone
   */
  keep(holder: object, unasked: readonly PropertyKey[] = []) {
    for (let each: object | null = holder; each !== null; each = getPrototypeOf(each)) {
      if (this.#known.has(each)) return;
      this.#known.add(each);
      this.#kept.push(describe(each, each === holder ? unasked : []));
    }
  }

  /** Keeps a class, a namespace, or an instance: functions with their prototypes. */
  keepWhole(value: object) {
    this.keep(value);
    if (typeof value === "function" && hasOwn(value, "prototype"))
      this.keep(Reflect.get(value, "prototype"));
  }

  /**
   * Puts everything back.
   * @returns whether it could: what is frozen stays as it is
   */
  restore(): boolean {
    const all = this.#kept;
    for (let i = 0; i < all.length; i++) {
      const kept = all[i] as Kept;
      if (isAsKept(kept)) continue;
      putBack(kept);
      if (!isAsKept(kept)) return false;
    }
    return true;
  }
}

function describe(holder: object, unasked: readonly PropertyKey[]): Kept {
  const kept: Kept = {
    holder,
    prototype: getPrototypeOf(holder),
    isExtensible: isExtensible(holder),
    ...{ names: ownKeys(holder), valued: [], values: [], accessors: [], descriptors: create(null) },
  };
  for (const name of kept.names) {
    if (unasked.includes(name)) continue;
    // It inherits nothing: pushed code can put a getter called `get` on what descriptors inherit.
    const descriptor = Object.setPrototypeOf(getOwnPropertyDescriptor(holder, name), null);
    kept.descriptors[name] = descriptor;
    if (!hasOwn(descriptor, "value")) {
      if (descriptor.configurable) kept.accessors.push(name);
    } else if (descriptor.writable) {
      kept.valued.push(name);
      kept.values.push(descriptor.value);
    }
  }
  return kept;
}

function isAsKept(kept: Kept) {
  const { holder, names, valued, values, accessors, descriptors } = kept;
  if (getPrototypeOf(holder) !== kept.prototype || isExtensible(holder) !== kept.isExtensible)
    return false;
  if (ownKeys(holder).length !== names.length) return false;
  try {
    for (let i = 0; i < valued.length; i++) {
      const found = holder[valued[i] as PropertyKey];
      if (found !== values[i] && !is(found, values[i])) return false;
    }
  } catch {
    return false; // A getter in its place.
  }
  for (let i = 0; i < accessors.length; i++) {
    const name = accessors[i] as PropertyKey;
    const found = getOwnPropertyDescriptor(holder, name);
    const { get, set } = descriptors[name] as PropertyDescriptor;
    if (found?.get !== get || found?.set !== set) return false;
  }
  return true;
}

function putBack({ holder, prototype, names, descriptors }: Kept) {
  setPrototypeOf(holder, prototype);
  const known = create(null);
  for (let i = 0; i < names.length; i++) known[names[i] as PropertyKey] = true;
  const found = ownKeys(holder);
  for (let i = 0; i < found.length; i++) {
    const name = found[i] as PropertyKey;
    if (!hasOwn(known, name)) deleteProperty(holder, name);
  }
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as PropertyKey;
    if (hasOwn(descriptors, name))
      defineProperty(holder, name, descriptors[name] as PropertyDescriptor);
  }
}
