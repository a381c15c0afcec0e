/**
 * Queries of the database, from `ctx.db.query(table)` to what runs them.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {{ name: string, call: Node }} Step
 * @typedef {{ root: Node, table: string | null, steps: Step[] }} Query
 */

import { methodOf, outer, receiverOf, settled, stringOf, unwrap } from "./ast.mjs";
import { databaseCalls } from "./context.mjs";
import { definitionOf, variableOf } from "./scope.mjs";

const BUILDERS = new Set(["filter", "fullTableScan", "order", "withIndex", "withSearchIndex"]);
const ENDS = new Set(["collect", "first", "paginate", "take", "unique"]);
const STEPS = 60;

/** @param {SourceFile} file @returns {Map<Node, string | null>} */
function findRoots(file) {
  return new Map(
    databaseCalls(file)
      .filter(({ method }) => method === "query")
      .map(({ call }) => [call, stringOf(call.arguments[0])]),
  );
}

/** The calls that begin a query, and the table of each. @param {SourceFile} file */
export const queryRoots = (file) => file.derived(findRoots);

/**
 * The query that an expression builds or runs, also out of a variable; null when it is none. What a
 * query gave (`await`, or any end) is no query.
 * @param {SourceFile} file @param {Node} node @returns {Query | null}
 */
export function queryOf(file, node) {
  /** @type {Step[]} */
  const steps = [];
  let at = unwrap(node);
  for (let step = 0; step < STEPS; step++) {
    if (at.type === "Identifier") {
      const definition = definitionOf(variableOf(file, at));
      if (definition?.type !== "Variable" || definition.node.id.type !== "Identifier") return null;
      if (!definition.node.init) return null;
      at = unwrap(definition.node.init);
      continue;
    }
    if (at.type !== "CallExpression") return null;
    const table = queryRoots(file).get(at);
    if (table !== undefined) return { root: at, table, steps: steps.reverse() };
    const name = methodOf(at);
    const receiver = receiverOf(at);
    if (name === null || receiver === null) return null;
    if (!BUILDERS.has(name) && !(ENDS.has(name) && steps.length === 0)) return null;
    steps.push({ name, call: at });
    at = unwrap(receiver);
  }
  return null;
}

/**
 * Every call that is a step of a query, with the query up to it.
 * @param {SourceFile} file @returns {{ name: string, call: Node, query: Query }[]}
 */
function findSteps(file) {
  if (queryRoots(file).size === 0) return [];
  return file.nodes("CallExpression").flatMap((call) => {
    const name = methodOf(call);
    if (name === null || !(BUILDERS.has(name) || ENDS.has(name))) return [];
    const query = queryOf(file, call);
    return query === null || query.steps.length === 0 ? [] : [{ name, call, query }];
  });
}

/** The steps of all queries of a file. @param {SourceFile} file */
export const querySteps = (file) => file.derived(findSteps);

/** Whether a query reads no more than a range of an index. @param {Query} query */
export function usesIndex(query) {
  return query.steps.some(
    ({ name, call }) =>
      name === "withSearchIndex" || (name === "withIndex" && call.arguments.length > 1),
  );
}

/**
 * The names of the steps that come after an expression, also where it is kept in a constant.
 * @param {SourceFile} file @param {Node} node @returns {Set<string>}
 */
export function laterSteps(file, node) {
  /** @type {Set<string>} */
  const names = new Set();
  const pending = [node];
  for (let step = 0; step < STEPS && pending.length > 0; step++) {
    const at = outer(/** @type {Node} */ (pending.pop()));
    const { parent } = at;
    if (parent.type === "MemberExpression" && parent.object === at) {
      const call = outer(parent).parent;
      const name = call.type === "CallExpression" ? methodOf(call) : null;
      if (name === null || !(BUILDERS.has(name) || ENDS.has(name))) continue;
      names.add(name);
      pending.push(call);
    } else if (parent.type === "VariableDeclarator" && parent.id.type === "Identifier") {
      const variable = variableOf(file, parent.id);
      for (const reference of variable?.references ?? []) {
        if (reference.isRead()) pending.push(reference.identifier);
      }
    }
  }
  return names;
}

/**
 * The query whose results an expression iterates over: `await q.collect()`, `for await (... of q)`,
 * or a name for either.
 * @param {SourceFile} file @param {Node} node @returns {Query | null}
 */
export function iterated(file, node) {
  let bare = settled(node);
  for (let step = 0; step < STEPS && bare.type === "Identifier"; step++) {
    const definition = definitionOf(variableOf(file, bare));
    if (definition?.type !== "Variable" || definition.node.id.type !== "Identifier") return null;
    if (!definition.node.init) return null;
    bare = settled(definition.node.init);
  }
  return queryOf(file, bare);
}

/**
 * Whether a query's results have no bound: all of a table, not read in pages.
 * @param {Query} query
 */
export function isUnbounded(query) {
  const end = query.steps.at(-1)?.name;
  if (end !== undefined && ENDS.has(end) && end !== "collect") return false;
  return !usesIndex(query);
}
