/** Writes for every document of a table. */

import { databaseCalls } from "./shared/context.mjs";
import { rule } from "./shared/rule.mjs";
import { isInUnboundedLoop } from "./shared/unbounded.mjs";

const WRITES = new Set(["delete", "insert", "patch", "replace"]);

export default rule({
  name: "no-unbounded-write-loop",
  description: "Disallow writes in a loop over a whole table.",
  message:
    "This writes once for every document of a table, and fails once the table is large. Take a " +
    "batch, and schedule the rest.",
  check(file, report) {
    for (const { method, call } of databaseCalls(file)) {
      if (!WRITES.has(method)) continue;
      if (isInUnboundedLoop(file, call)) report(call);
    }
  },
});
