/**
 * Who calls.
 * @import { IncomingMessage } from "node:http"
 * @import { Json } from "../protocol.d.ts"
 */

import { ApiError, BadRequest } from "../errors.mjs";

/** @typedef {{ [field: string]: Json }} User what `ctx.auth.getUserIdentity()` returns */
/** Where a request came from. @typedef {{ ip: string | null, userAgent: string | null }} Origin */
/** `origin`: none where no request did. @typedef {{ admin: boolean, user: User | null, token?: string, origin?: Origin }} Caller */

/** @type {Caller} */
export const NOBODY = { admin: false, user: null };
/** Scheduled functions and crons: they may call internal functions and are nobody. @type {Caller} */
export const SYSTEM = { admin: true, user: null };

/** @param {IncomingMessage} incoming @returns {Origin} */
export function originOf({ headers, socket }) {
  // IPv4 through a socket that is for both.
  return { ip: socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "") ?? null, userAgent: headers["user-agent"] ?? null };
}

/** @param {Json} json @returns {User} */
export function asUser(json) {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new BadRequest("an identity must be an object");
  const { subject = "", issuer = "" } = json;
  return { tokenIdentifier: `${issuer}|${subject}`, ...json };
}

/**
 * The identity after the key in `Convex <key>:<identity>`; null where there is none.
 * @param {string} authorization
 * @returns {User | null}
 */
export function actingAs(authorization) {
  const encoded = authorization.split(":")[1];
  if (encoded === undefined) return null;
  try {
    return asUser(JSON.parse(Buffer.from(encoded, "base64").toString("utf8")));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new BadRequest("The identity that the key is to act as can't be read.");
  }
}
