/**
 * Calls from one function to another: `ctx.run*`, the scheduler and crons, and what they aim at.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {import("./functions.mjs").Kind} Kind
 * @typedef {{ root: "api" | "internal" | "components", path: string[] }} Reference
 * @typedef {{ via: string, call: Node, target: Node, reference: Reference | null, kinds: Kind[] }}
 *   Run  `via` is the method called: `runQuery`, `runAfter`, `interval`.
 */

import { enclosingFunction, methodOf, receiverOf } from "./ast.mjs";
import { calledPart } from "./context.mjs";
import { follow, imported, isImport } from "./scope.mjs";

const GENERATED_API = /(?:^|\/)_generated\/api(?:\.[cm]?[jt]s)?$/;
const CRONS = new Set(["cron", "daily", "hourly", "interval", "monthly", "weekly"]);

/** @param {SourceFile} file @param {Node} node @returns {Reference | null} */
export function referenceOf(file, node) {
  const found = imported(file, node);
  if (found === null || !GENERATED_API.test(found.from)) return null;
  const [root, ...path] = found.path;
  return root === "api" || root === "internal" || root === "components" ? { root, path } : null;
}

/** Whether a node is the value of `cronJobs()`. @param {SourceFile} file @param {Node} node */
export function isCrons(file, node) {
  const made = follow(file, node);
  return made.type === "CallExpression" && isImport(file, made.callee, "convex/server", "cronJobs");
}

/** The calls of `cronJobs()` at the top of a file. @param {SourceFile} file */
export function cronTables(file) {
  return file
    .nodes("CallExpression")
    .filter((call) => isImport(file, call.callee, "convex/server", "cronJobs"))
    .filter((call) => enclosingFunction(call) === null);
}

/** @param {SourceFile} file @returns {{ method: string, call: Node }[]} */
function findCronCalls(file) {
  return file.nodes("CallExpression").flatMap((call) => {
    const method = methodOf(call);
    const receiver = receiverOf(call);
    if (method === null || receiver === null || !CRONS.has(method)) return [];
    return isCrons(file, receiver) ? [{ method, call }] : [];
  });
}

/** The crons that a file registers. @param {SourceFile} file */
export const cronCalls = (file) => file.derived(findCronCalls);

/** @param {SourceFile} file @returns {Run[]} */
function findRuns(file) {
  /** @type {Run[]} */
  const runs = [];
  const add = (
    /** @type {string} */ via,
    /** @type {Node} */ call,
    /** @type {number} */ argument,
    /** @type {Kind[]} */ kinds,
  ) => {
    const target = call.arguments[argument];
    if (target === undefined || target.type === "SpreadElement") return;
    runs.push({ via, call, target, reference: referenceOf(file, target), kinds });
  };
  for (const call of file.nodes("CallExpression")) {
    const part = calledPart(file, call);
    const path = part?.path.join(".") ?? "";
    if (/^run(?:Query|Mutation|Action)$/.test(path)) add(path, call, 0, part?.kinds ?? []);
    if (/^scheduler\.run(?:After|At)$/.test(path)) {
      add(path.slice("scheduler.".length), call, 1, part?.kinds ?? []);
    }
  }
  for (const { method, call } of cronCalls(file)) add(method, call, 2, []);
  return runs;
}

/** Everything in a file that has another function run. @param {SourceFile} file */
export const runs = (file) => file.derived(findRuns);
