/** A user's id taken from the caller where access is decided. */

import { argumentName } from "./shared/arguments.mjs";
import { outer, settled } from "./shared/ast.mjs";
import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";

const PERSON = "author|caller|owner|requester|user|viewer";
const NAMED = new RegExp(
  `^(?:(?:acting|current|requesting)_?)?(?:${PERSON})(?:_?id)?$|^(?:email|tokenIdentifier)$`,
  "i",
);

/** @typedef {import("./shared/ast.mjs").Node} Node */

/** Whether a condition decides that the handler ends. @param {Node} test */
function refuses(test) {
  let at = outer(test);
  while (at.parent.type === "LogicalExpression" || at.parent.type === "UnaryExpression")
    at = outer(at.parent);
  const statement = at.parent;
  if (statement.type !== "IfStatement" || statement.test !== at) return false;
  const then = statement.consequent;
  const last = then.type === "BlockStatement" ? then.body.at(-1) : then;
  return last?.type === "ThrowStatement" || last?.type === "ReturnStatement";
}

export default rule({
  name: "user-id-argument",
  description: "Disallow deciding access by a user id that the caller passes.",
  message:
    "Access is decided by {{name}}, which the caller chooses. Take the user from " +
    "ctx.auth.getUserIdentity().",
  check(file, report) {
    for (const { handler, registrar } of registered(file)) {
      if (handler === null || !registrar.isPublic || registrar.isHttp) continue;
      for (const test of file.inside(handler, "BinaryExpression")) {
        if (!/^[!=]==?$/.test(test.operator)) continue;
        if (!refuses(test)) continue;
        const sides = [
          [test.left, test.right],
          [test.right, test.left],
        ];
        for (const [side, other] of sides) {
          const name = argumentName(file, handler, side);
          // With a field of a document, and not with undefined or another argument.
          const isField =
            settled(other).type === "MemberExpression" &&
            argumentName(file, handler, other) === null;
          if (name !== null && NAMED.test(name) && isField) report(side, { name });
        }
      }
    }
  },
});
