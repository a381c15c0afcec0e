/**
 * What functions threw, as a person reads it.
 * @import { Push } from "../protocol.d.ts"
 * @import { Thrown } from "../isolates/isolate_process.mjs"
 */

import { APP } from "../push/definitions.mjs";
import { Origins } from "../push/modules.mjs";

export class Descriptions {
  /** @type {Map<string, Origins>} by path of a definition */
  #origins = new Map();

  /** @param {() => Push | null} push */
  constructor(push) {
    this.push = push;
  }

  /** Other code is live. */
  clear() {
    this.#origins.clear();
  }

  /** `Uncaught Error: boom` and its frames in the project's own files. @param {Thrown} error */
  of({ text, frames }) {
    const lines = frames.map((frame) => {
      const [, index, own] = /^~(\d+)\/(.*)$/.exec(frame.module) ?? [null, "0", frame.module];
      const module = own ?? frame.module;
      const source = this.#originsOf(Number(index)).source({ ...frame, module });
      const place = source === null ? { ...frame, source: module } : source;
      return `    at ${frame.name} (${place.source}:${place.line}:${place.column})`;
    });
    return [`Uncaught ${text}`, ...lines].join("\n");
  }

  /** @param {number} index */
  #originsOf(index) {
    const definitions = this.push()?.definitions;
    const path = index === 0 ? APP : ([...(definitions?.keys() ?? [])].filter((each) => each !== APP)[index - 1] ?? APP);
    const known = this.#origins.get(path);
    if (known !== undefined) return known;
    const origins = new Origins(definitions?.get(path)?.modules.values() ?? []);
    this.#origins.set(path, origins);
    return origins;
  }
}
