/**
 * Where the clock is read.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 */

import { methodOf, receiverOf, unwrap } from "./ast.mjs";
import { isGlobal } from "./scope.mjs";

/** @param {SourceFile} file @returns {Node[]} */
function findReadings(file) {
  const now = file.nodes("CallExpression").filter((call) => {
    const receiver = receiverOf(call);
    if (receiver === null) return isGlobal(file, unwrap(call.callee), "Date");
    return methodOf(call) === "now" && isGlobal(file, unwrap(receiver), "Date");
  });
  const made = file
    .nodes("NewExpression")
    .filter(({ callee, arguments: given }) => given.length === 0 && isGlobal(file, callee, "Date"));
  return [...now, ...made];
}

/**
 * `Date.now()`, `new Date()` and `Date()`, of the language's own `Date`.
 * @param {SourceFile} file
 */
export const clockReadings = (file) => file.derived(findReadings);
