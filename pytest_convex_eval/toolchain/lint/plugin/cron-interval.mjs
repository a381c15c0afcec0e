/** A cron that runs more often than every five minutes. */

import { keyOf, isOpen } from "./shared/ast.mjs";
import { cronCalls } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";
import { follow, numberOf } from "./shared/scope.mjs";

/** @type {Record<string, number>} */
const SECONDS = { seconds: 1, minutes: 60, hours: 3600 };
const LEAST = 300;

export default rule({
  name: "cron-interval",
  description: "Disallow crons that run more often than every five minutes.",
  message:
    "This cron runs every {{seconds}} seconds, and each run costs. Run it every 5 minutes, or " +
    "less often.",
  check(file, report) {
    for (const { method, call } of cronCalls(file)) {
      const interval = call.arguments[1] && follow(file, call.arguments[1]);
      if (method !== "interval" || interval?.type !== "ObjectExpression" || isOpen(interval))
        continue;
      let seconds = 0;
      for (const property of interval.properties) {
        seconds +=
          (numberOf(file, property.value) ?? Number.NaN) *
          (SECONDS[keyOf(property) ?? ""] ?? Number.NaN);
      }
      if (seconds < LEAST) report(call.arguments[1], { seconds: String(seconds) });
    }
  },
});
