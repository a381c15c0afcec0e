/**
 * HTTP routers.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 */

import { enclosingFunction } from "./ast.mjs";
import { follow, isImport } from "./scope.mjs";

/** @param {SourceFile} file @returns {Node[]} */
function findRouterCalls(file) {
  return (
    file
      .nodes("CallExpression")
      .filter((call) => isImport(file, call.callee, "convex/server", "httpRouter"))
      // One that a function makes is a tool of that function: nobody expects it to be served.
      .filter((call) => enclosingFunction(call) === null)
  );
}

/** The calls of `httpRouter()` at the top of a file. @param {SourceFile} file */
export const routerCalls = (file) => file.derived(findRouterCalls);

/**
 * Whether an expression is a router made in this file.
 * @param {SourceFile} file
 * @param {Node} node
 */
export function isRouter(file, node) {
  return file.derived(routers).has(follow(file, node));
}

/** @param {SourceFile} file */
const routers = (file) => new Set(routerCalls(file));
