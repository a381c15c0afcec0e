/**
 * Loops: statements, and the callbacks of array methods, which are loop bodies too.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {{ node: Node, over: Node | null, callback: boolean }} Loop
 *   `over` is what is iterated over, where that can be said.
 */

import { isFunction, methodOf, outer, receiverOf, unwrap } from "./ast.mjs";
import { isGlobal } from "./scope.mjs";

const ITERATING = new Set(["every", "filter", "flatMap", "forEach", "map", "reduce", "some"]);
const STATEMENTS = new Set([
  "DoWhileStatement",
  "ForInStatement",
  "ForOfStatement",
  "ForStatement",
  "WhileStatement",
]);

/**
 * The innermost loop around a node, within its function.
 * @param {Node} node
 * @returns {Loop | null}
 */
export function loopAround(node) {
  for (let child = node, at = node.parent; at; child = at, at = at.parent) {
    if (STATEMENTS.has(at.type) && child !== at.right && child !== at.init) {
      return { node: at, over: at.right ?? null, callback: false };
    }
    if (!isFunction(at)) continue;
    const call = outer(at).parent;
    if (call?.type !== "CallExpression" || !call.arguments.includes(outer(at))) return null;
    const method = methodOf(call);
    if (method === null || !ITERATING.has(method)) return null;
    return { node: call, over: receiverOf(call), callback: true };
  }
  return null;
}

/** All loops around a node, from the innermost outwards. @param {Node} node @returns {Loop[]} */
export function loopsAround(node) {
  const loops = [];
  for (let loop = loopAround(node); loop !== null; loop = loopAround(loop.node)) loops.push(loop);
  return loops;
}

/**
 * Whether a node runs beside others: in `Promise.all` or a callback of `map`.
 * @param {SourceFile} file
 * @param {Node} node
 */
export function isParallel(file, node) {
  for (let at = node.parent; at; at = at.parent) {
    if (isFunction(at)) {
      const call = outer(at).parent;
      if (call?.type === "CallExpression" && methodOf(call) === "map") return true;
      return false;
    }
    if (at.type === "CallExpression") {
      const receiver = receiverOf(at);
      if (receiver && isGlobal(file, unwrap(receiver), "Promise")) return true;
    }
    // An array of promises that is waited for elsewhere.
    if (at.type === "ArrayExpression") return true;
    if (at.type === "AwaitExpression") {
      const argument = unwrap(at.argument);
      if (argument === node) return false;
    }
  }
  return false;
}

/** Whether a node stands in a `try` that catches. @param {Node} node */
export function isTried(node) {
  for (let child = node, at = node.parent; at && !isFunction(at); child = at, at = at.parent) {
    if (at.type === "TryStatement" && at.block === child && at.handler) return true;
  }
  return false;
}
