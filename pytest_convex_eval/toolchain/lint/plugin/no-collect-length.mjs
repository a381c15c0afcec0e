/** Reading every document to count them, or to see whether there is one. */

import { countedFor } from "./shared/counted.mjs";
import { querySteps } from "./shared/queries.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "no-collect-length",
  description: "Disallow counting documents by collecting them.",
  message: {
    number:
      "This reads every document only to count them. Keep the count in a document, or use the " +
      "aggregate component.",
    any:
      "This reads every document only to see whether there is one: .first() reads one, and gives " +
      "null where there is none.",
  },
  check(file, report) {
    for (const { name, call } of querySteps(file)) {
      const purpose = name === "collect" ? countedFor(file, call) : null;
      if (purpose !== null) report(call, {}, purpose);
    }
  },
});
