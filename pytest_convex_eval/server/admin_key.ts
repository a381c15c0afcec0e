/** The admin key of an instance, and its check. */

import { createHmac, timingSafeEqual } from "node:crypto";

import { ApiError } from "./errors.ts";
import type { Request } from "./http/http.ts";

/**
 * `<instance>|<hex>`, the official form. The hex is opaque to every client, so ours is an HMAC-SHA256
 * of the instance's name.
 * @param secret hexadecimal
 */
export function adminKey(name: string, secret: string) {
  const digest = createHmac("sha256", Buffer.from(secret, "hex")).update(name).digest("hex");
  return `${name}|${digest}`;
}

/**
 * @throws ApiError 403 `BadDeployKey` when the request has not the key, alone or in front of the
 *   identity it acts as (`Convex <key>:<identity>`).
 */
export function requireAdmin(request: Request, key: string, name: string) {
  const [scheme, rest = ""] = request.authorization.split(" ", 2);
  requireKey(scheme === "Convex" ? (rest.split(":", 1)[0] ?? "") : "", key, name);
}

/** @throws ApiError 403 `BadDeployKey` */
export function requireKey(given: string, key: string, name: string) {
  const [left, right] = [Buffer.from(given), Buffer.from(key)];
  if (left.length === right.length && timingSafeEqual(left, right)) return;
  throw new ApiError(
    403,
    "BadDeployKey",
    `The provided deploy key was invalid for deployment '${name}'. Double check that the environment ` +
      "this key was generated for matches the desired deployment.",
  );
}
