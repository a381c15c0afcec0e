/**
 * The keys that providers of identities sign with (RFC 7517), where they say that those are: in a `data:` URL, or, as
 * far as this deployment may use the network, at an address of their own or found by OpenID Connect Discovery 1.0.
 */

import { ApiError } from "../errors.ts";
import type { AuthProvider, Json } from "../protocol.ts";

const KEPT_MILLISECONDS = 60_000;
const PATIENCE_MILLISECONDS = 10_000;

export type Key = { [field: string]: Json };
export type CanReach = (origin: string) => boolean;

export class KeySets {
  /** By their URLs. */
  #kept: Map<string, { keys: Promise<Key[]>; until: number }> = new Map();

  /** @throws ApiError 401 where they can't be had */
  async of(provider: AuthProvider, canReach: CanReach): Promise<Key[]> {
    const own = provider["type"] === "customJwt" ? provider["jwks"] : provider["domain"];
    const name = String(own ?? "");
    const known = this.#kept.get(name);
    if (known !== undefined && performance.now() < known.until) return await known.keys;
    const keys =
      provider["type"] === "customJwt" ? fetchKeys(name, canReach) : discover(name, canReach);
    this.#kept.set(name, { keys, until: performance.now() + KEPT_MILLISECONDS });
    try {
      return await keys;
    } catch (error) {
      this.#kept.delete(name);
      throw error;
    }
  }
}

/** @param domain with or without `https://` */
async function discover(domain: string, canReach: CanReach) {
  const issuer = (/^https?:\/\//.test(domain) ? domain : `https://${domain}`).replace(/\/$/, "");
  const { jwks_uri: url, issuer: named } = await fetchObject(
    `${issuer}/.well-known/openid-configuration`,
    canReach,
  );
  // Of another issuer, its keys say nothing about this one's tokens (OpenID Connect Discovery 1.0, 4.3).
  if (String(named).replace(/\/$/, "") !== issuer)
    throw failed(`${issuer} says that it is ${JSON.stringify(named)}`);
  if (typeof url !== "string") throw failed(`${issuer} names no \`jwks_uri\``);
  return await fetchKeys(url, canReach);
}

async function fetchKeys(url: string, canReach: CanReach): Promise<Key[]> {
  const { keys } = await fetchObject(url, canReach);
  if (!Array.isArray(keys)) throw failed(`there is no key set at ${url.slice(0, 100)}`);
  return keys.filter(
    (key) => typeof key === "object" && key !== null && !Array.isArray(key),
  ) as Key[];
}

async function fetchObject(url: string, canReach: CanReach): Promise<Key> {
  if (!URL.canParse(url)) throw failed(`${url.slice(0, 100)} is no URL`);
  const { protocol, origin } = new URL(url);
  if (protocol !== "data:" && !canReach(origin)) {
    throw failed(
      `the embedded deployment may not reach ${origin} (start it with --online, or give the keys as a \`data:\` URL)`,
    );
  }
  let json: Json;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MILLISECONDS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    json = await answer.json();
  } catch (error) {
    throw failed(`${url.slice(0, 100)}: ${error instanceof Error ? error.message : error}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw failed(`no object is at ${url.slice(0, 100)}`);
  return json;
}

function failed(why: string) {
  return new ApiError(
    401,
    "AuthProviderDiscoveryFailed",
    `The keys of an auth provider can't be had: ${why}.`,
  );
}
