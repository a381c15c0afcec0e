/** Two `ctx.runQuery` or `ctx.runMutation` in a row, each a transaction of its own. */

import { settled, unwrap } from "./shared/ast.mjs";
import { runs } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";

/**
 * What a statement waits for, when that is all it does.
 * @param {import("./shared/ast.mjs").Node} statement
 */
function awaited(statement) {
  const expression =
    statement.type === "ExpressionStatement"
      ? statement.expression
      : statement.type === "VariableDeclaration" && statement.declarations.length === 1
        ? statement.declarations[0].init
        : statement.type === "ReturnStatement"
          ? statement.argument
          : null;
  if (!expression || unwrap(expression).type !== "AwaitExpression") return null;
  return settled(expression);
}

export default rule({
  name: "no-sequential-runs",
  description: "Disallow consecutive ctx.runQuery and ctx.runMutation calls in an action.",
  message:
    "This {{via}} follows another: each is a transaction of its own, so that what the first saw " +
    "may have changed. Do both in one internal function.",
  check(file, report) {
    const found = new Map(
      runs(file)
        .filter(({ via, kinds }) => /^run(?:Query|Mutation)$/.test(via) && kinds.includes("action"))
        // A component's functions, and what is passed, can't be merged here.
        .filter(({ reference }) => reference !== null && reference.root !== "components")
        .map((run) => [run.call, run]),
    );
    for (const { body } of file.nodes("BlockStatement")) {
      for (const [at, statement] of body.entries()) {
        const [before, now] = [body[at - 1], statement].map((s) => s && awaited(s));
        const run = now && before && found.has(before) ? found.get(now) : undefined;
        if (run !== undefined) report(run.call, { via: run.via });
      }
    }
  },
});
