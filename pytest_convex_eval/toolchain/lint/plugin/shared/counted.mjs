/**
 * Collected documents of which nothing but their number is read.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 */

import { keyOf, memberName, outer, unwrap } from "./ast.mjs";
import { definitionOf, variableOf } from "./scope.mjs";

/** @param {Node} value */
function isLength(value) {
  const { parent } = value;
  return (
    parent.type === "MemberExpression" &&
    unwrap(parent.object) === unwrap(value) &&
    memberName(parent) === "length"
  );
}

/** Comparisons of a length that ask whether there is any, or none. */
const ASKS_FOR_ANY = new Set(["> 0", "=== 0", "== 0", "!== 0", "!= 0", ">= 1", "< 1", "<= 0"]);
/** @type {Record<string, string>} */
const TURNED = { "<": ">", ">": "<", "<=": ">=", ">=": "<=" };

/** Whether of a length only matters whether it is 0. @param {Node} length */
function asksForAny(length) {
  const at = outer(length);
  const { parent } = at;
  if (parent.type === "UnaryExpression") return parent.operator === "!";
  if (/^(?:If|While)Statement$|^ConditionalExpression$/.test(parent.type)) {
    return parent.test === at;
  }
  if (parent.type !== "BinaryExpression") return false;
  const { left, operator, right } = parent;
  const test =
    left === at
      ? `${operator} ${unwrap(right).value}`
      : `${TURNED[operator] ?? operator} ${unwrap(left).value}`;
  return ASKS_FOR_ANY.has(test);
}

/**
 * What the documents that a `collect()` gives are read for, at once or under a name: for their
 * `"number"`, for whether there are `"any"`, or for more (null).
 * @param {SourceFile} file @param {Node} collect @returns {"number" | "any" | null}
 */
export function countedFor(file, collect) {
  const lengths = lengthsOf(file, collect);
  if (lengths.length === 0) return null;
  return lengths.every(asksForAny) ? "any" : "number";
}

/** Where a length is read; none where more is. @param {SourceFile} file @param {Node} collect */
function lengthsOf(file, collect) {
  let at = outer(collect);
  if (at.parent.type !== "AwaitExpression") return isLength(at) ? [at.parent] : [];
  at = outer(at.parent);
  if (isLength(at)) return [at.parent];
  if (at.parent.type !== "VariableDeclarator" || at.parent.init !== at) return [];
  const { id } = at.parent;
  if (id.type === "ObjectPattern") {
    const [property, ...more] = id.properties;
    return more.length === 0 && property && keyOf(property) === "length"
      ? readsOf(file, property.value, (read) => read)
      : [];
  }
  if (id.type !== "Identifier") return [];
  return readsOf(file, id, (read) => (isLength(read) ? read.parent : null));
}

/**
 * What `found` makes of each place where a variable is read; none where it is null of any.
 * @param {SourceFile} file @param {Node} id @param {(read: Node) => Node | null} found
 */
function readsOf(file, id, found) {
  const variable = id.type === "Identifier" ? variableOf(file, id) : null;
  if (variable === null || definitionOf(variable) === null) return [];
  const reads = variable.references.filter((reference) => reference.isRead());
  const places = reads.map(({ identifier }) => found(outer(identifier)));
  return places.every((place) => place !== null) ? places : [];
}
