/**
 * `fetch` of actions. Pushed code has no network: only this deployment itself can be reached.
 */

import { UserError } from "../database/user_error.mjs";

/**
 * @param {{ cloud: string, site: string }} urls
 * @param {{ url: string, method: string, headers: [string, string][], body: string }} request
 */
export async function fetchOwn({ cloud, site }, { url, method, headers, body }) {
  const { origin } = new URL(url);
  if (origin !== new URL(cloud).origin && origin !== new URL(site).origin) {
    throw new UserError(`fetch failed: the embedded deployment reaches no other host than itself, not ${origin}`);
  }
  const hasBody = method !== "GET" && method !== "HEAD";
  const init = { method, headers, ...(hasBody ? { body: Buffer.from(body, "base64") } : {}) };
  const response = await fetch(url, init);
  const bytes = Buffer.from(await response.arrayBuffer()).toString("base64");
  return { status: response.status, headers: [...response.headers], body: bytes };
}
