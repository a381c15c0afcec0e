/** An index whose fields are the first ones of another. */

import { methodNode } from "./shared/ast.mjs";
import { coveredIndexes } from "./shared/redundant.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "prefix-index",
  description: "Disallow an index whose fields begin another index.",
  message:
    "Index {{index}} is the start of index {{by}}, which answers the same queries; each index " +
    "costs storage and slows writes. Keep both only where results must be ordered by " +
    "_creationTime within {{index}}.",
  check(file, report) {
    for (const { index, by, equal } of coveredIndexes(file)) {
      if (!equal) report(methodNode(index.call), { index: `"${index.name}"`, by: `"${by.name}"` });
    }
  },
});
