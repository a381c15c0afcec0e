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

type Claims = { [claim: string]: Json };
type Token = { header: Claims; claims: Claims; signed: Buffer; signature: Buffer };

/** @throws ApiError 401 */
export async function verifyToken(
  providers: AuthProvider[],
  text: string,
  services: Services,
): Promise<User> {
  const token = parseToken(text);
  const { claims } = token;
  const issuer = claims["iss"];
  if (typeof issuer !== "string")
    throw invalid(
      "Missing issuer claim ('iss') in JWT payload. The JWT must include an 'iss' claim that matches one of your " +
        "configured auth providers.",
    );
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
  let refused: unknown = null;
  for (const provider of candidates) {
    try {
      return await checkToken(provider, token, services);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refused = error;
    }
  }
  throw refused;
}

/** @throws ApiError 401 */
function parseToken(text: string): Token {
  const [head = "", body = "", signature, ...more] = text.split(".");
  const [header, claims] = [decode(head), decode(body)];
  if (header === null || claims === null || signature === undefined || more.length > 0)
    throw invalid(
      "Could not parse JWT payload. Check that the token is a valid JWT format with three base64-encoded parts " +
        "separated by dots.",
    );
  const signed = Buffer.from(`${head}.${body}`);
  return { header, claims, signed, signature: Buffer.from(signature, "base64url") };
}

/** Whether a token is one of the provider's, whose issuer and audience it has. @throws ApiError 401 */
async function checkToken(
  provider: AuthProvider,
  { header, claims, signed, signature }: Token,
  services: Services,
): Promise<User> {
  const isCustom = provider["type"] === "customJwt";
  const wrong = (why: string) => invalid(`Could not validate token: ${why}`);
  const { kid } = header;
  const missing = missingOf(isCustom, claims);
  if (missing !== null) {
    if (isCustom) throw wrong(`it has no claim '${missing}'`);
    throw invalid(
      `Could not parse as OIDC ID token. Token might not be an OIDC-compliant JWT: it has no claim '${missing}'.`,
    );
  }
  // OpenID Connect lets others than the first be given what a token says only where it trusts them.
  if (!isCustom && Array.isArray(claims["aud"]) && claims["aud"].length > 1)
    throw wrong("it has several audiences, of which an OIDC provider's token may have one");
  if (isCustom && typeof kid !== "string")
    throw invalid("Could not decode token. The JWT has no 'kid' (key ID) header.");
  const algorithm = String(header["alg"] ?? "");
  if (algorithm !== (provider["algorithm"] ?? "RS256")) throw wrong("its signature is wrong");
  const keys = await services.keySets.of(provider, (origin) => services.canReach(origin));
  const named = keys.filter((key) =>
    isCustom
      ? key["kid"] === kid
      : kid === undefined || key["kid"] === undefined || key["kid"] === kid,
  );
  if (named.length === 0 && kid !== undefined)
    throw invalid(
      `Could not decode token. The JWT's 'kid' (key ID) header is '${kid}', does this key match any key in the ` +
        "provider's JWKS?",
    );
  if (!named.some((key) => isSigned(algorithm, key, signed, signature)))
    throw wrong("its signature is wrong");
  const seconds = services.clock.now() / 1000;
  if (Number(claims["exp"]) + LEEWAY_SECONDS < seconds) throw wrong("it has expired");
  for (const early of [claims["nbf"], claims["iat"]]) {
    if (typeof early === "number" && early - LEEWAY_SECONDS > seconds)
      throw wrong("it is not valid yet");
  }
  return isCustom ? flatIdentity(claims) : oidcIdentity(claims);
}

/** The first of the claims that a token needs which it does not have, as it needs them. */
function missingOf(isCustom: boolean, claims: Claims): string | null {
  if (typeof claims["sub"] !== "string") return "sub";
  if (typeof claims["exp"] !== "number") return "exp";
  return !isCustom && typeof claims["iat"] !== "number" ? "iat" : null;
}

function invalid(message: string) {
  return new ApiError(401, "InvalidAuthHeader", message);
}

function decode(part: string): Claims | null {
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
  try {
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
  } catch {
    // What a provider publishes may be no key, or one of another kind.
    return false;
  }
}

/** What no claim of another name is put in the place of. */
function userOf({ iss = null, sub = null }: Claims): User {
  return { tokenIdentifier: `${iss}|${sub}`, subject: sub, issuer: iss };
}

function oidcIdentity(claims: Claims): User {
  const user = userOf(claims);
  for (const [claim, value] of Object.entries(claims)) {
    const field = FIELDS[claim] ?? claim;
    if (!OWN_CLAIMS.has(claim) && !(field in user)) user[field] = value;
  }
  return user;
}

/** Claims by their own names, those inside of others as `org.id` (https://docs.convex.dev/auth/advanced/custom-jwt). */
function flatIdentity(claims: Claims): User {
  const user = userOf(claims);
  const add = (inside: Claims, prefix: string) => {
    for (const [name, value] of Object.entries(inside)) {
      if (prefix === "" && (OWN_CLAIMS.has(name) || name === "iss" || name === "sub")) continue;
      const path = `${prefix}${name}`;
      if (typeof value === "object" && value !== null && !Array.isArray(value))
        add(value, `${path}.`);
      else if (!(path in user)) user[path] = value;
    }
  };
  add(claims, "");
  return user;
}
