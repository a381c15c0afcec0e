/** `_creationTime` or `_id` among the fields of an index. */

import { rule } from "./shared/rule.mjs";
import { tables } from "./shared/tables.mjs";

const SYSTEM = ["_creationTime", "_id"];

export default rule({
  name: "no-system-field-in-index",
  description: "Disallow system fields in an index.",
  message:
    "Index {{index}} names the system field {{field}}: a deployment refuses it. Every index ends " +
    "in _creationTime by itself, and documents are read by _id with db.get.",
  check(file, report) {
    const seen = new Set();
    for (const { call, name, fields } of tables(file).flatMap((table) => table.indexes)) {
      const field = fields?.find((f) => SYSTEM.includes(f));
      if (field === undefined || seen.has(call)) continue;
      seen.add(call);
      report(call.arguments[1], { index: `"${name ?? "?"}"`, field });
    }
  },
});
