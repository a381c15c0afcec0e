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

/**
 * Whether of what a `collect()` gives only the length is read: at once, or under a name.
 * @param {SourceFile} file @param {Node} collect
 */
export function isCounted(file, collect) {
  let at = outer(collect);
  if (at.parent.type !== "AwaitExpression") return isLength(at);
  at = outer(at.parent);
  if (isLength(at)) return true;
  if (at.parent.type !== "VariableDeclarator" || at.parent.init !== at) return false;
  const { id } = at.parent;
  if (id.type === "ObjectPattern") {
    return id.properties.length === 1 && keyOf(id.properties[0]) === "length";
  }
  if (id.type !== "Identifier") return false;
  const variable = variableOf(file, id);
  if (definitionOf(variable) === null) return false;
  const reads = variable?.references.filter((reference) => reference.isRead()) ?? [];
  return reads.length > 0 && reads.every(({ identifier }) => isLength(outer(identifier)));
}
