/**
 * Which argument of a registered function an expression is.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 */

import { memberName, settled } from "./ast.mjs";
import { definitionOf, pathIn, variableOf } from "./scope.mjs";

const STEPS = 20;

/**
 * The handler whose arguments an expression is part of, and the keys that lead there: `args.a.b`,
 * also where `args` is taken apart, in the parameter or after.
 * @param {SourceFile} file @param {Node} node
 * @returns {{ handler: Node, path: string[] } | null}
 */
export function argumentPath(file, node, steps = STEPS) {
  const bare = settled(node);
  if (steps === 0) return null;
  if (bare.type === "MemberExpression") {
    const name = memberName(bare);
    const base = name === null ? null : argumentPath(file, bare.object, steps - 1);
    return base && { ...base, path: [...base.path, /** @type {string} */ (name)] };
  }
  if (bare.type !== "Identifier") return null;
  const definition = definitionOf(variableOf(file, bare));
  if (definition?.type === "Parameter") {
    const [, parameter] = definition.node.params;
    const path = parameter === undefined ? null : pathIn(parameter, definition.name);
    return path && { handler: definition.node, path };
  }
  if (definition?.type !== "Variable" || !definition.node.init) return null;
  const path = pathIn(definition.node.id, definition.name);
  const base = path === null ? null : argumentPath(file, definition.node.init, steps - 1);
  return base && path && { ...base, path: [...base.path, ...path] };
}

/**
 * The name of the argument of `handler` that an expression is; null for a part of one too.
 * @param {SourceFile} file @param {Node} handler @param {Node} node
 */
export function argumentName(file, handler, node) {
  const found = argumentPath(file, node);
  return found?.handler === handler && found.path.length === 1 ? found.path[0] : null;
}
