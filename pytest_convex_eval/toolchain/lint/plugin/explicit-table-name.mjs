/** `db.get(id)` and the like without the table's name, also through an aliased `db`. */

import { rule } from "./shared/rule.mjs";
import { databaseCalls } from "./shared/context.mjs";

/** How many arguments each takes without a table's name. @type {Record<string, number>} */
const WITHOUT = { get: 1, delete: 1, patch: 2, replace: 2 };

export default rule({
  name: "explicit-table-name",
  description: "Require the table's name in db.get, patch, replace and delete.",
  message: "db.{{method}} takes the table's name first (convex 1.31 and newer). Add it.",
  check(file, report) {
    for (const { method, call, isSystem } of databaseCalls(file)) {
      if (isSystem) continue;
      if (!Object.hasOwn(WITHOUT, method) || call.arguments.length !== WITHOUT[method]) continue;
      if (call.arguments.some((/** @type {{ type: string }} */ a) => a.type === "SpreadElement"))
        continue;
      report(call, { method });
    }
  },
});
