/** `take(n)` of more documents than a query should read at once. */

import { rule } from "./shared/rule.mjs";
import { querySteps } from "./shared/queries.mjs";
import { numberOf } from "./shared/scope.mjs";

const MOST = 1000;

export default rule({
  name: "bounded-take",
  description: "Disallow taking more than 1000 documents at once.",
  message: "This reads up to {{n}} documents at once. Take 1000 or fewer, or paginate.",
  check(file, report) {
    for (const { name, call } of querySteps(file)) {
      const n = name === "take" ? numberOf(file, call.arguments[0]) : null;
      if (n !== null && n > MOST) report(call.arguments[0], { n: String(n) });
    }
  },
});
