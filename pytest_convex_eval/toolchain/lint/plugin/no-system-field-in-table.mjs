/** `_creationTime` or `_id` declared as a field of a table. */

import { rule } from "./shared/rule.mjs";
import { tables } from "./shared/tables.mjs";

export default rule({
  name: "no-system-field-in-table",
  description: "Disallow declaring system fields in a table.",
  message:
    "{{field}} is a system field: every document has it, and declaring it does nothing. Remove it.",
  check(file, report) {
    const seen = new Set();
    for (const { key, name } of tables(file).flatMap((table) => table.fields)) {
      if ((name !== "_id" && name !== "_creationTime") || seen.has(key)) continue;
      seen.add(key);
      report(key, { field: name });
    }
  },
});
