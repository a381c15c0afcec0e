/**
 * Routes that are never served: `convex/http.ts` without a default export, or a handler that is no
 * `httpAction`. That a router stands in another file is decided over all files (`decide.py`).
 */

import { isFunction, methodOf, receiverOf, propertyValue } from "./shared/ast.mjs";
import { hasDefaultExport, registered } from "./shared/functions.mjs";
import { rule } from "./shared/rule.mjs";
import { isRouter, routerCalls } from "./shared/routes.mjs";
import { follow } from "./shared/scope.mjs";

export default rule({
  name: "http-routes",
  description: "Require HTTP routes to be where they are served, and to lead to HTTP actions.",
  message: {
    noDefault:
      "convex/http.ts has no default export, so that none of its routes is served. " +
      "Export the router as the default.",
    handler: "A route's handler must be an httpAction; this is {{what}}.",
  },
  check(file, report) {
    const [router] = routerCalls(file);
    if (file.module === "http" && router !== undefined && !hasDefaultExport(file)) {
      report(router, {}, "noDefault");
    }
    const kinds = new Map(registered(file).map(({ call, registrar }) => [call, registrar]));
    for (const call of file.nodes("CallExpression")) {
      const receiver = receiverOf(call);
      if (methodOf(call) !== "route" || receiver === null || !isRouter(file, receiver)) continue;
      const route = call.arguments[0] && follow(file, call.arguments[0]);
      const handler = route?.type === "ObjectExpression" ? propertyValue(route, "handler") : null;
      if (handler === null) continue;
      const target = follow(file, handler);
      const other = kinds.get(target);
      if (isFunction(target)) report(handler, { what: "a plain function" }, "handler");
      else if (other && !other.isHttp) report(handler, { what: `a ${other.kind}` }, "handler");
    }
  },
});
