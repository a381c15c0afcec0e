/** Reading every document to count them. */

import { outer, unwrap } from "./shared/ast.mjs";
import { querySteps } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "no-collect-length",
  description: "Disallow counting documents by collecting them.",
  message:
    "This reads every document only to count them. Keep the count in a document, or use the " +
    "aggregate component.",
  check(file, report) {
    for (const { name, call } of querySteps(file)) {
      if (name !== "collect") continue;
      let at = outer(call);
      if (at.parent.type === "AwaitExpression") at = outer(at.parent);
      const member = at.parent;
      if (member.type !== "MemberExpression" || unwrap(member.object) !== unwrap(at)) continue;
      if (!member.computed && member.property.name === "length") report(call);
    }
  },
});
