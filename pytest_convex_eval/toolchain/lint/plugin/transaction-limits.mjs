/** Loops that take more of the database than one transaction may. */

import { isFunction, keyOf, methodOf, receiverOf, settled, unwrap } from "./shared/ast.mjs";
import { databaseCalls } from "./shared/context.mjs";
import { loopsAround } from "./shared/loops.mjs";
import { iterated } from "./shared/queries.mjs";
import { runs } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";
import { follow, isGlobal, numberOf } from "./shared/scope.mjs";

/**
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} SourceFile
 * @typedef {import("./shared/loops.mjs").Loop} Loop
 * @typedef {"reads" | "writes" | "scheduled functions"} What
 */

/** Of one query or mutation: docs.convex.dev/production/state/limits. @type {Record<What, number>} */
const LIMITS = { reads: 4096, writes: 16_000, "scheduled functions": 1000 };

/** @type {Record<string, What>} */
const COUNTED = {
  delete: "writes",
  get: "reads",
  insert: "writes",
  patch: "writes",
  query: "reads",
  replace: "writes",
};

/** What a transaction does, by the call. @param {SourceFile} file @returns {[Node, What][]} */
function work(file) {
  /** @type {[Node, What][]} */
  const found = databaseCalls(file).flatMap(({ method, call }) =>
    Object.hasOwn(COUNTED, method) ? [/** @type {[Node, What]} */ ([call, COUNTED[method]])] : [],
  );
  for (const { via, call, kinds } of runs(file)) {
    // An action is no transaction.
    const inMutation = kinds.length > 0 && kinds.every((kind) => kind === "mutation");
    if (inMutation && via.startsWith("runA") && via !== "runAction")
      found.push([call, "scheduled functions"]);
  }
  return found;
}

/**
 * How often the body of a loop may run; null where that is not known or it may be left early.
 * @param {SourceFile} file
 * @param {Loop} loop
 */
function turns(file, { node, over, callback }) {
  if (!callback && leavesEarly(file, node)) return null;
  if (node.type === "ForStatement") return counted(file, node);
  if (over === null) return null;
  const last = iterated(file, over)?.steps.at(-1);
  if (last?.name === "take") return numberOf(file, last.call.arguments[0]);
  return lengthOf(file, over);
}

/** @param {SourceFile} file @param {Node} loop */
function leavesEarly(file, loop) {
  return ["BreakStatement", "ReturnStatement", "ThrowStatement"].some((type) =>
    file.inside(loop.body, type).some((node) => {
      for (let at = node.parent; at !== loop; at = at.parent) if (isFunction(at)) return false;
      return true;
    }),
  );
}

/** `for (let i = 0; i < 100; i++)`. @param {SourceFile} file @param {Node} loop */
function counted(file, { init, test, update }) {
  if (init?.type !== "VariableDeclaration" || init.declarations.length !== 1) return null;
  const [{ id, init: start }] = init.declarations;
  if (test?.type !== "BinaryExpression" || !/^<=?$/.test(test.operator)) return null;
  if (test.left.type !== "Identifier" || test.left.name !== id.name) return null;
  const from = numberOf(file, start ?? undefined);
  const to = numberOf(file, test.right);
  const step = update?.type === "UpdateExpression" ? 1 : stepOf(file, update);
  if (from === null || to === null || step === null || step <= 0) return null;
  return Math.max(0, Math.ceil((to - from + (test.operator === "<=" ? 1 : 0)) / step));
}

/** @param {SourceFile} file @param {Node | null} update */
function stepOf(file, update) {
  if (update?.type !== "AssignmentExpression" || update.operator !== "+=") return null;
  return numberOf(file, update.right);
}

/** Of `Array.from({ length: n })` and `Array(n)`, also filled. @param {SourceFile} file @param {Node} node */
function lengthOf(file, node) {
  let made = follow(file, settled(node));
  for (let step = 0; step < 4 && made.type === "CallExpression"; step++) {
    const receiver = receiverOf(made);
    if (!/^(?:entries|fill|keys)$/.test(methodOf(made) ?? "") || receiver === null) break;
    made = unwrap(receiver);
  }
  if (made.type !== "CallExpression" && made.type !== "NewExpression") return null;
  const [first] = made.arguments;
  if (isGlobal(file, unwrap(made.callee), "Array")) {
    return made.arguments.length === 1 ? numberOf(file, first) : null;
  }
  const receiver = receiverOf(made);
  const isFrom = methodOf(made) === "from" && receiver && isGlobal(file, receiver, "Array");
  if (!isFrom || first?.type !== "ObjectExpression") return null;
  const length = first.properties.find((/** @type {Node} */ p) => keyOf(p) === "length");
  return numberOf(file, length?.value);
}

export default rule({
  name: "transaction-limits",
  description: "Disallow loops that exceed the limits of a transaction.",
  message:
    "This loop makes up to {{count}} {{what}}, and one transaction may make {{limit}}: it then " +
    "fails as a whole. Work in batches, and schedule the next one.",
  check(file, report) {
    /** @type {Map<string, { call: Node, what: What, count: number }>} */
    const totals = new Map();
    /** @type {Map<Node, number | null>} */
    const turnsOf = new Map();
    for (const [call, what] of work(file)) {
      const loops = loopsAround(call);
      const outermost = loops.at(-1);
      for (const loop of loops) {
        if (!turnsOf.has(loop.node)) turnsOf.set(loop.node, turns(file, loop));
      }
      const known = loops.flatMap(({ node }) => turnsOf.get(node) ?? []);
      if (outermost === undefined || known.length === 0) continue;
      const count = known.reduce((product, n) => product * n, 1);
      const key = `${what} ${outermost.node.range[0]}`;
      const total = totals.get(key) ?? { call, what, count: 0 };
      totals.set(key, { ...total, count: total.count + count });
    }
    for (const { call, what, count } of totals.values()) {
      const limit = LIMITS[what];
      if (count > limit) report(call, { what, count: String(count), limit: String(limit) });
    }
  },
});
