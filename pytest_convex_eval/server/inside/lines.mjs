/**
 * Lines of a stream, without what `node:readline` costs: a syscall's way there and back is made of four.
 * @import { Readable } from "node:stream"
 */

/** @param {Readable} stream of UTF-8 @param {(line: string) => void} handle */
export function onLines(stream, handle) {
  /** @type {string[]} */
  let parts = [];
  stream.setEncoding("utf8");
  stream.on("data", (/** @type {string} */ chunk) => {
    let from = 0;
    for (let at = chunk.indexOf("\n"); at >= 0; at = chunk.indexOf("\n", from)) {
      const line = parts.join("") + chunk.slice(from, at);
      parts = [];
      from = at + 1;
      handle(line);
    }
    if (from < chunk.length) parts.push(chunk.slice(from));
  });
}
