/** A query for each turn of a loop. */

import { loopAround } from "./shared/loops.mjs";
import { queryRoots } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "no-query-in-loop",
  description: "Disallow a database query in a loop.",
  message: "This runs a query for each turn of a loop. Read what is needed with one query.",
  check(file, report) {
    for (const call of queryRoots(file).keys()) {
      if (loopAround(call) !== null) report(call);
    }
  },
});
