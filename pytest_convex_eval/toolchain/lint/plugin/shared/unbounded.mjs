/**
 * Loops over all documents of a table.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {import("./loops.mjs").Loop} Loop
 */

import { loopsAround } from "./loops.mjs";
import { isUnbounded, iterated } from "./queries.mjs";

/** @param {SourceFile} file @param {Loop} loop */
function isWithoutBound(file, { node, over }) {
  const query = over === null ? null : iterated(file, over);
  return query !== null && isUnbounded(query) && !leavesEarly(node);
}

/**
 * Whether a node stands in a loop that turns once for every document of a table.
 * @param {SourceFile} file @param {Node} node
 */
export function isInUnboundedLoop(file, node) {
  return loopsAround(node).some((loop) => isWithoutBound(file, loop));
}

/**
 * What `for await` loops read that come to every document of a table.
 * @param {SourceFile} file @returns {Node[]}
 */
export function streamedTables(file) {
  return file
    .nodes("ForOfStatement")
    .filter((node) => node.await)
    .filter((node) => isWithoutBound(file, { node, over: node.right, callback: false }))
    .map(({ right }) => right);
}

/** @param {Node} loop */
function leavesEarly(loop) {
  const body = loop.type === "ForOfStatement" ? loop.body : null;
  if (body?.type !== "BlockStatement") return false;
  return body.body.some((/** @type {Node} */ statement) => {
    if (statement.type !== "IfStatement") return false;
    const then = statement.consequent;
    const last = then.type === "BlockStatement" ? then.body.at(-1) : then;
    return last?.type === "BreakStatement" || last?.type === "ReturnStatement";
  });
}
