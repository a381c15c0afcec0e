/**
 * The clock in a query, whose result is kept and not run again when time passes. Reached through
 * another file, it is decided over all files (`decide.py`).
 */

import { enclosingFunctions } from "./shared/ast.mjs";
import { clockReadings } from "./shared/clock.mjs";
import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";
import { functionOf } from "./shared/scope.mjs";

export default rule({
  name: "no-date-in-query",
  description: "Disallow reading the clock in a query.",
  message:
    "A query does not run again because time passes, and one that reads the clock is cached " +
    "worse. Pass the time as an argument, or keep a field that a scheduled function sets.",
  check(file, report) {
    if (clockReadings(file).length === 0) return;
    const reached = new Set();
    const pending = registered(file).flatMap(({ handler, registrar }) =>
      handler !== null && registrar.kind === "query" ? [handler] : [],
    );
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      if (reached.has(at)) continue;
      reached.add(at);
      for (const call of file.inside(at, "CallExpression")) {
        const callee = functionOf(file, call.callee);
        if (callee !== null) pending.push(callee);
      }
    }
    for (const reading of clockReadings(file)) {
      if (enclosingFunctions(reading).some((fn) => reached.has(fn))) report(reading);
    }
  },
});
