/** What of the client library and its CLI this deployment knows, for who has their packages. */

import { UnknownFeature } from "../errors.ts";
import { object, type JsonObject } from "../push/push_request.ts";
import { isKnownOperation } from "../running/syscalls.ts";
import { parseValidator } from "../values/validators.ts";
import type { Json } from "../protocol.ts";

/**
 * @param body lists of names: `validators`, `operations` and `routes` (`POST /api/query`)
 * @param isRoute whether there is one
 * @returns those that are not known
 */
export function unknownOf(body: Json, isRoute: (route: string) => boolean): JsonObject {
  const asked = object(body, "the body");
  const names = (key: string) => {
    const list = asked[key];
    return Array.isArray(list) ? list.map(String) : [];
  };
  return {
    validators: names("validators").filter((type) => !isKnownValidator(type)),
    operations: names("operations").filter((op) => !isKnownOperation(op)),
    routes: names("routes").filter((route) => !isRoute(route)),
  };
}

function isKnownValidator(type: string) {
  try {
    parseValidator({ type });
  } catch (error) {
    // One that lacks what such a validator needs is known.
    return !(error instanceof UnknownFeature);
  }
  return true;
}
