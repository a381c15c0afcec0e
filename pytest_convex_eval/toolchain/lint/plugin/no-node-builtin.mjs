/** A module of Node in a file that does not run in Node. */

import { rule } from "./shared/rule.mjs";
import { valueImports } from "./shared/imports.mjs";

/** Without those that packages of the same name are common for: `buffer`, `events`, `url`. */
const BUILTINS = new Set(
  (
    "assert async_hooks child_process cluster crypto dgram diagnostics_channel dns dns/promises fs " +
    "fs/promises http http2 https inspector module net os path path/posix perf_hooks readline " +
    "readline/promises repl stream stream/promises stream/web timers/promises tls tty util v8 vm " +
    "wasi worker_threads zlib"
  ).split(" "),
);

export default rule({
  name: "no-node-builtin",
  description: 'Disallow modules of Node outside of "use node" files.',
  message:
    "{{module}} exists in Node only, and this file does not run there. Begin the file with " +
    '"use node", or do without.',
  check(file, report) {
    if (file.usesNode) return;
    for (const { from, node } of valueImports(file)) {
      if (from.startsWith("node:") || BUILTINS.has(from)) report(node, { module: from });
    }
  },
});
