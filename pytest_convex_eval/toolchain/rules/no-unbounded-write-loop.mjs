/** Writes for every document of a table. */

import { databaseCalls } from "./shared/context.mjs";
import { loopsAround } from "./shared/loops.mjs";
import { isUnbounded, iterated } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

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
      const unbounded = loopsAround(call).some(({ node, over }) => {
        const query = over === null ? null : iterated(file, over);
        return query !== null && isUnbounded(query) && !leavesEarly(node);
      });
      if (unbounded) report(call);
    }
  },
});

/** @param {import("./shared/ast.mjs").Node} loop */
function leavesEarly(loop) {
  const body = loop.type === "ForOfStatement" ? loop.body : null;
  if (body?.type !== "BlockStatement") return false;
  return body.body.some((/** @type {import("./shared/ast.mjs").Node} */ statement) => {
    if (statement.type !== "IfStatement") return false;
    const then = statement.consequent;
    const last = then.type === "BlockStatement" ? then.body.at(-1) : then;
    return last?.type === "BreakStatement" || last?.type === "ReturnStatement";
  });
}
