/** `ctx.runQuery` or `ctx.runMutation` where a plain function would do. */

import { isTried } from "./shared/loops.mjs";
import { runs } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "no-subtransaction",
  description: "Disallow ctx.runQuery and ctx.runMutation in queries and mutations.",
  message:
    "{{via}} in a {{kind}} opens a transaction within this one, which costs time. Call a plain " +
    "TypeScript function, unless a part has to be rolled back alone.",
  check(file, report) {
    for (const { via, call, reference, kinds } of runs(file)) {
      if (via !== "runQuery" && via !== "runMutation") continue;
      if (kinds.length === 0 || kinds.includes("action")) continue;
      // A component's functions can't be called otherwise, nor can a handle; a limit of its own and
      // a roll-back that is caught are the documented uses.
      if (reference === null || reference.root === "components") continue;
      if (call.arguments.length > 2 || isTried(call)) continue;
      report(call, { via, kind: kinds[0] });
    }
  },
});
