/** `Math.random` and `crypto` of pushed code: by a seed where a function must be deterministic. */

import { getBuiltinModule } from "./own_node.ts";

const { random } = Math;
const { apply } = Reflect;

export interface Randomness {
  /** A whole number below 2^32 of the seed's sequence; null where randomness is real. */
  next: () => number | null;
  /** Called by `Math.random` first; may throw what the code that asks then gets. */
  asked?: () => void;
  /** Throws where keys can't be made. */
  refuseKeys: () => void;
  /** Knows of what is under way: keys are derived in a thread of their own, and that can take seconds. */
  underWay?: (work: Promise<unknown>) => Promise<unknown>;
}

/** The number after `state` in a sequence that never is 0 (xorshift32: Marsaglia, "Xorshift RNGs", 2003). */
export function xorshift(state: number) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

export function makeRandom({ next, asked = () => {} }: Randomness) {
  return () => {
    asked();
    const drawn = next();
    return drawn === null ? random() : drawn / 2 ** 32;
  };
}

/**
 * `crypto` with the classes of Web Crypto.
 * @param options `isWhole`: with all that Node has; the default runtime has neither `wrapKey` nor `unwrapKey`
 */
export function makeCrypto(
  { next, refuseKeys, underWay = (work) => work }: Randomness,
  { isWhole, notImplemented }: { isWhole: boolean; notImplemented: (what: string) => never },
) {
  const { webcrypto: real } = getBuiltinModule("node:crypto");
  const getRandomValues = (view: ArrayBufferView) => {
    // It checks the view, too.
    real.getRandomValues(view as Uint8Array);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let i = 0; i < bytes.length; i++) {
      const drawn = next();
      if (drawn === null) break;
      bytes[i] = drawn;
    }
    return view;
  };
  const randomUUID = () => {
    const bytes = new Uint8Array(16);
    getRandomValues(bytes);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40; // RFC 9562, version 4
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [8, 12, 16, 20, 32].map((end, i) => hex.slice([0, 8, 12, 16, 20][i], end)).join("-");
  };
  const { subtle } = real;
  const own: PropertyDescriptorMap = {};
  const methods = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(subtle));
  for (const [name, { value: method }] of Object.entries(methods)) {
    if (typeof method !== "function" || name === "constructor") continue;
    const value = {
      [name]: async (...args: unknown[]) => {
        if (!isWhole && (name === "wrapKey" || name === "unwrapKey"))
          notImplemented(`${name} for SubtleCrypto`);
        if (drawsRandomness(name, args)) refuseKeys();
        return await underWay(apply(method, subtle, args));
      },
    }[name];
    own[name] = { value, writable: true, enumerable: true, configurable: true };
  }
  const crypto = Object.create(Object.getPrototypeOf(real), {
    getRandomValues: {
      value: getRandomValues,
      writable: true,
      enumerable: true,
      configurable: true,
    },
    randomUUID: { value: randomUUID, writable: true, enumerable: true, configurable: true },
    subtle: {
      value: Object.create(Object.getPrototypeOf(subtle), own),
      enumerable: true,
      configurable: true,
    },
  });
  return crypto;
}

/** Whether an operation gives another result each time: it makes a key, or salts what it signs or encrypts. */
function drawsRandomness(operation: string, [first]: unknown[]) {
  if (operation === "generateKey") return true;
  if (operation !== "sign" && operation !== "encrypt") return false;
  const named = typeof first === "string" ? first : (first as { name?: unknown } | null)?.name;
  const name = String(named).toUpperCase();
  return operation === "sign" ? name === "ECDSA" || name === "RSA-PSS" : name === "RSA-OAEP";
}
