/**
 * Tokens of users (JWTs, RFC 7519), checked against the providers of auth.config.
 * @import { AuthProvider, Json } from "../protocol.d.ts"
 * @import { Services } from "./services.mjs"
 * @import { User } from "./identity.mjs"
 */

import { createPublicKey, verify } from "node:crypto";

import { ApiError } from "../errors.mjs";

/** What a provider may be late or early, in seconds. */
const LEEWAY_SECONDS = 5;

/** Claims with names of their own among an identity's fields (https://docs.convex.dev/auth). @type {Record<string, string>} */
const FIELDS = {
  sub: "subject", iss: "issuer", name: "name", given_name: "givenName", family_name: "familyName", nickname: "nickname",
  preferred_username: "preferredUsername", profile: "profileUrl", picture: "pictureUrl", email: "email",
  email_verified: "emailVerified", gender: "gender", birthdate: "birthday", zoneinfo: "timezone", locale: "language",
  phone_number: "phoneNumber", phone_number_verified: "phoneNumberVerified", address: "address", updated_at: "updatedAt",
};
/** Of the token and not of the user. */
const OWN_CLAIMS = new Set(["aud", "exp", "nbf", "iat", "jti"]);

/**
 * @param {AuthProvider[]} providers
 * @param {string} token
 * @param {Services} services
 * @returns {Promise<User>}
 * @throws {ApiError} 401
 */
export async function verifyToken(providers, token, services) {
  const { clock, keySets } = services;
  const [head = "", body = "", signature = ""] = token.split(".");
  const [header, claims] = [decode(head), decode(body)];
  if (header === null || claims === null) throw new ApiError(401, "InvalidAuthHeader", "The token can't be parsed as a JWT.");
  const issuer = String(claims["iss"] ?? "");
  const candidates = providers.filter((provider) => matches(provider, issuer, claims["aud"] ?? null));
  if (candidates.length === 0) {
    throw new ApiError(401, "NoAuthProvider", "No auth provider found matching the given token (no providers configured). Check that your auth.config matches its `iss` and `aud`.");
  }
  const seconds = clock.now() / 1000;
  const invalid = (/** @type {string} */ why) => new ApiError(401, "InvalidAuthHeader", `Could not validate token: ${why}`);
  if (typeof claims["exp"] !== "number" || claims["exp"] + LEEWAY_SECONDS < seconds) throw invalid("it has expired");
  if (typeof claims["nbf"] === "number" && claims["nbf"] - LEEWAY_SECONDS > seconds) throw invalid("it is not valid yet");
  const signed = Buffer.from(`${head}.${body}`);
  for (const provider of candidates) {
    const algorithm = String(header["alg"] ?? "");
    if (algorithm !== (provider["algorithm"] ?? "RS256")) continue;
    for (const key of await keySets.of(provider, (origin) => services.canReach(origin))) {
      if (header["kid"] !== undefined && key["kid"] !== undefined && key["kid"] !== header["kid"]) continue;
      if (isSigned(algorithm, key, signed, Buffer.from(signature, "base64url"))) return identity(claims);
    }
  }
  throw invalid("its signature is wrong");
}

/** @param {string} part @returns {{ [claim: string]: Json } | null} */
function decode(part) {
  try {
    const json = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof json === "object" && json !== null ? json : null;
  } catch {
    return null;
  }
}

/** @param {AuthProvider} provider @param {string} issuer @param {Json} audience */
function matches(provider, issuer, audience) {
  const own = String(provider["type"] === "customJwt" ? provider["issuer"] : provider["domain"]);
  const same = [own, `https://${own}`].some((each) => each.replace(/\/$/, "") === issuer.replace(/\/$/, ""));
  const application = provider["applicationID"] ?? null;
  return same && (application === null || [audience].flat().includes(application));
}

/** @param {string} algorithm @param {{ [field: string]: Json }} jwk @param {Buffer} signed @param {Buffer} signature */
function isSigned(algorithm, jwk, signed, signature) {
  const key = createPublicKey({ key: /** @type {any} */ (jwk), format: "jwk" });
  switch (algorithm) {
    case "RS256":
      return verify("sha256", signed, key, signature);
    case "ES256":
      return verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signature);
    case "EdDSA":
      return verify(null, signed, key, signature);
    default:
      return false;
  }
}

/** @param {{ [claim: string]: Json }} claims @returns {User} */
function identity(claims) {
  /** @type {User} */
  const user = { tokenIdentifier: `${claims["iss"]}|${claims["sub"]}` };
  for (const [claim, value] of Object.entries(claims)) {
    if (!OWN_CLAIMS.has(claim)) user[FIELDS[claim] ?? claim] = value;
  }
  return user;
}
