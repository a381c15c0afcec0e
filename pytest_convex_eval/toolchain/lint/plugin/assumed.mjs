/**
 * What the rules would say of functions that a builder of another file makes, by what it may make.
 *
 * A rule sees one file and cannot know whether `userQuery`, imported from `./builders`, makes a
 * query. So it is asked once for each kind of function, and over all files the right answer is
 * taken (`decide.py`).
 *
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} File
 * @typedef {import("./shared/functions.mjs").Registrar} Registrar
 * @typedef {"query" | "mutation" | "action" | "http"} Made
 * @typedef {{ rule: string, made: Made, message: string, node: Node }} Assumed
 */

import { foreignCalls, registered } from "./shared/functions.mjs";
import { findings } from "./shared/rule.mjs";
import argsValidator from "./args-validator.mjs";
import boundedTake from "./bounded-take.mjs";
import explicitTableName from "./explicit-table-name.mjs";
import internalTargets from "./internal-targets.mjs";
import noCollectLength from "./no-collect-length.mjs";
import noKnownAny from "./no-known-any.mjs";
import noQueryFilter from "./no-query-filter.mjs";
import noQueryInLoop from "./no-query-in-loop.mjs";
import noRunInLoop from "./no-run-in-loop.mjs";
import noSequentialRuns from "./no-sequential-runs.mjs";
import noSubtransaction from "./no-subtransaction.mjs";
import noUnboundedReadLoop from "./no-unbounded-read-loop.mjs";
import noUnboundedWriteLoop from "./no-unbounded-write-loop.mjs";
import noUnindexedCollect from "./no-unindexed-collect.mjs";
import nodeActionsOnly from "./node-actions-only.mjs";
import oldFunctionSyntax from "./old-function-syntax.mjs";
import returnsValidator from "./returns-validator.mjs";
import subjectAsKey from "./subject-as-key.mjs";
import transactionLimits from "./transaction-limits.mjs";
import userIdArgument from "./user-id-argument.mjs";

/** Those that look at functions or at what their `ctx` does. The clock `decide.py` follows itself. */
const RULES = {
  "args-validator": argsValidator,
  "bounded-take": boundedTake,
  "explicit-table-name": explicitTableName,
  "internal-targets": internalTargets,
  "no-collect-length": noCollectLength,
  "no-known-any": noKnownAny,
  "no-query-filter": noQueryFilter,
  "no-query-in-loop": noQueryInLoop,
  "no-run-in-loop": noRunInLoop,
  "no-sequential-runs": noSequentialRuns,
  "no-subtransaction": noSubtransaction,
  "no-unbounded-read-loop": noUnboundedReadLoop,
  "no-unbounded-write-loop": noUnboundedWriteLoop,
  "no-unindexed-collect": noUnindexedCollect,
  "node-actions-only": nodeActionsOnly,
  "old-function-syntax": oldFunctionSyntax,
  "returns-validator": returnsValidator,
  "subject-as-key": subjectAsKey,
  "transaction-limits": transactionLimits,
  "user-id-argument": userIdArgument,
};

/**
 * Public, so that what only matters there is found; `decide.py` knows which are internal.
 * @type {Record<Made, Registrar>}
 */
export const ASSUMED = {
  query: { kind: "query", isPublic: true, isHttp: false, builder: null },
  mutation: { kind: "mutation", isPublic: true, isHttp: false, builder: null },
  action: { kind: "action", isPublic: true, isHttp: false, builder: null },
  http: { kind: "action", isPublic: true, isHttp: true, builder: null },
};

/**
 * By the call that may make a function; without what the rules say whatever it makes.
 * @param {File} file
 * @returns {Map<Node, Assumed[]>}
 */
export function assumedFindings(file) {
  /** @type {Map<Node, Assumed[]>} */
  const found = new Map();
  if (foreignCalls(file).size === 0) return found;
  const said = new Map(
    Object.entries(RULES).map(([rule, check]) => [
      rule,
      new Set(findings(check, file).map(({ node }) => node)),
    ]),
  );
  for (const [made, registrar] of Object.entries(ASSUMED)) {
    const view = file.assuming(registrar);
    const calls = callsByPart(view);
    for (const [rule, check] of Object.entries(RULES)) {
      for (const { node, message } of findings(check, view)) {
        const call = callAround(calls, node);
        if (call === null || said.get(rule)?.has(node)) continue;
        const told = { rule, made: /** @type {Made} */ (made), message, node };
        const others = found.get(call);
        if (others === undefined) found.set(call, [told]);
        else others.push(told);
      }
    }
  }
  return found;
}

/** What belongs to each call: itself, its options and its handler. @param {File} view */
function callsByPart(view) {
  /** @type {Map<Node, Node>} */
  const calls = new Map();
  for (const { call, options, handler } of registered(view)) {
    if (!foreignCalls(view).has(call)) continue;
    for (const part of [call, options, handler]) if (part !== null) calls.set(part, call);
  }
  return calls;
}

/** @param {Map<Node, Node>} calls @param {Node} node */
function callAround(calls, node) {
  for (let at = node; at; at = at.parent) {
    const call = calls.get(at);
    if (call !== undefined) return call;
  }
  return null;
}
