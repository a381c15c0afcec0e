/**
 * The tables that a file defines, their fields and indexes; of what is computed, nothing is known.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {{ name: string | null, fields: string[] | null, kind: "index" | "search" | "vector",
 *   staged: boolean, call: Node }} Index
 * @typedef {{ name: string, value: Node, key: Node }} Field
 * @typedef {{ name: string | null, call: Node, fields: Field[], indexes: Index[] }} Table
 */

import { keyOf, methodOf, outer, stringOf, propertyValue } from "./ast.mjs";
import { follow, imported, isImport, variableOf } from "./scope.mjs";

const CHAINED = new Set(["index", "searchIndex", "staged", "vectorIndex"]);
const STEPS = 200;

/** @param {SourceFile} file @returns {Table[]} */
function findTables(file) {
  return file
    .nodes("CallExpression")
    .filter((call) => isImport(file, call.callee, "convex/server", "defineTable"))
    .flatMap((call) =>
      chains(file, call).map(({ end, calls }) => ({
        name: tableName(end),
        call,
        fields: objectFields(file, call.arguments[0]),
        indexes: calls.flatMap((link) => indexOf(file, link) ?? []),
      })),
    );
}

/** The tables that a file defines. @param {SourceFile} file */
export const tables = (file) => file.derived(findTables);

/**
 * What is chained onto a table, once for each place that it is used in when it is kept in a name.
 * @param {SourceFile} file @param {Node} start @param {Node[]} before
 * @returns {{ end: Node, calls: Node[] }[]}
 */
function chains(file, start, before = [], depth = 4) {
  const calls = [...before];
  let at = outer(start);
  for (let step = 0; step < STEPS; step++) {
    const member = at.parent;
    const call =
      member?.type === "MemberExpression" && member.object === at ? outer(member).parent : null;
    if (call?.type !== "CallExpression" || !CHAINED.has(methodOf(call) ?? "")) break;
    calls.push(call);
    at = outer(call);
  }
  const { parent } = at;
  if (depth > 0 && parent?.type === "VariableDeclarator" && parent.id.type === "Identifier") {
    const uses = variableOf(file, parent.id)?.references.filter((r) => r.isRead()) ?? [];
    const found = uses.flatMap(({ identifier }) => chains(file, identifier, calls, depth - 1));
    // Where a name is only handed on (exported, in a list), its own chain is all there is.
    const further = found.filter(
      (chain) => chain.calls.length > calls.length || tableName(chain.end),
    );
    return further.length > 0 ? further : [{ end: at, calls }];
  }
  return [{ end: at, calls }];
}

/** The key under which a table stands in an object. @param {Node} end */
function tableName(end) {
  const property = end.parent;
  return property?.type === "Property" && property.value === end ? keyOf(property) : null;
}

/** @param {SourceFile} file @param {Node} call @returns {Index | null} */
function indexOf(file, call) {
  const method = methodOf(call);
  if (method === "staged") return null;
  const name = stringOf(call.arguments[0]);
  const config = call.arguments[1] === undefined ? null : follow(file, call.arguments[1]);
  const options = config?.type === "ObjectExpression" ? config : null;
  const staged = options === null ? null : propertyValue(options, "staged");
  const isStaged = staged !== null && !(staged.type === "Literal" && staged.value === false);
  if (method !== "index") {
    return {
      name,
      fields: null,
      kind: method === "searchIndex" ? "search" : "vector",
      staged: isStaged,
      call,
    };
  }
  const list = options === null ? config : propertyValue(options, "fields");
  return {
    name,
    fields: list === null ? null : stringsOf(file, list),
    kind: "index",
    staged: isStaged,
    call,
  };
}

/** @param {SourceFile} file @param {Node} node @returns {string[] | null} */
function stringsOf(file, node) {
  const list = follow(file, node);
  if (list.type !== "ArrayExpression") return null;
  const strings = list.elements.map((/** @type {Node | null} */ e) =>
    e === null ? null : stringOf(e),
  );
  return strings.length > 0 && !strings.includes(null) ? strings : null;
}

/**
 * The fields of an object's validator: a literal, `v.object(...)` of one, or a union of these.
 * @param {SourceFile} file @param {Node | undefined} node @returns {Field[]}
 */
export function objectFields(file, node, depth = 6) {
  if (node === undefined || depth === 0) return [];
  const bare = follow(file, node);
  if (bare.type === "ObjectExpression") {
    return bare.properties.flatMap((/** @type {Node} */ property) => {
      if (property.type === "SpreadElement")
        return objectFields(file, property.argument, depth - 1);
      const name = keyOf(property);
      return name === null ? [] : [{ name, value: property.value, key: property.key }];
    });
  }
  const validator = validatorName(file, bare);
  if (validator !== "object" && validator !== "union") return [];
  return bare.arguments.flatMap((/** @type {Node} */ a) => objectFields(file, a, depth - 1));
}

/**
 * `id` of `v.id(...)`; null for what is no call of `v`.
 * @param {SourceFile} file
 * @param {Node} node
 */
export function validatorName(file, node) {
  if (node.type !== "CallExpression") return null;
  const found = imported(file, node.callee);
  if (found === null || found.from !== "convex/values") return null;
  return found.path.length === 2 && found.path[0] === "v" ? found.path[1] : null;
}

/**
 * The validator of a value, without `v.optional` around it.
 * @param {SourceFile} file @param {Node} node @returns {{ name: string, call: Node } | null}
 */
export function validatorOf(file, node, depth = 4) {
  const call = follow(file, node);
  const name = validatorName(file, call);
  if (name === null) return null;
  if (name !== "optional" || depth === 0) return { name, call };
  const [inner] = call.arguments;
  return inner === undefined ? null : validatorOf(file, inner, depth - 1);
}
