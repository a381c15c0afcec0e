/**
 * Built-ins as they were before any pushed code ran. What of ours runs after it takes them from here: pushed code
 * can replace `JSON.stringify`, methods of prototypes, and the getters that plain objects inherit.
 */

const { call } = Function.prototype;

export const { apply, ownKeys } = Reflect;
export const {
  create,
  defineProperty,
  getOwnPropertyDescriptor,
  getOwnPropertyDescriptors,
  getPrototypeOf,
  hasOwn,
  is,
  isExtensible,
  keys,
  setPrototypeOf,
} = Object;
export const { isArray } = Array;
export const { parse, stringify } = JSON;
export const isFiniteNumber = Number.isFinite;
/** The `String` of a string. */
export const text: (value: unknown) => string = String;
export const { byteLength } = Buffer;

/** A method as a function of what it is called on. */
export function uncurried<T, A extends unknown[], R>(
  method: (this: T, ...args: A) => R,
): (self: T, ...args: A) => R {
  return call.bind(method) as (self: T, ...args: A) => R;
}

export const charCodeAt = uncurried(String.prototype.charCodeAt);
export const slice = uncurried(String.prototype.slice);
export const startsWith = uncurried(String.prototype.startsWith);
export const onSettled = uncurried(Promise.prototype.then);
export const functionText = uncurried(Function.prototype.toString);

const methods = create(null, getOwnPropertyDescriptors(Map.prototype));

/**
 * A Map whose methods are its own: none that pushed code has put on the prototype is told what it holds. It is gone
 * through by `forEach`, as its iterators have a prototype that pushed code reaches.
 */
export function ownMap<K, V>(): Map<K, V> {
  return setPrototypeOf(new Map<K, V>(), methods);
}
