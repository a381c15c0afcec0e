/** A registered function without `args`. */

import { isOpen, propertyValue } from "./shared/ast.mjs";
import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "args-validator",
  description: "Require an argument validator on every registered function.",
  message:
    "This {{kind}} has no argument validator: whatever a caller sends reaches the handler. " +
    "Add args, {} when there are none.",
  check(file, report) {
    for (const { options, registrar } of registered(file)) {
      if (options === null || registrar.isHttp || isOpen(options)) continue;
      if (propertyValue(options, "args") === null) report(options, { kind: registrar.kind });
    }
  },
});
