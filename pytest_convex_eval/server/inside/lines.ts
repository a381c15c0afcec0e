/** Lines of a stream, without what `node:readline` costs: a syscall's way there and back is made of four. */

import type { Readable } from "node:stream";

/**
 * @param stream of UTF-8
 * @param options `most`: characters of a line; `tooLong` is called once with a longer one, and nothing after that
 */
export function onLines(
  stream: Readable,
  handle: (line: string) => void,
  {
    most = Number.POSITIVE_INFINITY,
    tooLong = () => {},
  }: { most?: number; tooLong?: () => void } = {},
) {
  let parts: string[] = [];
  let length = 0;
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    if (length > most) return;
    let from = 0;
    for (let at = chunk.indexOf("\n"); at >= 0; at = chunk.indexOf("\n", from)) {
      const line = parts.join("") + chunk.slice(from, at);
      parts = [];
      length = 0;
      from = at + 1;
      handle(line);
    }
    if (from === chunk.length) return;
    parts.push(chunk.slice(from));
    length += chunk.length - from;
    if (length <= most) return;
    parts = [];
    tooLong();
  });
}
