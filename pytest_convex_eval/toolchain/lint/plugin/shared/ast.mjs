/**
 * Reading an ESTree syntax tree: names, literals, and what TypeScript wraps around an expression.
 *
 * @typedef {{ line: number, column: number }} Place
 * @typedef {{ type: string, range: [number, number], loc: { start: Place, end: Place },
 *   parent: Node, [field: string]: any }} Node
 */

const WRAPPERS = new Set([
  "ChainExpression",
  "ParenthesizedExpression",
  "TSAsExpression",
  "TSInstantiationExpression",
  "TSNonNullExpression",
  "TSSatisfiesExpression",
  "TSTypeAssertion",
]);

const FUNCTIONS = new Set(["ArrowFunctionExpression", "FunctionDeclaration", "FunctionExpression"]);

/** The expression inside of what changes nothing at run time. @param {Node} node @returns {Node} */
export function unwrap(node) {
  while (WRAPPERS.has(node.type)) node = node.expression;
  return node;
}

/** Also without `await`. @param {Node} node @returns {Node} */
export function settled(node) {
  let bare = unwrap(node);
  while (bare.type === "AwaitExpression") bare = unwrap(bare.argument);
  return bare;
}

/** The outermost wrapper around an expression: the inverse of `unwrap`. @param {Node} node */
export function outer(node) {
  while (node.parent && WRAPPERS.has(node.parent.type)) node = node.parent;
  return node;
}

/** @param {Node | null | undefined} node */
export function isFunction(node) {
  return node != null && FUNCTIONS.has(node.type);
}

/** The text of a string, or of a template without substitutions. @param {Node | undefined} node */
export function stringOf(node) {
  if (node === undefined) return null;
  const bare = unwrap(node);
  if (bare.type === "Literal" && typeof bare.value === "string") return bare.value;
  if (bare.type === "TemplateLiteral" && bare.expressions.length === 0) {
    return /** @type {string} */ (bare.quasis[0].value.cooked);
  }
  return null;
}

/** The name by which a member is read, `a.b` and `a["b"]` alike. @param {Node} member */
export function memberName(member) {
  if (member.computed) return stringOf(member.property);
  return member.property.type === "Identifier"
    ? /** @type {string} */ (member.property.name)
    : null;
}

/** The name of an object literal's or pattern's property. @param {Node} property */
export function keyOf(property) {
  if (property.type !== "Property") return null;
  if (!property.computed && property.key.type === "Identifier") {
    return /** @type {string} */ (property.key.name);
  }
  return stringOf(property.key);
}

/**
 * The value of an object literal's property; the last of a name wins, as when it is evaluated.
 * @param {Node} object @param {string} name @returns {Node | null}
 */
export function propertyValue(object, name) {
  const found = object.properties.findLast((/** @type {Node} */ p) => keyOf(p) === name);
  return found === undefined ? null : found.value;
}

/** Whether an object literal has keys that can't be read here. @param {Node} object */
export function isOpen(object) {
  return object.properties.some((/** @type {Node} */ p) => keyOf(p) === null);
}

/** The method that a call calls: `a.b()` is `b`. @param {Node} call */
export function methodOf(call) {
  const callee = unwrap(call.callee);
  return callee.type === "MemberExpression" ? memberName(callee) : null;
}

/** What a method call is called on. @param {Node} call @returns {Node | null} */
export function receiverOf(call) {
  const callee = unwrap(call.callee);
  return callee.type === "MemberExpression" ? callee.object : null;
}

/**
 * Where a finding on a method call stands: at the method's name.
 * @param {Node} call
 * @returns {Node}
 */
export function methodNode(call) {
  return unwrap(call.callee).property;
}

/** @param {Node} node @returns {Node | null} */
export function enclosingFunction(node) {
  for (let at = node.parent; at; at = at.parent) if (isFunction(at)) return at;
  return null;
}

/**
 * The functions that a node stands in, from the innermost outwards.
 * @param {Node} node
 * @returns {Node[]}
 */
export function enclosingFunctions(node) {
  const found = [];
  for (let at = enclosingFunction(node); at; at = enclosingFunction(at)) found.push(at);
  return found;
}

/** @param {Node} inner @param {Node} outerNode */
export function within(inner, outerNode) {
  return outerNode.range[0] <= inner.range[0] && inner.range[1] <= outerNode.range[1];
}
