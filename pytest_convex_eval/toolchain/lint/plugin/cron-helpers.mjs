/** `crons.daily` and its like. */

import { methodNode } from "./shared/ast.mjs";
import { cronCalls } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "cron-helpers",
  description: "Allow only crons.interval and crons.cron.",
  message: "Use crons.interval or crons.cron, not crons.{{method}}.",
  check(file, report) {
    for (const { method, call } of cronCalls(file)) {
      if (method !== "interval" && method !== "cron") report(methodNode(call), { method });
    }
  },
});
