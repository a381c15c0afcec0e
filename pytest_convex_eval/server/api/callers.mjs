/**
 * Who sends an HTTP request.
 * @import { Deployment } from "../deployment.mjs"
 * @import { Request } from "../http/http.mjs"
 * @import { Caller } from "../running/identity.mjs"
 */

import { requireAdmin } from "../admin_key.mjs";
import { actingAs, NOBODY, originOf } from "../running/identity.mjs";
import { verifyToken } from "../running/tokens.mjs";

/** @typedef {{ name: string, adminKey: string }} Instance */

/**
 * @param {Deployment} deployment @param {Instance} instance @param {Request} request
 * @returns {Promise<Caller>}
 */
export async function callerOf(deployment, instance, request) {
  const { authorization } = request;
  const origin = originOf(request.incoming);
  if (authorization.startsWith("Convex ")) {
    requireAdmin(request, instance.adminKey, instance.name);
    return { admin: true, user: actingAs(authorization), origin };
  }
  if (!authorization.startsWith("Bearer ")) return { ...NOBODY, origin };
  const token = authorization.slice("Bearer ".length);
  return { admin: false, user: await verifyToken(deployment.live?.auth ?? [], token, deployment.services), token, origin };
}
