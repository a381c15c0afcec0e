/**
 * What of a function's `ctx` an expression is: `ctx.db` through any alias, and in which kind of
 * function.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {import("./functions.mjs").Kind} Kind
 * @typedef {{ path: string[], kinds: Kind[] }} Part
 *   `kinds` are the kinds of function that this context may belong to; empty where it is not known.
 */

import { memberName, unwrap } from "./ast.mjs";
import { registered } from "./functions.mjs";
import { definitionOf, pathIn, variableOf } from "./scope.mjs";

const STEPS = 40;

/** @type {Record<string, Part>} */
const TYPES = {
  QueryCtx: { path: [], kinds: ["query"] },
  GenericQueryCtx: { path: [], kinds: ["query"] },
  MutationCtx: { path: [], kinds: ["mutation"] },
  GenericMutationCtx: { path: [], kinds: ["mutation"] },
  ActionCtx: { path: [], kinds: ["action"] },
  GenericActionCtx: { path: [], kinds: ["action"] },
  DatabaseReader: { path: ["db"], kinds: [] },
  GenericDatabaseReader: { path: ["db"], kinds: [] },
  DatabaseWriter: { path: ["db"], kinds: ["mutation"] },
  GenericDatabaseWriter: { path: ["db"], kinds: ["mutation"] },
};

const NARROWING = new Set(["Omit", "Partial", "Pick", "Readonly", "Required"]);

/**
 * Which part of a context `node` is; null for what is none.
 * @param {SourceFile} file @param {Node} node @returns {Part | null}
 */
export function partOf(file, node, steps = STEPS) {
  if (steps === 0) return null;
  const bare = unwrap(node);
  if (bare.type === "MemberExpression") {
    const name = memberName(bare);
    const base = name === null ? null : partOf(file, bare.object, steps - 1);
    return base && extended(base, [/** @type {string} */ (name)]);
  }
  if (bare.type !== "Identifier") return null;
  const definition = definitionOf(variableOf(file, bare));
  if (definition?.type === "Parameter") {
    for (const parameter of definition.node.params) {
      const path = pathIn(parameter, definition.name);
      const base = path === null ? null : partOfParameter(file, definition.node, parameter);
      if (base && path) return extended(base, path);
    }
    return null;
  }
  if (definition?.type !== "Variable" || !definition.node.init) return null;
  const path = pathIn(definition.node.id, definition.name);
  const base = path === null ? null : partOf(file, definition.node.init, steps - 1);
  return base && path && extended(base, path);
}

/** @param {Part} base @param {string[]} path @returns {Part} */
function extended(base, path) {
  return { path: [...base.path, ...path], kinds: base.kinds };
}

/** The kind of each handler of the file. @param {SourceFile} file @returns {Map<Node, Kind>} */
function handlerKinds(file) {
  return new Map(
    registered(file).flatMap(({ handler, registrar }) =>
      handler === null ? [] : [/** @type {const} */ ([handler, registrar.kind])],
    ),
  );
}

/** @param {SourceFile} file @param {Node} owner @param {Node} parameter @returns {Part | null} */
function partOfParameter(file, owner, parameter) {
  const kind = file.derived(handlerKinds).get(owner);
  if (kind !== undefined && owner.params[0] === parameter) return { path: [], kinds: [kind] };
  const target = parameter.type === "AssignmentPattern" ? parameter.left : parameter;
  const typed = partOfType(target.typeAnnotation?.typeAnnotation);
  if (typed !== null) return typed;
  // A context by its name alone, as in JavaScript and in callbacks: of no known kind.
  return target.type === "Identifier" && target.name === "ctx" ? { path: [], kinds: [] } : null;
}

/** @param {Node | undefined} type @returns {Part | null} */
function partOfType(type) {
  if (type === undefined) return null;
  if (type.type === "TSUnionType" || type.type === "TSIntersectionType") {
    const parts = type.types.map(partOfType).filter((/** @type {Part | null} */ p) => p !== null);
    if (parts.length === 0) return null;
    return { path: parts[0].path, kinds: parts.flatMap((/** @type {Part} */ p) => p.kinds) };
  }
  if (type.type !== "TSTypeReference") return null;
  const named = type.typeName;
  const name = named.type === "TSQualifiedName" ? named.right.name : named.name;
  if (NARROWING.has(name))
    return partOfType((type.typeArguments ?? type.typeParameters)?.params[0]);
  return Object.hasOwn(TYPES, name) ? TYPES[name] : null;
}

/**
 * The part of a context that a call calls: `["db", "insert"]`, `["scheduler", "runAfter"]`.
 * @param {SourceFile} file @param {Node} call @returns {Part | null}
 */
export function calledPart(file, call) {
  const part = partOf(file, call.callee);
  return part !== null && part.path.length > 0 ? part : null;
}

/**
 * @typedef {{ method: string, call: Node, isSystem: boolean }} DatabaseCall
 *   `isSystem`: of `ctx.db.system`, which reads as `ctx.db` does.
 */

/** @param {SourceFile} file @returns {DatabaseCall[]} */
function findDatabaseCalls(file) {
  const found = [];
  for (const call of file.nodes("CallExpression")) {
    const part = calledPart(file, call);
    if (part === null) continue;
    const [first, ...rest] = part.path;
    const isSystem = rest[0] === "system";
    const [method, ...more] = isSystem ? rest.slice(1) : rest;
    if (first === "db" && method !== undefined && more.length === 0) {
      found.push({ method, call, isSystem });
    }
  }
  return found;
}

/**
 * The calls of the database in `file`: `query`, `get`, `insert` and the rest.
 * @param {SourceFile} file
 */
export const databaseCalls = (file) => file.derived(findDatabaseCalls);
