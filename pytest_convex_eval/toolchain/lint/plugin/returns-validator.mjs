/** A public function without `returns`. */

import { isOpen, propertyValue } from "./shared/ast.mjs";
import { registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";

export default rule({
  name: "returns-validator",
  description: "Require a return validator on every public function.",
  message: "This public {{kind}} has no return validator. Add returns, v.null() for no value.",
  check(file, report) {
    for (const { options, registrar } of registered(file)) {
      if (options === null || !registrar.isPublic || registrar.isHttp || isOpen(options)) continue;
      if (propertyValue(options, "returns") === null) report(options, { kind: registrar.kind });
    }
  },
});
