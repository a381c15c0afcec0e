/** `.collect()` of a whole table. */

import { outer } from "./shared/ast.mjs";
import { querySteps, usesIndex } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

/** Counting is `no-collect-length`'s to tell. @param {import("./shared/ast.mjs").Node} call */
function isCounted(call) {
  const at =
    outer(call).parent.type === "AwaitExpression" ? outer(outer(call).parent) : outer(call);
  return at.parent.type === "MemberExpression" && at.parent.property.name === "length";
}

export default rule({
  name: "no-unindexed-collect",
  description: "Disallow collecting a whole table.",
  message:
    "This collects a whole table, and fails once the table is large. Narrow it by an index, " +
    "take(n) or paginate.",
  check(file, report) {
    for (const { name, call, query } of querySteps(file)) {
      if (name === "collect" && !usesIndex(query) && !isCounted(call)) report(call);
    }
  },
});
