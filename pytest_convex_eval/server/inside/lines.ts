/** Lines of a stream, without what `node:readline` costs: a syscall's way there and back is made of four. */

import type { Readable } from "node:stream";

/** @param stream of UTF-8 */
export function onLines(stream: Readable, handle: (line: string) => void) {
  let parts: string[] = [];
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
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
