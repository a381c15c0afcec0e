/** A document read for every document of a table. */

import { databaseCalls } from "./shared/context.mjs";
import { rule } from "./shared/rule.mjs";
import { isInUnboundedLoop } from "./shared/unbounded.mjs";

export default rule({
  name: "no-unbounded-read-loop",
  description: "Disallow db.get in a loop over a whole table.",
  message:
    "This reads one more document for every document of a table, and fails once the table is " +
    "large. Join pages, or what an index has narrowed.",
  check(file, report) {
    for (const { method, call } of databaseCalls(file)) {
      // A query there is `no-query-in-loop`'s to tell.
      if (method === "get" && isInUnboundedLoop(file, call)) report(call);
    }
  },
});
