/**
 * Who calls.
 * @import { Json } from "../protocol.d.ts"
 */

import { ApiError, BadRequest } from "../errors.mjs";

/** @typedef {{ [field: string]: Json }} User what `ctx.auth.getUserIdentity()` returns */
/** @typedef {{ admin: boolean, user: User | null, token?: string }} Caller */

/** @type {Caller} */
export const NOBODY = { admin: false, user: null };
/** Scheduled functions and crons: they may call internal functions and are nobody. @type {Caller} */
export const SYSTEM = { admin: true, user: null };

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
