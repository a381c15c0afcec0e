/**
 * Values of which the code itself says what they look like.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {import("./functions.mjs").Registered} Registered
 * @typedef {{ known: boolean, empty: boolean, table: string | null }} Shape
 *   `empty`: null or nothing, which says nothing; `table`: it is documents of that table.
 */

import { argumentPath } from "./arguments.mjs";
import { isFunction, settled, stringOf, propertyValue } from "./ast.mjs";
import { databaseCalls } from "./context.mjs";
import { registered } from "./functions.mjs";
import { queryOf } from "./queries.mjs";
import { follow, isGlobal } from "./scope.mjs";
import { objectFields, validatorName, validatorOf } from "./tables.mjs";

const UNKNOWN = { known: false, empty: false, table: null };
const KNOWN = { known: true, empty: false, table: null };
const EMPTY = { known: true, empty: true, table: null };

/** @param {SourceFile} file @param {Node | null | undefined} node @returns {Shape} */
export function shapeOf(file, node, steps = 20) {
  if (node == null) return EMPTY;
  if (steps === 0) return UNKNOWN;
  const bare = settled(follow(file, settled(node)));
  if (bare.type === "Literal") return bare.value === null ? EMPTY : KNOWN;
  if (isGlobal(file, bare, "undefined")) return EMPTY;
  if (bare.type === "TemplateLiteral") return KNOWN;
  if (bare.type === "ArrayExpression") {
    const [first] = bare.elements;
    return first == null || first.type === "SpreadElement"
      ? UNKNOWN
      : shapeOf(file, first, steps - 1);
  }
  if (bare.type === "ObjectExpression") {
    const isWhole = bare.properties.every((/** @type {Node} */ p) => p.type === "Property");
    return isWhole && bare.properties.length > 0 ? KNOWN : UNKNOWN;
  }
  if (bare.type === "ConditionalExpression") {
    return both(
      shapeOf(file, bare.consequent, steps - 1),
      shapeOf(file, bare.alternate, steps - 1),
    );
  }
  const table = tableRead(file, bare);
  if (table !== null) return { known: true, empty: false, table };
  return isValidated(file, bare) ? KNOWN : UNKNOWN;
}

/** @param {Shape} one @param {Shape} other @returns {Shape} */
export function both(one, other) {
  return {
    known: one.known && other.known && (!one.table || !other.table || one.table === other.table),
    empty: one.empty && other.empty,
    table: one.table ?? other.table,
  };
}

/** The table whose documents an expression reads. @param {SourceFile} file @param {Node} node */
function tableRead(file, node) {
  if (node.type !== "CallExpression") return null;
  const query = queryOf(file, node);
  const end = query?.steps.at(-1)?.name;
  if (query !== null) return /^(?:collect|first|take|unique)$/.test(end ?? "") ? query.table : null;
  const isGet = file.derived(gets).has(node) && node.arguments.length > 1;
  return isGet ? stringOf(node.arguments[0]) : null;
}

/** @param {SourceFile} file @returns {Set<Node>} */
function gets(file) {
  const found = databaseCalls(file).filter(({ method }) => method === "get");
  return new Set(found.map(({ call }) => call));
}

/** The validators of the arguments of each handler. @param {SourceFile} file */
function argumentsOf(file) {
  return new Map(
    registered(file).flatMap(({ options, handler }) => {
      const args = options === null ? null : propertyValue(options, "args");
      if (args === null || handler === null) return [];
      const fields = objectFields(file, args).map(
        ({ name, value }) => /** @type {const} */ ([name, value]),
      );
      return [/** @type {const} */ ([handler, new Map(fields)])];
    }),
  );
}

/**
 * Whether an expression is an argument of the handler that it stands in, of a known validator.
 * @param {SourceFile} file @param {Node} node
 */
function isValidated(file, node) {
  const found = argumentPath(file, node);
  if (found?.path.length !== 1) return false;
  const value = file.derived(argumentsOf).get(found.handler)?.get(found.path[0]);
  const validator = value ? validatorOf(file, value) : null;
  return validator !== null && !holdsAny(file, validator.call);
}

/**
 * Whether a validator lets anything in, itself or as what its array or union holds.
 * @param {SourceFile} file @param {Node} node @returns {boolean}
 */
export function holdsAny(file, node, depth = 4) {
  const call = follow(file, node);
  const name = validatorName(file, call);
  if (name === "any") return true;
  if (depth === 0 || name === null || !/^(?:array|optional|union)$/.test(name)) return false;
  return call.arguments.some((/** @type {Node} */ a) => holdsAny(file, a, depth - 1));
}

/** What a handler returns. @param {SourceFile} file @param {Node} handler @returns {Shape} */
export function shapeReturned(file, handler) {
  if (handler.body.type !== "BlockStatement") return shapeOf(file, handler.body);
  const returned = file
    .inside(handler.body, "ReturnStatement")
    .filter((statement) => innermost(statement) === handler)
    .map(({ argument }) => shapeOf(file, argument));
  return returned.reduce(both, EMPTY);
}

/** @param {Node} node */
function innermost(node) {
  let at = node.parent;
  while (!isFunction(at)) at = at.parent;
  return at;
}
