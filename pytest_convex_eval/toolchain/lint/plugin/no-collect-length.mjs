/** Reading every document to count them. */

import { isCounted } from "./shared/counted.mjs";
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
      if (name === "collect" && isCounted(file, call)) report(call);
    }
  },
});
