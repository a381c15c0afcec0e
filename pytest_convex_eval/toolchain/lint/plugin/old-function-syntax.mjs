/** A function registered by its handler alone, as before validators existed. */

import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "old-function-syntax",
  description: "Disallow registering a function by its handler alone.",
  message:
    "This registers a {{kind}} by its handler alone, so that it has no argument validator. " +
    "Pass an object: {{kind}}({ args: {...}, handler: ... }).",
  check(file, report) {
    for (const { call, registrar, takesFunction } of registered(file)) {
      if (takesFunction && !registrar.isHttp) report(call, { kind: registrar.kind });
    }
  },
});
