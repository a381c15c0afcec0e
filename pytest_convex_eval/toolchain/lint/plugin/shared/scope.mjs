/**
 * What a name stands for: aliases, destructuring and imports followed to where they come from.
 *
 * Every search is bounded, since the code that is read may be anything.
 *
 * @typedef {import("./ast.mjs").Node} Node
 * @typedef {import("./file.mjs").SourceFile} SourceFile
 * @typedef {import("./file.mjs").Variable} Variable
 * @typedef {{ from: string, path: string[] }} Imported  `path` begins with the export's name.
 */

import { isFunction, keyOf, memberName, unwrap } from "./ast.mjs";

const STEPS = 40;

/** @param {SourceFile} file @param {Node} identifier @returns {Variable | null} */
export function variableOf(file, identifier) {
  /** @type {import("./file.mjs").Scope | null} */
  let scope = file.sourceCode.getScope(identifier);
  for (; scope !== null; scope = scope.upper) {
    const variable = scope.set.get(identifier.name);
    if (variable !== undefined) return variable;
  }
  return null;
}

/**
 * Whether a name is the language's own.
 * @param {SourceFile} file
 * @param {Node} node
 * @param {string} name
 */
export function isGlobal(file, node, name) {
  if (node.type !== "Identifier" || node.name !== name) return false;
  return (variableOf(file, node)?.defs.length ?? 0) === 0;
}

/** The one definition of a variable that never changes. @param {Variable | null} variable */
export function definitionOf(variable) {
  if (variable === null || variable.defs.length !== 1) return null;
  const changes = variable.references.some((r) => r.isWrite() && !r.init);
  return changes ? null : variable.defs[0];
}

/**
 * The expression that a name was given; anything else is itself.
 * @param {SourceFile} file @param {Node} node @returns {Node}
 */
export function follow(file, node) {
  let bare = unwrap(node);
  for (let step = 0; step < STEPS && bare.type === "Identifier"; step++) {
    const definition = definitionOf(variableOf(file, bare));
    if (definition?.type !== "Variable" || definition.node.id.type !== "Identifier") break;
    if (!definition.node.init) break;
    bare = unwrap(definition.node.init);
  }
  return bare;
}

/**
 * The function that an expression is or names.
 * @param {SourceFile} file
 * @param {Node | null} node
 */
export function functionOf(file, node) {
  if (node === null) return null;
  const target = follow(file, node);
  if (isFunction(target)) return target;
  if (target.type !== "Identifier") return null;
  const definition = definitionOf(variableOf(file, target));
  return definition?.type === "FunctionName" && isFunction(definition.node)
    ? definition.node
    : null;
}

/**
 * The keys that lead to a name in a destructuring pattern: `{ a: { b } }` gives `["a", "b"]`.
 * @param {Node} pattern @param {Node} name @returns {string[] | null}
 */
export function pathIn(pattern, name) {
  if (pattern.type === "AssignmentPattern") return pathIn(pattern.left, name);
  if (pattern.type === "Identifier") return pattern.name === name.name ? [] : null;
  if (pattern.type !== "ObjectPattern") return null;
  for (const property of pattern.properties) {
    const key = keyOf(property);
    if (key === null) continue;
    const rest = pathIn(property.value, name);
    if (rest !== null) return [key, ...rest];
  }
  return null;
}

/**
 * The import that an expression reads, through namespaces, members, aliases and destructuring.
 * @param {SourceFile} file @param {Node} node @returns {Imported | null}
 */
export function imported(file, node, steps = STEPS) {
  const bare = unwrap(node);
  if (steps === 0) return null;
  if (bare.type === "MemberExpression") {
    const name = memberName(bare);
    const base = name === null ? null : imported(file, bare.object, steps - 1);
    return base && { from: base.from, path: [...base.path, /** @type {string} */ (name)] };
  }
  if (bare.type !== "Identifier") return null;
  const definition = definitionOf(variableOf(file, bare));
  if (definition?.type === "ImportBinding") {
    if (definition.parent.type !== "ImportDeclaration") return null;
    return { from: definition.parent.source.value, path: importedPath(definition.node) };
  }
  if (definition?.type !== "Variable" || !definition.node.init) return null;
  const path = pathIn(definition.node.id, definition.name);
  const base = path === null ? null : imported(file, definition.node.init, steps - 1);
  return base && path && { from: base.from, path: [...base.path, ...path] };
}

/** @param {Node} specifier @returns {string[]} */
function importedPath(specifier) {
  if (specifier.type === "ImportNamespaceSpecifier") return [];
  if (specifier.type === "ImportDefaultSpecifier") return ["default"];
  return [specifier.imported.name ?? specifier.imported.value];
}

/**
 * Whether an expression is the export `name` of the package `from`.
 * @param {SourceFile} file @param {Node} node @param {string} from @param {string} name
 */
export function isImport(file, node, from, name) {
  const found = imported(file, node);
  return found !== null && found.from === from && found.path.join(".") === name;
}

/**
 * A number known before the program runs, products and sums of them included.
 * @param {SourceFile} file @param {Node | undefined} node @returns {number | null}
 */
export function numberOf(file, node, steps = STEPS) {
  if (node === undefined || steps === 0) return null;
  const bare = follow(file, node);
  if (bare.type === "Literal") return typeof bare.value === "number" ? bare.value : null;
  if (bare.type !== "BinaryExpression") return null;
  const left = numberOf(file, bare.left, steps - 1);
  const right = left === null ? null : numberOf(file, bare.right, steps - 1);
  if (left === null || right === null) return null;
  if (bare.operator === "*") return left * right;
  if (bare.operator === "+") return left + right;
  if (bare.operator === "-") return left - right;
  return bare.operator === "/" ? left / right : null;
}
