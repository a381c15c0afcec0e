/** `.filter` on a query that no index narrows. */

import { methodNode } from "./shared/ast.mjs";
import { laterSteps, querySteps } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

/**
 * Convex's documentation allows a filter on pages, its guidelines one after an index.
 * @param {import("./shared/file.mjs").SourceFile} file
 * @param {ReturnType<typeof querySteps>[number]} step
 */
export function isAllowedFilter(file, { call, query }) {
  const indexed = query.steps.some(
    ({ name }) => name === "withIndex" || name === "withSearchIndex",
  );
  return indexed || laterSteps(file, call).has("paginate");
}

export default rule({
  name: "no-query-filter",
  description: "Disallow .filter on a query that no index narrows.",
  message:
    "This filter reads every document of the table. Use an index (withIndex), or filter in code " +
    "what an index has narrowed.",
  check(file, report) {
    for (const step of querySteps(file)) {
      if (step.name === "filter" && !isAllowedFilter(file, step)) report(methodNode(step.call));
    }
  },
});
