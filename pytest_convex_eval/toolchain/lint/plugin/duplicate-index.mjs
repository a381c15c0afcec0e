/** Two indexes of a table over the same fields. */

import { methodNode } from "./shared/ast.mjs";
import { coveredIndexes } from "./shared/redundant.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "duplicate-index",
  description: "Disallow two indexes over the same fields.",
  message:
    "Index {{index}} has the same fields as index {{by}}, so a deployment refuses the schema. " +
    "Remove one.",
  check(file, report) {
    for (const { index, by, equal } of coveredIndexes(file)) {
      if (equal) report(methodNode(index.call), { index: `"${index.name}"`, by: `"${by.name}"` });
    }
  },
});
