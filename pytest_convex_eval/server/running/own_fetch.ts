/**
 * `fetch` of actions. Pushed code has no network: only this deployment itself can be reached, and the
 * origins that whoever started it has named.
 */

import { UserError } from "../database/user_error.ts";

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** As the fetch standard has it. */
const MAX_REDIRECTS = 20;

export async function fetchOwn(
  canReach: (origin: string) => boolean,
  {
    url,
    method,
    headers,
    body,
  }: { url: string; method: string; headers: [string, string][]; body: string },
) {
  let sent = { url, method, body };
  let response = null;
  // Each redirect is looked at: it may lead to a host that can't be reached.
  for (let hops = 0; response === null; hops += 1) {
    const { origin } = new URL(sent.url);
    if (!canReach(origin)) {
      throw new UserError(
        `fetch failed: the embedded deployment reaches no other host than itself, not ${origin}`,
      );
    }
    const hasBody = sent.method !== "GET" && sent.method !== "HEAD";
    const content = hasBody ? { body: Buffer.from(sent.body, "base64") } : {};
    const got = await fetch(sent.url, {
      method: sent.method,
      headers,
      redirect: "manual",
      ...content,
    });
    const location = REDIRECTS.has(got.status) ? got.headers.get("location") : null;
    if (location === null) {
      response = got;
    } else if (hops === MAX_REDIRECTS) {
      throw new UserError("fetch failed: redirect count exceeded");
    } else {
      const keeps = got.status === 307 || got.status === 308 || !hasBody;
      sent = {
        url: new URL(location, sent.url).href,
        method: keeps ? sent.method : "GET",
        body: sent.body,
      };
    }
  }
  const bytes = Buffer.from(await response.arrayBuffer()).toString("base64");
  return { status: response.status, headers: [...response.headers], body: bytes };
}
