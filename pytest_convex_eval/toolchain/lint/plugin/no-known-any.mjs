/**
 * `v.any()` for a value whose shape the code knows. Documents are known by their schema, which may
 * be another file: returned as any, or stored into a field that is any, they are decided over all
 * files (`decide.py`).
 */

import { keyOf, memberName, outer, propertyValue } from "./shared/ast.mjs";
import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";
import { pathIn } from "./shared/scope.mjs";
import { holdsAny, shapeReturned } from "./shared/shapes.mjs";
import { objectFields, validatorOf } from "./shared/tables.mjs";

/**
 * @typedef {import("./shared/ast.mjs").Node} Node
 * @typedef {import("./shared/file.mjs").SourceFile} SourceFile
 */

/**
 * Whether an argument's members are read, or its type asserted.
 * @param {SourceFile} file
 * @param {Node} handler
 * @param {string} name
 */
function isRelied(file, handler, name) {
  if (handler.params.length < 2) return false;
  return uses(file, handler, name).some((node) => {
    const at = outer(node);
    if (at !== node && node.parent.type === "TSAsExpression") {
      const { type } = node.parent.typeAnnotation;
      return type !== "TSAnyKeyword" && type !== "TSUnknownKeyword";
    }
    const { parent } = at;
    if (parent.type === "MemberExpression")
      return parent.object === at && memberName(parent) !== null;
    return parent.type === "VariableDeclarator" && parent.id.type === "ObjectPattern";
  });
}

/**
 * Where a handler reads its argument `name`, by itself or as a member of all arguments.
 * @param {SourceFile} file
 * @param {Node} handler
 * @param {string} name
 * @returns {Node[]}
 */
function uses(file, handler, name) {
  const parameters = file.sourceCode.getScope(handler).variables.flatMap((variable) => {
    const path =
      variable.defs[0]?.type === "Parameter" && pathIn(handler.params[1], variable.defs[0].name);
    return path ? [{ path, references: variable.references }] : [];
  });
  return parameters.flatMap(({ path, references }) => {
    const read = references.map(({ identifier }) => identifier);
    if (path.length > 0) return path.join(".") === name ? read : [];
    return read.flatMap((identifier) => {
      const member = outer(identifier).parent;
      return member.type === "MemberExpression" && memberName(member) === name ? [member] : [];
    });
  });
}

export default rule({
  name: "no-known-any",
  description: "Disallow v.any() for a value whose shape the code knows.",
  message: {
    argument:
      "The handler relies on the shape of {{name}}, and v.any() lets anything in. Say the shape.",
    returns:
      "The handler returns a value of a known shape, and v.any() hides it from callers. Say the " +
      "shape.",
  },
  check(file, report) {
    for (const { options, handler } of registered(file)) {
      if (options === null || handler === null) continue;
      const returns = propertyValue(options, "returns");
      if (returns !== null && holdsAny(file, returns)) {
        const { known, empty, table } = shapeReturned(file, handler);
        if (known && !empty && table === null) report(returns, {}, "returns");
      }
      const args = options.properties.find((/** @type {Node} */ p) => keyOf(p) === "args");
      if (args === undefined) continue;
      for (const { name, value } of objectFields(file, args.value)) {
        if (validatorOf(file, value)?.name !== "any") continue;
        if (isRelied(file, handler, name)) report(value, { name });
      }
    }
  },
});
