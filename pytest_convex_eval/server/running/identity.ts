/** Who calls. */

import { ApiError, BadRequest } from "../errors.ts";
import type { IncomingMessage } from "node:http";
import type { Json } from "../protocol.ts";

/** what `ctx.auth.getUserIdentity()` returns */
export type User = { [field: string]: Json };
/** Where a request came from. */
export type Origin = { ip: string | null; userAgent: string | null };
/** `origin`: none where no request did. */
export type Caller = { admin: boolean; user: User | null; token?: string; origin?: Origin };

export const NOBODY: Caller = { admin: false, user: null };
/** Scheduled functions and crons: they may call internal functions and are nobody. */
export const SYSTEM: Caller = { admin: true, user: null };

export function originOf({ headers, socket }: IncomingMessage): Origin {
  // IPv4 through a socket that is for both.
  return {
    ip: socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "") ?? null,
    userAgent: headers["user-agent"] ?? null,
  };
}

export function asUser(json: Json): User {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new BadRequest("an identity must be an object");
  const { subject = "", issuer = "" } = json;
  return { tokenIdentifier: `${issuer}|${subject}`, ...json };
}

/** The identity after the key in `Convex <key>:<identity>`; null where there is none. */
export function actingAs(authorization: string): User | null {
  const encoded = authorization.split(":")[1];
  if (encoded === undefined) return null;
  try {
    return asUser(JSON.parse(Buffer.from(encoded, "base64").toString("utf8")));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new BadRequest("The identity that the key is to act as can't be read.");
  }
}
