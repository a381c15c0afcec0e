/** Who sends an HTTP request. */

import { requireAdmin } from "../admin_key.ts";
import { actingAs, NOBODY, originOf } from "../running/identity.ts";
import { verifyToken } from "../running/tokens.ts";
import type { Deployment } from "../deployment.ts";
import type { Request } from "../http/http.ts";
import type { Caller } from "../running/identity.ts";

export type Instance = { name: string; adminKey: string };

export async function callerOf(
  deployment: Deployment,
  instance: Instance,
  request: Request,
): Promise<Caller> {
  const { authorization } = request;
  const origin = originOf(request.incoming);
  if (authorization.startsWith("Convex ")) {
    requireAdmin(request, instance.adminKey, instance.name);
    return { admin: true, user: actingAs(authorization), origin };
  }
  if (!authorization.startsWith("Bearer ")) return { ...NOBODY, origin };
  const token = authorization.slice("Bearer ".length);
  return {
    admin: false,
    user: await verifyToken(deployment.live?.auth ?? [], token, deployment.services),
    token,
    origin,
  };
}
