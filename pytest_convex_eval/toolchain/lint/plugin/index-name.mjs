/** An index whose name does not say its fields. */

import { stringOf } from "./shared/ast.mjs";
import { rule } from "./shared/rule.mjs";
import { tables } from "./shared/tables.mjs";

/** `authorId`, `author_id` and `author.id` alike, with or without the `Id`. @param {string} text */
const words = (text) =>
  text
    .replace(/([a-z\d])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter((word) => !["and", "by", "id", ""].includes(word))
    .join("_");

export default rule({
  name: "index-name",
  description: "Require index names to say all their fields.",
  message: "Index {{index}} does not say its fields. Call it {{expected}}.",
  check(file, report) {
    const seen = new Set();
    for (const { call, name, fields, kind } of tables(file).flatMap((table) => table.indexes)) {
      if (kind !== "index" || name === null || fields === null || seen.has(call)) continue;
      seen.add(call);
      if (words(name) === words(fields.join("_and_"))) continue;
      const expected = `"by_${fields.map((f) => f.replaceAll(".", "_")).join("_and_")}"`;
      if (stringOf(call.arguments[0]) !== null) {
        report(call.arguments[0], { index: `"${name}"`, expected });
      }
    }
  },
});
