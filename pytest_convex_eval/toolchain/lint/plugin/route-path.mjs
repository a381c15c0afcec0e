/** A pattern in the path of a route, which is compared as it stands. */

import { methodOf, receiverOf, stringOf, propertyValue } from "./shared/ast.mjs";
import { rule } from "./shared/rule.mjs";
import { isRouter } from "./shared/routes.mjs";
import { follow } from "./shared/scope.mjs";

export default rule({
  name: "route-path",
  description: "Disallow patterns in the path of an HTTP route.",
  message:
    "A route's path is compared as it stands, and {{path}} holds a pattern. " +
    "Use pathPrefix and take the rest from the request's URL.",
  check(file, report) {
    for (const call of file.nodes("CallExpression")) {
      const receiver = receiverOf(call);
      if (methodOf(call) !== "route" || receiver === null || !isRouter(file, receiver)) continue;
      const route = call.arguments[0] && follow(file, call.arguments[0]);
      const value = route?.type === "ObjectExpression" ? propertyValue(route, "path") : null;
      const path = value === null ? null : stringOf(value);
      if (value && path !== null && /\*|\/:\w|\{\w+\}|\/\[\w+\]/.test(path)) {
        report(value, { path: JSON.stringify(path) });
      }
    }
  },
});
