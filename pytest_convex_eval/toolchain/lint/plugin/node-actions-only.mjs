/** A query, mutation or HTTP action in a file that runs in Node. */

import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "node-actions-only",
  description: 'Allow only actions in "use node" files.',
  message:
    'A "use node" file may define actions only; this is {{what}}. Move it to a file without ' +
    "the directive.",
  check(file, report) {
    if (!file.usesNode) return;
    for (const { call, registrar } of registered(file)) {
      if (registrar.isHttp) report(call, { what: "an HTTP action" });
      else if (registrar.kind !== "action") report(call, { what: `a ${registrar.kind}` });
    }
  },
});
