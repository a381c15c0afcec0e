/** `.collect()` of a whole table. */

import { countedFor } from "./shared/counted.mjs";
import { querySteps, usesIndex } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "no-unindexed-collect",
  description: "Disallow collecting a whole table.",
  message:
    "This collects a whole table, and fails once the table is large. Narrow it by an index, " +
    "take(n) or paginate.",
  check(file, report) {
    for (const { name, call, query } of querySteps(file)) {
      // Counting is `no-collect-length`'s to tell.
      if (name !== "collect" || usesIndex(query)) continue;
      if (countedFor(file, call) === null) report(call);
    }
  },
});
