/** A public function as the target of `ctx.run*`, the scheduler or a cron. */

import { runs } from "./shared/references.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "internal-targets",
  description: "Require internal functions as targets of ctx.run*, the scheduler and crons.",
  message:
    "{{via}} calls {{target}}, which anyone may call. Make it an internal function, or share " +
    "its code in a plain function.",
  check(file, report) {
    for (const { via, target, reference } of runs(file)) {
      if (reference?.root !== "api") continue;
      report(target, { via, target: ["api", ...reference.path].join(".") });
    }
  },
});
