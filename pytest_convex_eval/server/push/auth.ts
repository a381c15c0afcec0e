/**
 * The auth configuration: a list of providers, each OIDC or custom JWT
 * (https://docs.convex.dev/auth/advanced/custom-auth, .../custom-jwt).
 */

import { Refusal } from "../errors.ts";
import type { AuthProvider, UnitValue } from "../protocol.ts";
import type { Origins } from "./modules.ts";

const PATH = "auth.config.js";
/** How the refusal of a configuration begins. */
export const NO_PROVIDERS = "auth config file must include a list of provider credentials: ";
const ALGORITHMS = new Set(["RS256", "ES256", "EdDSA"]);

/** @throws Refusal */
export function checkAuth(
  value: Extract<UnitValue, { kind: "auth" }>,
  origins: Origins,
): AuthProvider[] {
  const position = origins.start(PATH);
  if (value.unset !== null) {
    throw new Refusal(
      "AuthConfigMissingEnvironmentVariable",
      `Environment variable ${value.unset} is used in auth config file but its value was not set`,
      { position: origins.find(PATH, value.unset) ?? position },
    );
  }
  if (value.problem === "missing") {
    throw new Refusal(
      "AuthConfigMissingExportError",
      "auth config file is missing default export. To learn more, see the auth documentation at " +
        "https://docs.convex.dev/auth.",
      { position },
    );
  }
  const config = value.json === null ? null : JSON.parse(value.json);
  const refuse = (reason: string) =>
    new Refusal(
      "AuthConfigNotMatchingSchemaError",
      `${NO_PROVIDERS}${reason}. To learn more, see the auth ` +
        "documentation at https://docs.convex.dev/auth.",
      { position },
    );
  if (!Array.isArray(config?.providers)) throw refuse("`providers` is not a list");
  return config.providers.map((raw: unknown, i: number) =>
    checkProvider(raw, (reason) => refuse(`provider ${i} ${reason}`)),
  );
}

function checkProvider(raw: unknown, refuse: (reason: string) => Error): AuthProvider {
  if (typeof raw !== "object" || raw === null) throw refuse("is not an object");
  const given = raw as Record<string, unknown>;
  const text = (name: string) => {
    const value = given[name];
    if (typeof value !== "string" || value === "") throw refuse(`has no string \`${name}\``);
    return value;
  };
  for (const wrong of ["applicationId", "ApplicationID", "applicationid", "application_id"]) {
    if (wrong in given) throw refuse(`has \`${wrong}\`; it is spelled \`applicationID\``);
  }
  if (given["type"] === "customJwt") {
    if ("domain" in given) throw refuse("is of type customJwt and needs `issuer`, not `domain`");
    const algorithm = text("algorithm");
    if (!ALGORITHMS.has(algorithm)) throw refuse(`has the unknown algorithm ${algorithm}`);
    const issuer = text("issuer");
    const noAudience = given["applicationID"] === undefined || given["applicationID"] === null;
    if (noAudience && hostname(issuer) === "api.workos.com") {
      throw refuse("is WorkOS's and needs `applicationID`: its tokens are of many applications");
    }
    const applicationID = noAudience ? null : text("applicationID");
    return { type: "customJwt", applicationID, issuer, jwks: text("jwks"), algorithm };
  }
  if (given["type"] !== undefined && given["type"] !== "oidc") {
    throw refuse(`has the unknown type ${JSON.stringify(given["type"])}`);
  }
  if ("issuer" in given)
    throw refuse('has `issuer`, which needs `type: "customJwt"`; OIDC has `domain`');
  return { applicationID: text("applicationID"), domain: text("domain") };
}

function hostname(url: string) {
  return URL.canParse(url) ? new URL(url).hostname : null;
}
