/** Globals that a call can put something else in place of, for itself: not for its caller, nor for what it calls. */

import { running } from "./current.ts";

/** What code replaces to make a function deterministic, as `@convex-dev/workflow` does. */
const REPLACEABLE = "Math Date console crypto Crypto CryptoKey SubtleCrypto process".split(" ");

export class Replacements {
  /** Whether a call of those that run has. */
  any = false;

  constructor(process: object) {
    for (const name of REPLACEABLE) {
      const { value, get } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
      const usual = name === "process" ? () => process : (get ?? (() => value));
      // Each is a getter of its own, which is called for every use of `Math`.
      Object.defineProperty(globalThis, name, {
        configurable: true,
        enumerable: false,
        get: () => (this.any ? this.#own(name, usual) : usual()),
        set: (replaced) => {
          this.any = true;
          running()?.globals.set(name, replaced);
        },
      });
    }
  }

  #own(name: string, usual: () => unknown) {
    const globals = running()?.globals;
    return globals?.has(name) ? globals.get(name) : usual();
  }
}
