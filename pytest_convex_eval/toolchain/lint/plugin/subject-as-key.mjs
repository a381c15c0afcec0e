/** `identity.subject` as the key of a user: two providers may give the same one. */

import { memberName, methodOf, settled } from "./shared/ast.mjs";
import { databaseCalls } from "./shared/context.mjs";
import { rule } from "./shared/rule.mjs";
import { definitionOf, follow, pathIn, variableOf } from "./shared/scope.mjs";

/**
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} SourceFile
 */

const STEPS = 20;

/**
 * Whether an expression is what `getUserIdentity` gave; handed on by a helper, it is known by name.
 * @param {SourceFile} file @param {Node} node
 */
function isIdentity(file, node) {
  let bare = settled(node);
  for (let step = 0; step < STEPS; step++) {
    const next = settled(follow(file, bare));
    if (next === bare) break;
    bare = next;
  }
  if (bare.type === "CallExpression" && methodOf(bare) === "getUserIdentity") return true;
  const named = settled(node);
  return named.type === "Identifier" && /^(?:user_?)?identity$/i.test(named.name);
}

/** @param {SourceFile} file @param {Node} node @returns {boolean} */
function isSubject(file, node, steps = STEPS) {
  const bare = settled(node);
  if (steps === 0) return false;
  if (bare.type === "MemberExpression") {
    return memberName(bare) === "subject" && isIdentity(file, bare.object);
  }
  if (bare.type === "LogicalExpression") return isSubject(file, bare.left, steps - 1);
  if (bare.type !== "Identifier") return false;
  const definition = definitionOf(variableOf(file, bare));
  if (definition?.type !== "Variable" || !definition.node.init) return false;
  const { id, init } = definition.node;
  if (id.type === "Identifier") return isSubject(file, init, steps - 1);
  return pathIn(id, definition.name)?.join(".") === "subject" && isIdentity(file, init);
}

/** @param {SourceFile} file @returns {Node[]} */
function keys(file) {
  const inRanges = file
    .nodes("CallExpression")
    .filter((call) => methodOf(call) === "eq" && call.arguments.length === 2)
    .map((call) => call.arguments[1]);
  const stored = databaseCalls(file).flatMap(({ method, call }) => {
    if (!/^(?:insert|patch|replace)$/.test(method)) return [];
    const last = call.arguments.at(-1);
    const document = last === undefined ? null : follow(file, last);
    if (document?.type !== "ObjectExpression") return [];
    return document.properties.flatMap((/** @type {Node} */ p) => (p.value ? [p.value] : []));
  });
  const compared = file.nodes("BinaryExpression").flatMap(({ operator, left, right }) => {
    if (!/^[!=]==?$/.test(operator)) return [];
    // With a field of a document, and not with a constant.
    if (settled(right).type === "MemberExpression" && !isSubject(file, right)) return [left];
    if (settled(left).type === "MemberExpression" && !isSubject(file, left)) return [right];
    return [];
  });
  return [...inRanges, ...stored, ...compared];
}

export default rule({
  name: "subject-as-key",
  description: "Disallow identity.subject as the key of a user.",
  message:
    "A subject is unique within its provider only. identity.tokenIdentifier is unique over all: " +
    "use it as the key.",
  check(file, report) {
    // Together with its issuer a subject is as good.
    const knowsIssuer = file
      .nodes("MemberExpression")
      .some((node) => memberName(node) === "issuer" && isIdentity(file, node.object));
    if (knowsIssuer) return;
    for (const node of keys(file)) if (isSubject(file, node)) report(node);
  },
});
