/** What functions threw, as a person reads it. */

import { APP } from "../push/definitions.ts";
import { Origins } from "../push/modules.ts";
import type { Push } from "../protocol.ts";
import type { Thrown } from "../isolates/isolate_process.ts";

export class Descriptions {
  push: () => Push | null;
  /** by path of a definition */
  #origins: Map<string, Origins> = new Map();

  constructor(push: () => Push | null) {
    this.push = push;
  }

  /** Other code is live. */
  clear() {
    this.#origins.clear();
  }

  /** `Uncaught Error: boom` and its frames in the project's own files. */
  of({ text, frames, isOurs = false }: Thrown) {
    if (isOurs) return text;
    const lines = frames.map((frame) => {
      const [, index, own] = /^~(\d+)\/(.*)$/.exec(frame.module) ?? [null, "0", frame.module];
      const module = own ?? frame.module;
      const source = this.#originsOf(Number(index)).source({ ...frame, module });
      const place = source === null ? { ...frame, source: module } : source;
      return `    at ${frame.name} (${place.source}:${place.line}:${place.column})`;
    });
    return [`Uncaught ${text}`, ...lines].join("\n");
  }

  #originsOf(index: number) {
    const definitions = this.push()?.definitions;
    const path =
      index === 0
        ? APP
        : ([...(definitions?.keys() ?? [])].filter((each) => each !== APP)[index - 1] ?? APP);
    const known = this.#origins.get(path);
    if (known !== undefined) return known;
    const origins = new Origins(definitions?.get(path)?.modules.values() ?? []);
    this.#origins.set(path, origins);
    return origins;
  }
}
