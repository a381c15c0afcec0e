/** A module of Node in a file that does not run in Node. */

import { rule } from "./shared/rule.mjs";
import { valueImports } from "./shared/imports.mjs";

/** Without those that a package of the same name stands in for: `buffer`, `events`, `url`. */
const BUILTINS = new Set(
  (
    "child_process cluster crypto dgram dns fs fs/promises http http2 https module net os path " +
    "perf_hooks readline stream stream/promises timers/promises tls tty v8 vm worker_threads zlib"
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
