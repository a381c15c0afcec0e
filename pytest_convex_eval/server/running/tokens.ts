/** Tokens of users (JWTs, RFC 7519), checked against the providers of auth.config. */

import { createPublicKey, verify } from "node:crypto";

import { ApiError } from "../errors.ts";
import type { AuthProvider, Json } from "../protocol.ts";
import type { Services } from "./services.ts";
import type { User } from "./identity.ts";

/** What a provider may be late or early, in seconds. */
const LEEWAY_SECONDS = 5;

/** Claims with names of their own among an identity's fields (https://docs.convex.dev/auth). */
const FIELDS: Record<string, string> = {
  sub: "subject",
  iss: "issuer",
  name: "name",
  given_name: "givenName",
  family_name: "familyName",
  nickname: "nickname",
  preferred_username: "preferredUsername",
  profile: "profileUrl",
  picture: "pictureUrl",
  email: "email",
  email_verified: "emailVerified",
  gender: "gender",
  birthdate: "birthday",
  zoneinfo: "timezone",
  locale: "language",
  phone_number: "phoneNumber",
  phone_number_verified: "phoneNumberVerified",
  address: "address",
  updated_at: "updatedAt",
};
/** Of the token and not of the user. */
const OWN_CLAIMS = new Set(["aud", "exp", "nbf", "iat", "jti"]);

/** @throws ApiError 401 */
export async function verifyToken(
  providers: AuthProvider[],
  token: string,
  services: Services,
): Promise<User> {
  const { clock, keySets } = services;
  const [head = "", body = "", signature = ""] = token.split(".");
  const [header, claims] = [decode(head), decode(body)];
  if (header === null || claims === null)
    throw new ApiError(401, "InvalidAuthHeader", "The token can't be parsed as a JWT.");
  const issuer = String(claims["iss"] ?? "");
  const candidates = providers.filter((provider) =>
    matches(provider, issuer, claims["aud"] ?? null),
  );
  if (candidates.length === 0) {
    throw new ApiError(
      401,
      "NoAuthProvider",
      "No auth provider found matching the given token (no providers configured). Check that your auth.config matches its `iss` and `aud`.",
    );
  }
  const seconds = clock.now() / 1000;
  const invalid = (why: string) =>
    new ApiError(401, "InvalidAuthHeader", `Could not validate token: ${why}`);
  if (typeof claims["exp"] !== "number" || claims["exp"] + LEEWAY_SECONDS < seconds)
    throw invalid("it has expired");
  if (typeof claims["nbf"] === "number" && claims["nbf"] - LEEWAY_SECONDS > seconds)
    throw invalid("it is not valid yet");
  const signed = Buffer.from(`${head}.${body}`);
  for (const provider of candidates) {
    const algorithm = String(header["alg"] ?? "");
    if (algorithm !== (provider["algorithm"] ?? "RS256")) continue;
    for (const key of await keySets.of(provider, (origin) => services.canReach(origin))) {
      if (header["kid"] !== undefined && key["kid"] !== undefined && key["kid"] !== header["kid"])
        continue;
      if (isSigned(algorithm, key, signed, Buffer.from(signature, "base64url")))
        return identity(claims);
    }
  }
  throw invalid("its signature is wrong");
}

function decode(part: string): { [claim: string]: Json } | null {
  try {
    const json = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof json === "object" && json !== null ? json : null;
  } catch {
    return null;
  }
}

function matches(provider: AuthProvider, issuer: string, audience: Json) {
  const own = String(provider["type"] === "customJwt" ? provider["issuer"] : provider["domain"]);
  const same = [own, `https://${own}`].some(
    (each) => each.replace(/\/$/, "") === issuer.replace(/\/$/, ""),
  );
  const application = provider["applicationID"] ?? null;
  return same && (application === null || [audience].flat().includes(application));
}

function isSigned(
  algorithm: string,
  jwk: { [field: string]: Json },
  signed: Buffer,
  signature: Buffer,
) {
  const key = createPublicKey({ key: jwk as any, format: "jwk" });
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

function identity(claims: { [claim: string]: Json }): User {
  const user: User = { tokenIdentifier: `${claims["iss"]}|${claims["sub"]}` };
  for (const [claim, value] of Object.entries(claims)) {
    if (!OWN_CLAIMS.has(claim)) user[FIELDS[claim] ?? claim] = value;
  }
  return user;
}
